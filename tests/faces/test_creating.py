"""How sessions begin over `/v1`: several at a time for a person, or the one that their messages belong to."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.core.ids import owner_of
from processor.faces.auth.doors import Caller
from processor.in_memory import MemoryDeployment
from tests.faces.stage import as_caller, code, http_of


def create(http: TestClient, **body: Any) -> Any:
    return http.post("/v1/sessions", json={"user_id": "ann", **body})


def events(deployment: MemoryDeployment) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for value in deployment.broker.values("sessions")]


def test_a_session_begins(deployment: MemoryDeployment, http: TestClient) -> None:
    """201 with the session, where it is, its ETag and the log's position; the lane is never told."""
    answer = create(
        http,
        template="interview",
        context={"room": "2"},
        session_notes="first",
        is_training_data=True,
        training_intent_label="hello",
        performer_id="carer01",
    )
    assert answer.status_code == 201, answer.text
    session = answer.json()
    assert answer.headers["Location"] == f"/v1/sessions/{session['session_id']}"
    assert (session["user_id"], session["status"], session["template"]) == ("ann", "active", "interview")
    assert (session["context"], session["session_notes"], session["is_training_data"]) == ({"room": "2"}, "first", True)
    shown = http.get(answer.headers["Location"])
    assert shown.json() == session
    assert shown.headers["ETag"] == answer.headers["ETag"]
    assert "~" not in answer.text
    started = events(deployment)[0]
    assert owner_of(started["user_id"]) == "ann" != started["user_id"]
    assert started["details"]["owner"] == "ann"


