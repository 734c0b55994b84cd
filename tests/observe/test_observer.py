"""What the worker's log tells of sessions."""

import io
import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from processor.codec import Codec
from processor.core.model import Rules
from processor.observe.health import Health
from processor.observe.logs import make_logger
from processor.observe.metrics import Metrics
from processor.observe.worker import WorkerObserver
from processor.runtime.ports import Alarm, Cause
from processor.runtime.tally import BOUNDARIES_MAX
from processor.runtime.task import Task
from processor.settings.model import TopicNames
from processor.testing import MemoryRecord
from tests.sessions.outputs import SCHEMAS, START_MS, message


class Stage:
    """An observer with the log, the health and the metrics that it feeds, and a clock."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.registry = CollectorRegistry()
        self.health = Health()
        self.now_s = 100.0
        log = make_logger("processor", log_format="json", stream=self.stream)
        self.observer = WorkerObserver(
            Metrics(self.registry), self.health, log, raw="raw", monotonic_s=lambda: self.now_s
        )

    def lines(self) -> list[dict[str, Any]]:
        """Return what was logged since the last call."""
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return [json.loads(line) for line in text.splitlines()]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


TOPICS = TopicNames("raw", "tagged", "sessions", "state", "dlq")


def told(
    values: list[bytes], *, level: str = "info", key: str | None = None, operation: str = "session"
) -> list[dict[str, Any]]:
    """Return what is logged of `operation` when `values` were tagged and committed."""
    stream = io.StringIO()
    log = make_logger("processor", level=level, log_format="json", key=key, stream=stream)
    observer = WorkerObserver(Metrics(CollectorRegistry()), Health(), log, raw="raw")
    task = Task(0, 1, codec=Codec(SCHEMAS), rules=Rules(), topics=TOPICS, record_bytes_max=1 << 20)
    task.process([MemoryRecord(0, n, b"k", value, START_MS + n) for n, value in enumerate(values)])
    task.state_records()
    observer.committed({0: task.committed()}, len(values), 0.001, {0: task})
    return [line for line in map(json.loads, stream.getvalue().splitlines()) if line["operation"] == operation]


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
    (session_id,) = {line["session_id"] for line in lines}
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


def test_why_messages_do_not_conform_is_told_once() -> None:
    """A reason is a line when it is met first, in a message that opens a session or not; then it is only counted."""
    values = [message("anna", n, source="ui", record_id="r") for n in range(3)] + [message("bea ", 4, source=7)]
    (line,) = told(values, operation="process")
    assert line["level"] == "warning"
    assert line["metadata"]["reasons"] == ["record_id_not_uuid", "source_not_text", "user_id_blanks"]
    stage = Stage()
    task = Task(0, 1, codec=Codec(SCHEMAS), rules=Rules(), topics=TOPICS, record_bytes_max=1 << 20)
    for n, value in enumerate(values):
        task.process([MemoryRecord(0, n, b"k", value, START_MS + n)])
        task.state_records()
        stage.observer.committed({0: task.committed()}, 1, 0.001, {0: task})
    told_reasons = [line["metadata"]["reasons"] for line in stage.lines() if line["operation"] == "process"]
    assert told_reasons == [["record_id_not_uuid"], ["source_not_text", "user_id_blanks"]]
    assert stage.metric("a3cp_messages_nonconforming_total", reason="record_id_not_uuid") == 3
    assert stage.metric("a3cp_messages_nonconforming_total", reason="user_id_blanks") == 1
    assert stage.metric("a3cp_messages_flagged_total", flag="nonconforming") == 4


def test_very_many_are_summed_up() -> None:
    """A backlog must not drown the log: what goes beyond the limit of a transaction is counted."""
    lines = told([message(f"user-{n}", n, source="ui") for n in range(BOUNDARIES_MAX + 20)])
    assert len(lines) == BOUNDARIES_MAX + 1
    assert (lines[-1]["metadata"]["started"], lines[-1]["metadata"]["ended"]) == (BOUNDARIES_MAX + 20, 0)


def test_a_stand_still_shows() -> None:
    """At once in log, readiness and metric, with the remedy; in the log again each minute; no restart is asked for."""
    stage = Stage()
    observer, health = stage.observer, stage.health
    observer.assigned([0, 1])
    observer.restoring(0, 5, finished=True)
    observer.restoring(1, 5, finished=True)
    stage.lines()
    for seconds in (0, 30, 61):
        stage.now_s = 100.0 + seconds
        observer.beat()
        observer.waiting(1, Cause.REGISTRY, "schema 7 is not answered", position="raw[1]@17", remedy="look at it")
        observer.lagging({0: 0, 1: 400})
    lines = stage.lines()
    assert [(line["level"], line["message"], line["metadata"]["seconds"]) for line in lines] == [
        ("warning", "stands still", 0), ("warning", "stands still", 61),
    ]  # fmt: skip
    told = {"partition": 1, "cause": "registry", "position": "raw[1]@17", "remedy": "look at it"}
    assert told.items() <= lines[0]["metadata"].items()
    assert health.not_ready() == ["raw[1] waits at raw[1]@17: schema 7 is not answered; look at it"]
    assert health.not_alive() == []
    assert stage.metric("a3cp_partition_waiting", partition="1", cause="registry") == 1
    observer.waiting(1, Cause.REGISTRY, None)
    observer.waiting(0, Cause.REGISTRY, None)
    assert [line["message"] for line in stage.lines()] == ["goes on"]
    assert health.not_ready() == []
    assert stage.metric("a3cp_partition_waiting", partition="1", cause="registry") == 0


def test_a_stand_still_is_no_longer_ours_once_the_partition_went() -> None:
    """The new owner tells it; here nothing is left of it."""
    stage = Stage()
    stage.observer.assigned([1])
    stage.observer.restoring(1, 0, finished=True)
    stage.observer.waiting(1, Cause.UNREADABLE, "too large")
    assert stage.health.not_ready() == ["raw[1] waits: too large"]
    stage.observer.revoked([1], lost=False)
    stage.lines()
    stage.now_s += 100
    stage.observer.beat()
    assert (stage.lines(), stage.health.not_ready()) == ([], [])
    assert stage.metric("a3cp_partition_waiting", partition="1", cause="unreadable") is None


def test_a_restored_partition_is_measured_before_any_commit() -> None:
    """A sum over partitions is whole from the first second on; one with no users says 0."""
    stage = Stage()
    before = Task(0, 1, codec=Codec(SCHEMAS), rules=Rules(), topics=TOPICS, record_bytes_max=1 << 20)
    values = [
        message("anna", 0, source="ui"),
        *DAY[:1],
        message("ben", 1, source="ui"),
        message("ben", 2, command="end"),
    ]
    before.process([MemoryRecord(0, n, b"k", value, START_MS + n) for n, value in enumerate(values)])
    states = [(key or b"", value) for topic, value, key, _, _ in before.state_records() if topic == TOPICS.state]
    stage.observer.assigned([0, 1])
    for partition, records in enumerate((states, [])):
        task = Task(partition, 2, codec=Codec(SCHEMAS), rules=Rules(), topics=TOPICS, record_bytes_max=1 << 20)
        task.restore(records)
        task.restored()
        stage.observer.restoring(partition, len(records), finished=True)
        stage.observer.holds(partition, task)
    assert [stage.metric("a3cp_sessions_open", partition=each) for each in "01"] == [1, 0]
    assert [stage.metric("a3cp_users_remembered", partition=each) for each in "01"] == [2, 0]
    assert all(stage.metric("a3cp_last_processed_timestamp_seconds", partition=each) for each in "01")


def test_that_no_broker_answers_is_told_each_minute() -> None:
    """Silence would look as if all were well again."""
    stage = Stage()
    stage.observer.slot(3)
    for seconds in (0, 30, 61, 90):
        stage.now_s = 100.0 + seconds
        stage.observer.broker("no broker at 127.0.0.1:1")
        stage.observer.beat()
    stage.observer.broker(None)
    lines = stage.lines()
    assert [line["message"] for line in lines] == ["no broker answers"] * 2 + ["the broker answers again"]
    assert {line["metadata"]["slot"] for line in lines} == {3}


def test_an_alarm_lasts_and_takes_nobody_out_of_service() -> None:
    """An error in the log, a warning at /readyz, metrics; all but the count goes with the partition."""
    stage = Stage()
    stage.observer.assigned([1])
    stage.observer.restoring(1, 0, finished=True)
    stage.lines()
    stage.observer.alarm(1, Alarm.LOST_INPUT, "offsets 1 to 2 were removed", remedy="see there", lost=2)
    (line,) = stage.lines()
    assert (line["level"], line["message"]) == ("error", "raw[1]: offsets 1 to 2 were removed")
    assert stage.health.not_ready() == []
    assert stage.health.warnings() == ["raw[1]: offsets 1 to 2 were removed; see there"]
    assert stage.metric("a3cp_partition_alarm", partition="1", alarm="lost_input") == 1
    stage.observer.revoked([1], lost=False)
    assert stage.health.warnings() == []
    assert stage.metric("a3cp_partition_alarm", partition="1", alarm="lost_input") is None
    assert stage.metric("a3cp_input_lost_offsets_total") == 2
