"""An e-mail address never comes into a topic."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.app import make_app
from processor.faces.auth.doors import Caller, Doors
from processor.faces.middleware.shell import Shell
from processor.faces.problems import Problem
from processor.faces.requests.persons import is_email, user_of
from processor.in_memory import TOPICS, MemoryDeployment
from processor.profiles import Pseudonyms, open_profiles
from tests.faces.gateway_stage import turned_away
from tests.faces.reading import Named, sees, start
from tests.faces.stage import as_caller, created, http_of, kinds, problem, served


@pytest.mark.parametrize("user_id", ["ann@example.org", " ann@example.org", "a@b"])
def test_e_mail_addresses(user_id: str) -> None:
    """These name a person."""
    assert is_email(user_id)


@pytest.mark.parametrize("user_id", ["ann", "@ann", "ann@", "ann at example.org", "elias01~0a1b2c3d", "a@b@c", ""])
def test_other_ids(user_id: str) -> None:
    """These are ids like any other."""
    assert not is_email(user_id)


@pytest.mark.parametrize(("given", "info"), [("ann@example.org", None), ("ann", {"user_name": "Ann"})])
def test_without_a_profile_store_it_is_refused(given: str, info: Any, tmp_path: Path) -> None:
    """The remedy says what to set, and the answer does not repeat the address."""
    with MemoryDeployment(tmp_path) as deployment, pytest.raises(Problem) as caught:
        asyncio.run(user_of(deployment.context(), given, info))
    assert (caught.value.status_code, caught.value.code) == (422, "invalid_request")
    assert "A3CP_PROFILE_STORE_URL" in caught.value.remedy
    assert given not in caught.value.detail


def test_with_one_it_is_a_pseudonym(tmp_path: Path) -> None:
    """An id that names nobody stays as it is."""
    profiles = open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)
    with MemoryDeployment(tmp_path) as deployment:
        context = deployment.context(profiles=profiles)
        user_id = asyncio.run(user_of(context, "ann@example.org", {"user_name": "Ann"}))
        assert "ann" not in user_id
        assert asyncio.run(user_of(context, "elias01")) == "elias01"


def test_who_it_is_is_told_to_those_who_begin_sessions(tmp_path: Path) -> None:
    """A reviewer sees the session, and not whose it is; once the person is erased nobody does."""
    profiles = open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)
    with MemoryDeployment(tmp_path) as deployment:
        context = deployment.context(profiles=profiles)
        user_id = asyncio.run(user_of(context, "ann@example.org", {"name": "Ann"}))
        path = f"/v1/sessions/{start(deployment, user_id)}/user_info"
        callers = sees(user_id, role="producer"), sees(user_id), sees("ben", role="producer")
        with TestClient(make_app(context, Shell(doors=Doors(Named(*callers))))) as http:
            answers = [http.get(path, headers={"Authorization": f"Bearer {each.name}"}) for each in callers]
            assert [answer.status_code for answer in answers] == [200, 403, 404]
            assert answers[0].json()["user_info"] == {"name": "Ann"}
            profiles.remove(user_id)
            told = http.get(path, headers={"Authorization": f"Bearer {callers[0].name}"}).json()
            assert told["user_info"] == {}


START = {
    "schema_version": "1.0.1", "record_id": "6f9619ff-8b86-4011-b42d-00c04fc964ff", "performer_id": "system",
    "timestamp": "2025-06-15T15:06:40.000Z",
}  # fmt: skip


FACES = pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/v1/sessions", {}),
        ("/v1/sessions", {"parallel": False}),
        ("/v1/messages", {**START, "source": "ui"}),
        ("/session/create", {}),
        ("/session_manager/sessions.start", START),
    ],
)


@FACES
@pytest.mark.parametrize("user_id", ["session_manager", "a3cp-canary-0"])
def test_nobody_is_called_as_the_system_calls_itself(
    deployment: MemoryDeployment, http: TestClient, route: str, body: dict[str, Any], user_id: str
) -> None:
    """Its seals and its canary's messages would be a person's."""
    answer = http.post(route, json={**body, "user_id": user_id})
    assert answer.status_code == 422
    assert "is this system's own" in answer.text
    assert not any(deployment.broker.values(topic) for topic in TOPICS)


def test_nobody_does_something_in_the_systems_name(deployment: MemoryDeployment, http: TestClient) -> None:
    """Who does it stays in the record; and a socket is nobody's else than a person's."""
    session_id = created(http)
    before = kinds(deployment)
    for name in ("session_manager", "a3cp-canary-0"):
        answer = http.post(f"/v1/sessions/{session_id}/notes", json={"text": "x", "performer_id": name})
        assert problem(answer) == (422, "invalid_request")
        assert turned_away(http, user_id=name)[0] == 4400
    assert kinds(deployment) == before


@FACES
def test_every_face_refuses_it_without_a_profile_store(
    deployment: MemoryDeployment, http: TestClient, route: str, body: dict[str, Any]
) -> None:
    """With 422, and nothing is in the log: an address that only memory knew would be gone with the next restart."""
    answer = http.post(route, json={**body, "user_id": "ann@example.org"})
    assert answer.status_code == 422
    assert "address" in answer.text
    assert not any(deployment.broker.values(topic) for topic in TOPICS)


def test_the_component_gives_it_back_to_whoever_may_know(tmp_path: Path) -> None:
    """With a profile store: created, read, read by another replica. A reviewer's token is told the pseudonym."""
    profiles = open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)
    with served(tmp_path, profiles=profiles) as (deployment, http):
        created = http.post("/session/create", json={"user_id": "ann@example.org"}).json()
        assert created["user_id"] == "ann@example.org"
        path = f"/session/{created['session_id']}"
        assert http.get(path).json() == created
        with http_of(deployment.replica(), profiles=profiles) as other:
            assert other.get(path).json() == created
            reviewer = as_caller(other, Caller("x", "reviewer", ("*",)))
            assert reviewer.get(path).json()["user_id"].startswith("person-")
