"""What tests of the faces share: a deployment in memory with its application, and bodies of requests."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from processor.codec.isotime import format_time
from processor.faces.app import make_app
from processor.in_memory import MemoryDeployment, Replica

START_MS = 1_750_000_000_000
START = "2025-06-15T15:06:40.000Z"


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
        app.dependency_overrides.clear()
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
