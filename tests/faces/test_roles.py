"""What each role may, whose sessions it sees, and what the OpenAPI document says of that."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.app import make_app
from processor.faces.auth.doors import Caller, Doors, Role
from processor.faces.middleware.shell import Shell
from processor.in_memory import MemoryDeployment
from tests.faces.stage import COMMANDS, as_caller, created, problem

SAYS = [*COMMANDS, ("messages", {"text": "hello"}, 202, "")]
READS = ["", "/messages", "/events", "/timeline", "/audit", "/explain", "/proof", "/export?format=json"]


@pytest.mark.parametrize(("route", "body", "status_code", "kind"), SAYS)
@pytest.mark.parametrize("role", ["producer", "reviewer"])
def test_a_foreign_session_is_404_whatever_the_role(
    http: TestClient, role: Role, route: str, body: dict[str, Any] | None, status_code: int, kind: str
) -> None:
    """So nobody learns from a 403 that it exists. An unknown one is told alike."""
    del status_code, kind
    session_id = created(http)
    who = Caller("x", role, ("ben",))
    foreign = as_caller(http, who).post(f"/v1/sessions/{session_id}/{route}", json=body)
    unknown = as_caller(http, who).post(f"/v1/sessions/sess_0123456789abcdef/{route}", json=body)
    assert problem(foreign) == problem(unknown) == (404, "session_not_found")
    assert foreign.json()["detail"] == unknown.json()["detail"]


class Door:
    """Lets everybody in as `whose`."""

    def __init__(self, whose: Caller) -> None:
        self._whose = whose

    async def who(self, token: str) -> Caller:
        """Return the one that everybody is."""
        del token
        return self._whose


def client_of(deployment: MemoryDeployment, who: Caller) -> TestClient:
    """Return a client with a token of `who`."""
    app = make_app(deployment.context(), Shell(doors=Doors(Door(who))))
    return TestClient(app, headers={"Authorization": "Bearer x"})


@pytest.mark.parametrize("role", ["producer", "reviewer", "operator"])
def test_every_role_reads_the_sessions_of_its_users(deployment: MemoryDeployment, http: TestClient, role: Role) -> None:
    """An application needs with its one token: its sessions, their messages, lists, and what comes of them."""
    session_id = created(http)
    client = client_of(deployment, Caller("x", role, ("ann",)))
    for path in READS:
        assert client.get(f"/v1/sessions/{session_id}{path}").status_code == 200, path
    for path in ("sessions", "sessions/count", "active", "users/ann/sessions", "users/ann/active", "stats"):
        assert client.get(f"/v1/{path}").status_code == 200, path
    foreign = client_of(deployment, Caller("x", role, ("ben",)))
    for path in READS:
        assert foreign.get(f"/v1/sessions/{session_id}{path}").status_code == 404, path
    assert foreign.get("/v1/users/ann/sessions").json()["sessions"] == []


def test_an_application_lives_on_a_producers_token(deployment: MemoryDeployment, http: TestClient) -> None:
    """It begins a session, says something, tells a step, reads all of it back and ends it."""
    del deployment
    client = as_caller(http, Caller("app", "producer", ("ann",)))
    path = f"/v1/sessions/{created(client)}"
    assert client.post(f"{path}/messages", json={"role": "user", "content": "hello"}).status_code == 202
    assert client.post(f"{path}/steps", json={"name": "search", "duration_ms": 3}).status_code == 201
    assert client.get(f"{path}/messages").json()["messages"][0]["content"] == "hello"
    assert client.get(f"{path}/audit").json()["steps_completed"] == ["search"]
    assert client.post(f"{path}/end").status_code == 200
    assert problem(client.post(f"{path}/notes", json={"text": "x"})) == (403, "forbidden")


def test_the_openapi_document_names_the_roles() -> None:
    """In `security`, and in words; an operation that names none is open to all of them."""
    paths = make_app(None).openapi()["paths"]
    expected = {
        "/v1/sessions": ["producer", "operator"],
        "/v1/sessions/{session_id}/notes": ["reviewer", "operator"],
        "/v1/sessions/{session_id}/messages": ["producer", "operator"],
        "/v1/users/{user_id}/erase": ["operator"],
        "/v1/what-if": ["operator"],
        "/session_manager/sessions.start": ["producer", "operator"],
    }
    for path, roles in expected.items():
        operation = paths[path]["post"]
        assert operation["security"] == [{"token": roles}], path
        assert f"Roles: {', '.join(roles)}." in operation["description"]
    assert paths["/v1/sessions"]["get"]["security"] == [{"token": []}]
