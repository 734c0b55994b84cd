"""What the processor writes for what it reads, with everything real but Kafka."""

import json
from typing import Any

import pytest

from processor.runtime.partitioner import partition_of
from processor.runtime.worker import Worker
from processor.testing import MemoryBroker
from tests.runtime.world import GAP_MS, NOW_MS, broker, message, run_until_done, worker_on


def _run(memory: MemoryBroker, **options: Any) -> Worker:
    worker, observer = worker_on(memory, **options)
    run_until_done(worker, memory)
    assert observer.failures == []
    return worker


def _json(memory: MemoryBroker, topic: str) -> list[dict[str, Any]]:
    return [json.loads(value or b"null") for value in memory.values(topic)]


def test_messages_are_tagged_and_a_session_starts():
    """Two messages of a user: one start, numbers 1 and 2, content unchanged, one state."""
    memory = broker()
    values = [message("ann", NOW_MS + n, number=n) for n in range(2)]
    for value in values:
        memory.produce("raw", "ann", value)
    worker = _run(memory)
    tagged = _json(memory, "tagged")
    assert [m["session_seq"] for m in tagged] == [1, 2]
    assert [event["kind"] for event in _json(memory, "sessions")] == ["started"]
    assert all((out or b"").startswith(raw[:-1]) for raw, out in zip(values, memory.values("tagged"), strict=True))
    assert sum(task.users for task in worker.tasks.values()) == 1
    assert sum(task.open_sessions for task in worker.tasks.values()) == 1


@pytest.mark.parametrize(
    ("value", "stage", "words"),
    [
        (b"{broken", "decode", "JSON"),
        (None, "decode", "tombstone"),
        (b"", "decode", "empty"),
        (b"\xc3\x01\x00", "decode", "header"),
        (b"\x00\x00\x00\x00\x63rest", "decode", "63|99"),
        (b'{"a": NaN}', "decode", "JSON"),
        (b'{"timestamp":"2026-01-01T00:00:00Z"}', "validate", "user_id"),
        (message("x" * 257), "validate", "256"),
        (message("ann", source="ui", command="dance"), "validate", "resume"),
    ],
)
def test_a_bad_record_is_a_dead_letter_and_the_next_is_tagged(value, stage, words):
    """The partition moves on; the dead letter has the bytes, the position and the reason."""
    memory = broker(partitions=1)
    memory.produce("raw", "ann", value)
    memory.produce("raw", "ann", message("ann"))
    _run(memory)
    assert len(memory.values("tagged")) == 1
    (letter,) = memory.topics["dlq"][0]
    headers = {name: (content or b"").decode() for name, content in letter.raw_headers or ()}
    assert letter.raw_value == value
    assert (headers["a3cp-dlq-topic"], headers["a3cp-dlq-offset"], headers["a3cp-dlq-stage"]) == ("raw", "0", stage)
    assert any(word in headers["a3cp-dlq-message"] for word in words.split("|"))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b'{"frame_data":"data:image/jpeg;base64,/9j/4AAQ"', "raw media"),
        (b'{"is_partial": true,"transcript":"he', "partial transcript"),
        (rb'{"frame\u005fdata":"/9j/4AAQSkZJRg', "raw media"),
        (rb'{"icon":"data:image\/png;base64,iVBORw', "raw media"),
        (rb'{"is\u005Fpartial": true,"transcript":"he', "partial transcript"),
    ],
)
def test_what_must_not_be_kept_is_not_in_the_dead_letters(value, why):
    """Hash and size instead of raw media and partial transcripts."""
    memory = broker(partitions=1)
    memory.produce("raw", "ann", value)
    _run(memory)
    (letter,) = memory.topics["dlq"][0]
    assert letter.raw_value is not None
    kept = json.loads(letter.raw_value)
    assert (kept["withheld"], kept["size"]) == (why, len(value))
    assert value[-8:] not in letter.raw_value


def test_a_tagged_record_that_is_too_large_is_a_dead_letter():
    """It is not half done either: no start, no state, and the next message starts the session."""
    memory = broker(partitions=1)
    memory.produce("raw", "ann", message("ann", blob="x" * 3000))
    memory.produce("raw", "ann", message("ann", number=1))
    _run(memory, record_bytes_max=3000)
    assert len(memory.values("dlq")) == len(memory.values("tagged")) == 1
    (started,) = _json(memory, "sessions")
    assert started["session_id"] == _json(memory, "tagged")[0]["session_id"]


def test_a_misplaced_record_is_sent_to_its_partition_once():
    """A null key and a wrong partition: tagged once, where the user belongs, in the order of arrival there."""
    memory = broker()
    right = partition_of(b"ann", 4)
    memory.produce("raw", "ann", message("ann"), partition=(right + 1) % 4)
    _run(memory)
    assert [len(log) for log in memory.topics["tagged"]] == [int(p == right) for p in range(4)]
    (moved,) = memory.topics["raw"][right]
    assert dict(moved.raw_headers or ())["a3cp-rerouted"] == f"raw[{(right + 1) % 4}]@0".encode()


def test_silence_ends_a_session_and_a_message_reopens_it():
    """The clock ends it after gap and quiet period; a message within the gap, arriving late, goes on with it."""
    memory = broker(partitions=1)
    memory.produce("raw", "ann", message("ann", NOW_MS))
    worker = _run(memory)
    memory.clock.time_ms = NOW_MS + GAP_MS
    worker.turn()
    assert [e["kind"] for e in _json(memory, "sessions")] == ["started"]
    memory.clock.time_ms += 2000
    worker.turn()
    assert [e["kind"] for e in _json(memory, "sessions")] == ["started", "ended"]
    memory.produce("raw", "ann", message("ann", NOW_MS + 1000, number=1))
    worker.turn()
    memory.clock.time_ms += 9_000
    worker.turn()
    assert [e["kind"] for e in _json(memory, "sessions")] == ["started", "ended", "reopened"]
    memory.clock.time_ms += 3_000  # Now nothing has come for the quiet period.
    worker.turn()
    ended = _json(memory, "sessions")[-1]
    assert (ended["kind"], ended["revision"], ended["message_count"]) == ("ended", 1, 2)
    assert [m["session_seq"] for m in _json(memory, "tagged")] == [1, 2]


def test_a_user_is_forgotten_after_the_late_horizon():
    """A tombstone in the state topic, nothing in memory."""
    memory = broker(partitions=1)
    memory.produce("raw", "ann", message("ann"))
    worker = _run(memory)
    for days in (1, 2, 3):
        memory.clock.time_ms = NOW_MS + days * 86_400_000
        worker.turn()
    assert memory.values("state")[-1] is None
    assert worker.tasks[0].users == 0
