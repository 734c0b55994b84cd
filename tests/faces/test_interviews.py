"""What an interview needs beside its session: a resume that no topic holds, and an evaluation after the end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.auth.doors import Caller
from processor.in_memory import MemoryDeployment
from processor.profiles import Pseudonyms, open_profiles, resume_digest
from tests.faces.stage import as_caller, http_of

RESUME = {"user_id": "ann@example.org", "name": "Ann Example", "skills": ["Kafka"]}
REPORT = {"overall_score": 82.5, "strengths": ["caching"], "summary": "solid"}


@pytest.fixture
def interviews(deployment: MemoryDeployment, tmp_path: Path) -> Iterator[TestClient]:
    """A client of a service that has a profile store and knows where bundles are."""
    profiles = open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)
    with http_of(deployment, profiles=profiles, bundles_root="s3://bucket/sessions/") as client:
        yield client


def begun(http: TestClient, **body: Any) -> str:
    answer = http.post("/v1/sessions", json={"user_id": "user_1", "template": "interview", **body})
    assert answer.status_code == 201, answer.text
    session_id: str = answer.json()["session_id"]
    return session_id


def log(deployment: MemoryDeployment) -> bytes:
    return b"".join(value or b"" for topic in deployment.broker.topics for value in deployment.broker.values(topic))


@pytest.mark.parametrize("user_id", ["user_1", "ann@example.org"])
def test_a_resume_is_in_the_profile_store_alone(
    user_id: str, deployment: MemoryDeployment, interviews: TestClient
) -> None:
    """The log has its hash; the session gives it back, and each of a person's sessions its own."""
    first = begun(interviews, user_id=user_id, resume_data=RESUME, context={"ai_model": "gpt-4"})
    second = begun(interviews, user_id=user_id, resume_data={**RESUME, "skills": ["Avro"]})
    answer = interviews.get(f"/v1/sessions/{first}/resume_data")
    assert answer.json() == {"session_id": first, "resume_data": RESUME}
    assert answer.headers["Cache-Control"] == "no-store"
    assert interviews.get(f"/v1/sessions/{second}/resume_data").json()["resume_data"]["skills"] == ["Avro"]
    context = interviews.get(f"/v1/sessions/{first}").json()["context"]
    assert context == {"ai_model": "gpt-4", "resume_sha256": resume_digest(RESUME)}
    assert resume_digest(RESUME).encode() in log(deployment)
    assert not [word for word in (b"Ann", b"ann@", b"skills") if word in log(deployment)]


def test_without_a_resume(interviews: TestClient) -> None:
    """There is none to show, and who may not see the session learns nothing."""
    assert interviews.get(f"/v1/sessions/{begun(interviews)}/resume_data").json()["resume_data"] is None
    assert interviews.get("/v1/sessions/sess_x/resume_data").status_code == 404


@pytest.mark.parametrize(("role", "users", "status"), [("reviewer", "user_1", 403), ("producer", "user_2", 404)])
def test_a_resume_is_not_everybodys(role: Any, users: str, status: int, interviews: TestClient) -> None:
    """A reviewer reads what happened, not what the person gave; another's token sees no session."""
    session_id = begun(interviews, resume_data=RESUME)
    as_caller(interviews, Caller("somebody", role, (users,)))
    assert interviews.get(f"/v1/sessions/{session_id}/resume_data").status_code == status


def test_without_a_profile_store_it_is_refused(deployment: MemoryDeployment, http: TestClient) -> None:
    """Nothing is begun, nothing is in the log, and the remedy says what to set."""
    answer = http.post("/v1/sessions", json={"user_id": "user_1", "resume_data": RESUME})
    assert answer.status_code == 422
    assert "A3CP_PROFILE_STORE_URL" in answer.json()["remedy"]
    assert log(deployment) == b""


def test_an_evaluation_after_the_end(deployment: MemoryDeployment, interviews: TestClient) -> None:
    """It is a message of the session, at its end; the end is told again, and lists show the score at once."""
    session_id = begun(interviews)
    interviews.post(f"/v1/sessions/{session_id}/messages", json={"role": "assistant", "content": "hello"})
    end = interviews.post(f"/v1/sessions/{session_id}/end").json()
    deployment.clock.time_ms += 3_600_000
    answer = interviews.post(f"/v1/sessions/{session_id}/evaluation", json=REPORT, headers={"Prefer": "wait=2"})
    assert (answer.status_code, answer.json()["messages"][0]["session_id"]) == (200, session_id)
    assert answer.json()["messages"][0]["flags"] == ["late"]
    (listed,) = interviews.get("/v1/sessions", params={"template": "interview"}).json()["sessions"]
    assert (listed["score"], listed["end_time"], listed["revision"]) == (82.5, end["end_time"], 1)
    audit = interviews.get(f"/v1/sessions/{session_id}/audit").json()
    assert audit["complete"]
    assert audit["audit_path"] == f"s3://bucket/sessions/2025-06-15/{session_id}"
    kept = interviews.get(f"/v1/sessions/{session_id}/messages").json()["messages"][-1]
    assert (kept["evaluation"], kept["source"], kept["timestamp"]) == (REPORT, "evaluation_manager", end["end_time"])
    assert interviews.post(f"/v1/sessions/{session_id}/messages", json={"content": "hi"}).status_code == 409


def test_an_evaluation_of_an_open_session(deployment: MemoryDeployment, interviews: TestClient) -> None:
    """It is of now; the same request again keeps it once."""
    session_id = begun(interviews)
    for _ in range(2):
        headers = {"Prefer": "wait=2", "Idempotency-Key": "one"}
        answer = interviews.post(f"/v1/sessions/{session_id}/evaluation", json=REPORT, headers=headers)
        assert answer.json()["messages"][0]["seq"] == 1
    assert interviews.get(f"/v1/sessions/{session_id}").json()["score"] == 82.5


@pytest.mark.parametrize("report", [{}, {"overall_score": "good"}, {"overall_score": True}])
def test_an_evaluation_without_a_score(report: dict[str, Any], interviews: TestClient) -> None:
    """It is refused, since nobody would find it in a list."""
    answer = interviews.post(f"/v1/sessions/{begun(interviews)}/evaluation", json=report)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_an_evaluation_that_comes_too_late(deployment: MemoryDeployment, interviews: TestClient) -> None:
    """A session that the processor has forgotten takes none: it would begin another one."""
    session_id = begun(interviews)
    interviews.post(f"/v1/sessions/{session_id}/end")
    deployment.clock.time_ms += 86_400_000
    answer = interviews.post(f"/v1/sessions/{session_id}/evaluation", json=REPORT)
    assert (answer.status_code, answer.json()["code"]) == (409, "session_closed")
    assert json.dumps(REPORT)[1:20].encode() not in log(deployment)


def test_the_phases_of_an_interview(interviews: TestClient) -> None:
    """It is active before it is completed; completed and error end it."""
    session_id = begun(interviews)
    status = f"/v1/sessions/{session_id}/status"
    assert interviews.post(status, json={"status": "completed"}).json()["code"] == "illegal_transition"
    assert interviews.post(status, json={"status": "active"}).status_code == 201
    assert interviews.post(status, json={"status": "completed"}).status_code == 201
    assert interviews.get(f"/v1/sessions/{session_id}").json()["status"] == "closed"
