"""What the worker's log tells of sessions."""

import io
import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from processor.codec import Codec
from processor.config import TopicNames
from processor.core.model import Rules
from processor.health import Health
from processor.logs import make_logger
from processor.metrics import Metrics
from processor.observer import Observer
from processor.runtime.tally import BOUNDARIES_MAX
from processor.runtime.task import Task
from processor.testing import MemoryRecord
from tests.exporter.outputs import SCHEMAS, START_MS, message

TOPICS = TopicNames("raw", "tagged", "sessions", "state", "dlq")


def told(values: list[bytes], *, level: str = "info", key: str | None = None) -> list[dict[str, Any]]:
    """Return what is logged of sessions when `values` were tagged and committed."""
    stream = io.StringIO()
    log = make_logger("processor", level=level, log_format="json", key=key, stream=stream)
    observer = Observer(Metrics(CollectorRegistry()), Health(), log, raw="raw")
    task = Task(0, 1, codec=Codec(SCHEMAS), rules=Rules(), topics=TOPICS, record_bytes_max=1 << 20)
    task.process([MemoryRecord(0, n, b"k", value, START_MS + n) for n, value in enumerate(values)])
    observer.committed({0: task.committed()}, len(values), 0.001, {0: task})
    return [line for line in map(json.loads, stream.getvalue().splitlines()) if line["operation"] == "session"]


DAY = [
    message("anna", 0, command="start", performer_id="carer01"),
    message("anna", 1, source="ui"),
    message("anna", 2, command="pause", performer_id="carer01"),
    message("anna", 3, command="resume", performer_id="carer01"),
    message("anna", 4, command="end", performer_id="carer01"),
]


def test_each_boundary_is_a_line_without_a_person() -> None:
    """What began and ended, and why; the session is hashed, who it was left out."""
    lines = told(DAY)
    words = ["session started", "session paused", "session resumed", "session ended"]
    assert [line["message"] for line in lines] == words
    assert {line["level"] for line in lines} == {"info"}
    (session_id,) = {line["metadata"]["session_id"] for line in lines}
    assert session_id.startswith("#")
    assert "anna" not in json.dumps(lines)
    ended = lines[-1]["metadata"]
    assert (ended["reason"], ended["messages"], ended["duration_ms"]) == ("command", 1, 4)


@pytest.mark.parametrize(
    ("level", "key", "user"), [("info", None, "[left out]"), ("info", "secret", "#"), ("debug", None, "anna")]
)
def test_who_it_was(level: str, key: str | None, user: str) -> None:
    """Left out; with A3CP_LOG_KEY a hash, by which one user's lines can be found; in clear for a developer."""
    assert all(line["metadata"]["user_id"].startswith(user) for line in told(DAY, level=level, key=key))


def test_warnings_alone_are_quiet() -> None:
    """At the level warning nothing is told of sessions."""
    assert told(DAY, level="warning") == []


def test_very_many_are_summed_up() -> None:
    """A backlog must not drown the log: what goes beyond the limit of a transaction is counted."""
    lines = told([message(f"user-{n}", n, source="ui") for n in range(BOUNDARIES_MAX + 20)])
    assert len(lines) == BOUNDARIES_MAX + 1
    assert (lines[-1]["metadata"]["started"], lines[-1]["metadata"]["ended"]) == (BOUNDARIES_MAX + 20, 0)
