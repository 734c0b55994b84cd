"""What tests of the faces share: a deployment in memory with its application, and bodies of requests."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from processor.codec.isotime import format_time
from processor.faces.app import make_app
from processor.in_memory import MemoryDeployment, Replica

START_MS = 1_750_000_000_000
START = "2025-06-15T15:06:40.000Z"


@contextmanager
def http_of(replica: MemoryDeployment | Replica, **more: Any) -> Iterator[TestClient]:
    """A client of a replica's application; `more` are further fields of its context."""
    app = make_app(replica.context(**more))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


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
