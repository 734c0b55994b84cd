"""Bookmarks over HTTP: a moment of a session is marked, whether it is open or has ended, and found again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.app import make_app
from processor.faces.auth.doors import Doors
from processor.faces.middleware.shell import Shell
from processor.in_memory import MemoryDeployment
from processor.profiles import Profiles, Pseudonyms, open_profiles
from tests.faces.reading import Named, command, problem, say, sees, start
from tests.faces.stage import http_of


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), "secret")


@pytest.fixture
def http(deployment: MemoryDeployment, profiles: Profiles) -> Iterator[TestClient]:
    with http_of(deployment, profiles=profiles) as client:
        yield client


def mark(http: TestClient, session_id: str, **body: Any) -> Any:
    return http.post(f"/v1/sessions/{session_id}/bookmarks", json=body)


def marked(http: TestClient, session_id: str) -> Any:
    return http.get(f"/v1/sessions/{session_id}/bookmarks").raise_for_status().json()["bookmarks"]


def found(http: TestClient, **query: str) -> list[str]:
    answer = http.get("/v1/sessions", params={"bookmarked": "true", **query}).raise_for_status().json()
    assert answer["total"] == len(answer["sessions"])
    return [each["session_id"] for each in answer["sessions"]]


def test_a_moment_is_marked_after_the_end_too(deployment: MemoryDeployment, http: TestClient) -> None:
    """The session itself stays as it was: nothing comes into the log, and it is not prolonged."""
    session_id = start(deployment, "ann")
    say(deployment, "ann")
    deployment.advance(60_000)
    before = http.get(f"/v1/sessions/{session_id}").json()
    made = mark(http, session_id, seq=1, text="the first sign", performer_id="ben")
    assert made.status_code == 201
    assert http.get(f"/v1/sessions/{session_id}").json() == before
    command(deployment, "ann", "end")
    deployment.advance(1_000)
    assert mark(http, session_id, event=2).status_code == 201
    first, second = marked(http, session_id)
    assert first == made.json()
    assert (first["seq"], first["event"], first["text"], first["performer_id"]) == (1, None, "the first sign", "ben")
    assert (second["seq"], second["event"], second["text"], second["performer_id"]) == (None, 2, "", None)


def test_a_repeat_changes_nothing(deployment: MemoryDeployment, http: TestClient) -> None:
    """The same of the same place by the same person is one; another word, or another person, makes another."""
    session_id = start(deployment, "ann")
    for body in ({"text": "look"}, {"text": "look"}, {}, {"text": "look", "performer_id": "ben"}):
        assert mark(http, session_id, event=1, **body).status_code == 201
    assert len(marked(http, session_id)) == 3


@pytest.mark.parametrize(
    "body", [{}, {"seq": 1, "event": 1}, {"seq": 2}, {"event": 9}, {"seq": 0}, {"event": 1, "text": "two\nlines"}]
)
def test_what_is_no_moment_is_refused(deployment: MemoryDeployment, http: TestClient, body: Any) -> None:
    """One place, which the session has, and one line."""
    session_id = start(deployment, "ann")
    say(deployment, "ann")
    problem(mark(http, session_id, **body), 422, "invalid_request")


def test_nothing_is_changed_or_taken_away(deployment: MemoryDeployment, http: TestClient) -> None:
    """There is no route for it."""
    session_id = start(deployment, "ann")
    mark(http, session_id, event=1)
    for method in ("PUT", "PATCH", "DELETE"):
        assert http.request(method, f"/v1/sessions/{session_id}/bookmarks").status_code == 405


def test_sessions_are_found_by_it(deployment: MemoryDeployment, http: TestClient) -> None:
    """In lists and counts, beside other filters and beside words."""
    one, two, _ = (start(deployment, user_id) for user_id in ("ann", "bob", "cyd"))
    say(deployment, "ann", transcript="a purple balloon")
    for session_id in (one, two):
        mark(http, session_id, event=1)
    assert sorted(found(http)) == sorted((one, two))
    assert found(http, user_id="bob") == [two]
    assert found(http, q="balloon") == [one]
    assert found(http, q="nothing") == []
    assert http.get("/v1/sessions/count?bookmarked=true").json() == {"count": 2}
    assert http.get("/v1/sessions?bookmarked=false").status_code == 422


def test_who_may_mark_and_who_sees(deployment: MemoryDeployment, profiles: Profiles) -> None:
    """A reviewer of the person marks; a producer reads; to others there is no such session."""
    session_id = start(deployment, "ann")
    ben, camera, eva = sees("ann"), sees("ann", role="producer"), sees("eva")
    app = make_app(deployment.context(profiles=profiles), Shell(doors=Doors(Named(ben, camera, eva))))
    with TestClient(app) as http:

        def as_(who: Any) -> TestClient:
            http.headers["Authorization"] = f"Bearer {who.name}"
            return http

        assert mark(as_(ben), session_id, event=1).status_code == 201
        assert mark(as_(camera), session_id, event=1).status_code == 403
        assert len(marked(as_(camera), session_id)) == 1
        assert mark(as_(eva), session_id, event=1).status_code == 404
        assert as_(eva).get(f"/v1/sessions/{session_id}/bookmarks").status_code == 404
        assert as_(eva).get("/v1/sessions?bookmarked=true").json()["sessions"] == []
        assert len(as_(ben).get("/v1/sessions?bookmarked=true").json()["sessions"]) == 1


def test_without_a_profile_store_there_are_none(deployment: MemoryDeployment) -> None:
    """To mark says what to set; there are no bookmarks, and no session that has one."""
    session_id = start(deployment, "ann")
    with http_of(deployment) as http:
        assert "A3CP_PROFILE_STORE_URL" in problem(mark(http, session_id, event=1), 422, "invalid_request")["remedy"]
        assert marked(http, session_id) == []
        assert found(http) == []


def test_they_go_with_their_person(
    deployment: MemoryDeployment, http: TestClient, profiles: Profiles, tmp_path: Path
) -> None:
    """What is said of a moment is encrypted, and is gone once the person is erased."""
    session_id = start(deployment, "ann")
    mark(http, session_id, event=1, text="something private")
    assert b"private" not in b"".join(path.read_bytes() for path in tmp_path.glob("profiles.db*"))
    assert profiles.remove("ann")
    assert marked(http, session_id) == []
