"""What tests of the faces share: a deployment in memory with its application, and bodies of requests."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from processor.codec.isotime import format_time
from processor.faces.app import make_app
from processor.faces.auth.doors import Caller
from processor.in_memory import MemoryDeployment, Replica

START_MS = 1_750_000_000_000
START = "2025-06-15T15:06:40.000Z"
COMMANDS = [
    ("end", None, 200, "ended"),
    ("pause", None, 200, "paused"),
    ("notes", {"text": "calm today", "kind": "observation"}, 201, "note"),
    ("context", {"location": "kitchen"}, 201, "context"),
    ("steps", {"name": "search", "duration_ms": 1250, "timing_key": "search_ms", "data": {"found": 3}}, 201, "step"),
    ("status", {"status": "waiting"}, 201, "status"),
    ("tags", {"add": ["review"]}, 201, "tag"),
    ("touch", None, 200, "unchanged"),
    ("resume", None, 200, "unchanged"),
]
"""Each command to a session: its route, a body, its status, and the kind of its event."""


_idle: list[FastAPI] = []  # Most of a test's time would be the making of one.


@contextmanager
def http_of(replica: MemoryDeployment | Replica, **more: Any) -> Iterator[TestClient]:
    """A client of a replica's application; `more` are further fields of its context."""
    app = _idle.pop() if _idle else make_app(None)
    app.state.context = replica.context(**more)
    try:
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            yield client
    finally:
        vars(app.state.shell.doors).pop("who", None)
        _idle.append(app)


@contextmanager
def served(folder: Path, **more: Any) -> Iterator[tuple[MemoryDeployment, TestClient]]:
    """A deployment with a client of its first replica."""
    with MemoryDeployment(folder) as deployment, http_of(deployment, **more) as client:
        yield deployment, client


def message(user_id: str, at_ms: int = START_MS, **fields: Any) -> dict[str, Any]:
    """A conforming message."""
    return {
        "schema_version": "1.0.1",
        "record_id": str(uuid.uuid4()),
        "user_id": user_id,
        "timestamp": format_time(at_ms),
        "source": "ui",
        **fields,
    }


def created(http: TestClient, **body: Any) -> str:
    answer = http.post("/v1/sessions", json={"user_id": "ann", **body})
    assert answer.status_code == 201, answer.text
    session_id = answer.json()["session_id"]
    assert isinstance(session_id, str)
    return session_id


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def as_caller(http: TestClient, who: Caller) -> TestClient:
    """The client, which comes in as `who` from now on."""

    async def let_in(_: str | None) -> Caller:
        return who

    http.app.state.shell.doors.who = let_in  # type: ignore[attr-defined]
    return http


def kinds(deployment: MemoryDeployment) -> list[str]:
    """The kinds of all session events, in the order of the log."""
    return [json.loads(value or b"")["kind"] for value in deployment.broker.values("sessions")]


def code(answer: Any) -> tuple[int, str]:
    """An answer's status and the code of its problem."""
    return answer.status_code, answer.json()["code"]
