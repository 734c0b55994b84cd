"""While the schema registry does not answer, events wait in their order, and the view goes on."""

from processor.codec.events import to_avro
from processor.runtime.ports import TopicRecord
from processor.sessions.ports import SESSIONS
from processor.view.standing import Standing
from processor.view.view import View
from tests.sessions.outputs import CODEC, START_MS
from tests.strategies import SCHEMA_TEXTS, make_codec
from tests.view.stage import command, processed


def test_events_wait_for_the_registry() -> None:
    """It is asked once, then by another thread; with its answer, who waits is told, in the events' order."""
    codec = make_codec(SCHEMA_TEXTS["SessionEvent"])
    registry = codec._schemas._source
    assert registry is not None
    written, _ = processed([command("ann", "start", 0), command("ann", "pause", 1_000)])
    events = [CODEC.decode_event(taken.record.value or b"") for taken in written if taken.kind == SESSIONS]
    header = b"\0\0\0\0\1"
    records = [
        TopicRecord(SESSIONS, 0, offset, START_MS + offset, b"ann", header + to_avro(event))
        for offset, event in enumerate(events)
    ]
    view = View(codec, None, partitions=1, cluster_id="c", now_ms=lambda: START_MS)
    view.begin({})
    assert events[0].command_record_id is not None
    future = view.memory.expect(events[0].command_record_id, "ann")
    registry.down = True  # type: ignore[attr-defined]  # It is the fake.
    view.take(SESSIONS, records)
    view.trim()
    view.at({})
    assert registry.asked == 2  # type: ignore[attr-defined]
    assert not future.done()

    registry.down = False  # type: ignore[attr-defined]
    view.trim()
    view.at({})
    assert future.result(0).kind == "started"
    assert events[0].session_id is not None
    assert view.memory.standing("ann", events[0].session_id) is Standing.PAUSED