def test_each_creation_is_a_session_of_its_own(http: TestClient) -> None:
    """Several are open at once for one person, and each ends by itself."""
    ids = [create(http).json()["session_id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert http.post(f"/v1/sessions/{ids[0]}/end").status_code == 200
    assert [http.get(f"/v1/sessions/{each}").json()["status"] for each in ids] == ["closed", "active", "active"]


def test_the_one_session_of_a_person(deployment: MemoryDeployment, http: TestClient) -> None:
    """With `parallel: false` it is returned, refused or replaced when it is open."""
    first = create(http, parallel=False, session_notes="first")
    assert first.status_code == 201
    assert events(deployment)[0]["user_id"] == "ann"
    again = create(http, parallel=False, session_notes="second", context={"room": "2"})
    assert again.status_code == 200
    assert again.json()["session_id"] == first.json()["session_id"]
    assert (again.json()["session_notes"], again.json()["context"]) == ("first", {})
    refused = create(http, parallel=False, if_open="fail")
    assert code(refused) == (409, "already_active")
    assert refused.json()["session_id"] == first.json()["session_id"]
    new = create(http, parallel=False, if_open="new")
    assert new.status_code == 201
    assert new.json()["previous_session_id"] == first.json()["session_id"]
    old = http.get(f"/v1/sessions/{first.json()['session_id']}").json()
    assert (old["status"], old["end_reason"]) == ("closed", "superseded")


def test_a_replica_that_is_behind_is_told_by_the_log_that_one_is_open(deployment: MemoryDeployment) -> None:
    """`fail` holds although the view does not know yet."""
    other = deployment.replica()
    with http_of(deployment) as first, http_of(other) as second:
        other.is_behind = True
        create(first, parallel=False)
        headers = {"Prefer": "wait=0", "Idempotency-Key": "k1"}
        body = {"user_id": "ann", "parallel": False, "if_open": "fail"}
        assert code(second.post("/v1/sessions", json=body, headers=headers)) == (504, "no_outcome")
        other.is_behind = False
        deployment.run()
        assert code(second.post("/v1/sessions", json=body, headers=headers)) == (409, "already_active")


def test_the_same_key_makes_one_session(deployment: MemoryDeployment, http: TestClient) -> None:
    """Its lane derives from the key: also after 504 and on another replica no second session opens."""
    body = {"user_id": "ann", "context": {"room": "2"}}
    headers = {"Idempotency-Key": "k1", "Prefer": "wait=0"}
    deployment.processor_is_away = True
    assert code(http.post("/v1/sessions", json=body, headers=headers)) == (504, "no_outcome")
    with http_of(deployment.replica()) as other:
        assert code(other.post("/v1/sessions", json=body, headers=headers)) == (504, "no_outcome")
        deployment.processor_is_away = False
        headers = {"Idempotency-Key": "k1"}
        answers = [client.post("/v1/sessions", json=body, headers=headers) for client in (http, other, http)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert answers[0].json()["context"] == {"room": "2"}
    assert [event["kind"] for event in events(deployment)].count("started") == 1
    assert [event["kind"] for event in events(deployment)].count("context") == 1


def test_a_key_of_another_creation_is_refused(http: TestClient) -> None:
    """Another body, another person's too."""
    headers = {"Idempotency-Key": "k1"}
    assert http.post("/v1/sessions", json={"user_id": "ann"}, headers=headers).status_code == 201
    for body in ({"user_id": "ann", "session_notes": "x"}, {"user_id": "ben"}):
        assert code(http.post("/v1/sessions", json=body, headers=headers)) == (422, "idempotency_key_reused")


def test_without_a_user_a_pseudonym_is_made(deployment: MemoryDeployment, http: TestClient) -> None:
    """Another one each time, and the same for the same key."""
    made = [http.post("/v1/sessions", json={}).json()["user_id"] for _ in range(2)]
    assert made[0] != made[1]
    keyed = [http.post("/v1/sessions", json={}, headers={"Idempotency-Key": "k"}).json()["user_id"] for _ in range(2)]
    assert keyed[0] == keyed[1]


def test_a_token_of_one_person_needs_no_user(http: TestClient) -> None:
    """One of several must say whose session it is, and one of others is refused."""
    assert _as(http, "ann").post("/v1/sessions", json={}).json()["user_id"] == "ann"
    assert code(_as(http, "ann", "ben").post("/v1/sessions", json={})) == (422, "invalid_request")
    assert code(_as(http, "ben").post("/v1/sessions", json={"user_id": "ann"})) == (403, "forbidden")
    assert code(_as(http, "*", role="reviewer").post("/v1/sessions", json={})) == (403, "forbidden")


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": ""},
        {"user_id": " "},
        {"user_id": "ann "},
        {"user_id": "ann~01234567"},
        {"user_id": "ann@example.org"},
        {"user_id": "x" * 257},
        {"user_id": "\ud800"},
        {"if_open": "maybe"},
        {"parallel": "perhaps"},
        {"context": []},
        {"context": {"x": "\ud800"}},
        {"template": "x" * 256},
        {"template": ""},
        {"template": "nope"},
        {"user_info": {"name": "Ann"}},
        {"unknown": 1},
    ],
)
def test_a_wrong_body_is_422(deployment: MemoryDeployment, http: TestClient, wrong: dict[str, Any]) -> None:
    """And nothing is sent."""
    body = json.dumps({"user_id": "ann", **wrong})
    answer = http.post("/v1/sessions", content=body, headers={"Content-Type": "application/json"})
    assert code(answer) == (422, "invalid_request")
    assert not events(deployment)


def test_what_the_log_must_not_hold_begins_no_session(deployment: MemoryDeployment, http: TestClient) -> None:
    """What is too large would be a dead letter, and nobody would hear of it. Raw media stay out of the log."""
    image = "data:image/png;base64," + "A" * 400
    assert code(create(http, context={"x": "y" * 600_000})) == (413, "too_large")
    assert code(create(http, context={"picture": image})) == (422, "media_not_allowed")
    assert code(create(http, session_notes=image)) == (422, "media_not_allowed")
    assert not events(deployment)


def _as(http: TestClient, *users: str, role: Any = "producer") -> TestClient:
    as_caller(http, Caller("x", role, users))
    return http


def test_an_id_that_leaves_no_room_for_a_lane(http: TestClient) -> None:
    """What is told is of the id that was sent, not of the one that the service would make of it."""
    longest = {"user_id": "x" * 247}
    assert http.post("/v1/sessions", json=longest).status_code == 201
    answer = http.post("/v1/sessions", json={"user_id": "x" * 248})
    assert code(answer) == (422, "invalid_request")
    assert answer.json()["detail"].startswith("user_id has 248 bytes, and may have 247 where")
    assert http.post("/v1/sessions", json={"user_id": "x" * 256, "parallel": False}).status_code == 201
