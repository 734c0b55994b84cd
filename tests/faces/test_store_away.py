"""While the store does not answer, what memory knows is told, with what may be missing; the rest is a 503."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
from starlette.testclient import TestClient

from processor.errors import StoreUnavailable
from processor.in_memory import MemoryDeployment
from tests.faces.reading import problem, reading, say, start

READS = ("", "/messages", "/events", "/timeline", "/audit", "/explain", "/proof", "/export", "/export?format=html")


class Away:
    """A store whose database does not answer."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise StoreUnavailable("the store does not answer")


@contextmanager
def away(deployment: MemoryDeployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with reading(deployment) as http, monkeypatch.context() as patched:
        for name in ("reading", "snapshot", "page"):
            patched.setattr(deployment.store.database, name, Away())
        yield http


def test_what_memory_knows_is_told(deployment: MemoryDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a session that is in memory, and lists of those."""
    session_id = start(deployment, "ann")
    say(deployment, "ann", transcript="hello")
    with away(deployment, monkeypatch) as http:
        for what in READS:
            answer = http.get(f"/v1/sessions/{session_id}{what}")
            assert answer.status_code == 200, (what, answer.text)
            assert answer.headers["a3cp-position"]
        listed = http.get("/v1/sessions").json()
        assert [session["session_id"] for session in listed["sessions"]] == [session_id]
        assert http.get("/v1/active").json()["total"] == 1
        assert http.get("/v1/users/ann/active").json()["sessions"] == listed["sessions"]


def test_what_may_be_missing_is_said(deployment: MemoryDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list says since when it is complete; a session that may have more says so; a number is refused."""
    start(deployment, "old")
    deployment.export()
    deployment.advance(1000)
    session_id = start(deployment, "ann")
    for topic, tail in deployment.view.memory.tails.items():  # As after a while: what the store holds is let go.
        tail.drop({number: len(log) for number, log in enumerate(deployment.broker.topics[topic])})
    say(deployment, "ann", transcript="hello")
    with away(deployment, monkeypatch) as http:
        answer = http.get(f"/v1/sessions/{session_id}")
        assert (answer.status_code, "a3cp-incomplete" in answer.headers) == (200, True)
        listed = http.get("/v1/sessions").json()
        assert (listed["complete_since"] is not None, "total" in listed) == (True, False)
        for path in ("/v1/sessions/count", "/v1/stats", "/v1/search?q=hello", "/v1/sessions?q=hello"):
            problem(http.get(path), 503, "store_unavailable")
        problem(http.get("/v1/sessions/sess_nobody_knows"), 503, "store_unavailable")
    with reading(deployment) as http:
        assert http.get("/v1/sessions").json()["total"] == 2
