"""What tests of reading routes share: sessions in a deployment in memory, and callers who see some of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient

from processor.codec.isotime import format_time
from processor.faces.app import make_app
from processor.faces.auth.doors import ALL_USERS, Caller, Doors, Role
from processor.faces.middleware.shell import Shell
from processor.in_memory import MemoryDeployment, Replica
from tests.faces.stage import message

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


class Named:
    """A door that knows each caller by a token, its name."""

    def __init__(self, *callers: Caller) -> None:
        self._callers = {each.name: each for each in callers}

    async def who(self, token: str) -> Caller | None:
        return self._callers.get(token)


def sees(*users: str, role: Role = "reviewer") -> Caller:
    return Caller(f"{role}-{'-'.join(users) or 'nobody'}", role, frozenset(users))


ALL = Caller("all", "operator", (ALL_USERS,))


@contextmanager
def reading(replica: MemoryDeployment | Replica, who: Caller = ALL) -> Iterator[TestClient]:
    """A client of the replica's application that comes in as `who`."""
    app = make_app(replica.context(), Shell(doors=Doors(Named(who))))
    headers = {"Authorization": f"Bearer {who.name}"}
    with TestClient(app, base_url="http://127.0.0.1", headers=headers, raise_server_exceptions=False) as client:
        yield client


def start(deployment: MemoryDeployment | Replica, user_id: str, **arguments: Any) -> str:
    """Start a session of `user_id`, perhaps a lane; return its id."""
    event = command(deployment, user_id, "start", **arguments)
    assert event.session_id is not None
    return str(event.session_id)


def command(deployment: MemoryDeployment | Replica, user_id: str, word: Any, **arguments: Any) -> Any:
    """Send a command, and return its outcome."""
    made = deployment.sender.command(user_id, word, performer_id="carer", **arguments)
    outcome = deployment.view.memory.expect(made.record_id, user_id)
    deployment.sender.send(made, lambda _: None)
    return outcome.result(0)


def say(deployment: MemoryDeployment, user_id: str, **fields: Any) -> None:
    """Send a message."""
    fields = message(user_id, deployment.clock.now_ms(), **fields)
    deployment.sender.message(json.dumps(fields).encode(), user_id=user_id)


def ago(deployment: MemoryDeployment, ms: int) -> str:
    return format_time(deployment.clock.now_ms() - ms)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Return the problem that `answer` tells, which is this one."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    found: dict[str, Any] = answer.json()
    return found
