"""Sessions for the tests of bundles: those of the demo's day, and made ones of any size and hostility."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256
from typing import Any, Final

from processor.codec import Codec, Schemas
from processor.codec.events import from_json, to_json, view_of
from processor.codec.schema import SHIPPED
from processor.codec.wire import JSON
from processor.core.model import (
    Command,
    CommandName,
    Ended,
    EndReason,
    IdFormat,
    Noted,
    Rules,
    Started,
    StartReason,
    Tagged,
)
from processor.demo.day import lifelike_day
from processor.demo.script import Sent
from processor.runtime.task import Task
from processor.runtime.withholding import why_withheld
from processor.runtime.worker import Worker
from processor.sessions.model import EventRow, MessageRow, SessionView
from processor.sessions.summary import SessionFold, new_session
from processor.settings.documents import schema_text
from processor.settings.model import TopicNames
from processor.testing import ManualClock, MemoryBroker, MemoryLog
from processor.upstream.facts import facts_of
from processor.upstream.notices import Notice

NOW_MS: Final = 1_763_740_800_000
PARTITIONS: Final = 4
TOPICS: Final = TopicNames(*(f"demo.{name}" for name in TopicNames._fields))
SCHEMAS: Final = Schemas({name: schema_text(name) for name in SHIPPED})
CODEC: Final = Codec(SCHEMAS)
START_MS: Final = 1_763_715_600_000  # 2025-11-21T09:00:00Z


class _Nobody:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def run_day(sent: Iterable[Sent]) -> MemoryBroker:
    """Return a broker in memory on which the real processor has tagged what was `sent`."""
    clock = ManualClock(NOW_MS)
    broker = MemoryBroker(clock, partitions=PARTITIONS)
    for record in sent:
        broker.produce(TOPICS.raw, (record.key or b"").decode(), record.value, partition=record.partition)
    observer: Any = _Nobody()
    worker = Worker(
        MemoryLog(broker, raw=TOPICS.raw, state=TOPICS.state),
        lambda p: Task(p, PARTITIONS, codec=CODEC, rules=Rules(), topics=TOPICS, record_bytes_max=1 << 20),
        clock,
        observer,
        batch_records_max=50,
        punctuate_ms=1,
        sleep=lambda _: None,
    )
    for _ in range(100):
        worker.turn()
        clock.time_ms += 1_000
    return broker


@cache
def day_views() -> tuple[SessionView, ...]:
    """Return the sessions of the demo's day, as the real processor tags them."""
    broker = run_day(lifelike_day(NOW_MS, SCHEMAS, PARTITIONS, IdFormat.DATED))
    messages: dict[str, list[MessageRow]] = defaultdict(list)
    events: dict[str, list[EventRow]] = defaultdict(list)
    for tagged in (record for log in broker.topics[TOPICS.tagged] for record in log):
        row = message_row(tagged.raw_value or b"", tagged.append_ms, tagged.number, tagged.position)
        if row.session_id is not None:
            messages[row.session_id].append(row)
    for told in (record for log in broker.topics[TOPICS.sessions] for record in log):
        event = CODEC.decode_event(told.raw_value or b"")
        if event.session_id is not None:
            value = to_json(event)
            events[event.session_id].append(
                EventRow(
                    event.session_id, event.user_id, event.kind, event.timestamp, told.append_ms, value, None,
                    told.number, told.position,
                )
            )  # fmt: skip
    return tuple(
        view_of_rows(messages[session_id], rows)
        for session_id, rows in sorted(events.items())
        if any(row.kind == "started" for row in rows)
    )


def day_view(user_id: str, which: int = 0) -> SessionView:
    """Return one of a user's sessions of the day."""
    return [view for view in day_views() if view.session.user_id == user_id][which]


def message_row(value: bytes, append_ms: int, partition: int = 0, offset: int = 0) -> MessageRow:
    """Return the row of a tagged message, as a store holds it."""
    view, content = CODEC.untag(value)
    withheld = why_withheld(content, view.fields)
    notices = sum(1 << Notice.WORDS.index(word) for word in view.flags)
    if withheld:
        notices |= Notice.WITHHELD
    facts = facts_of(view.fields)
    modality, performer_id, capture_id = (
        text if isinstance(text := view.fields.get(name), str) else None
        for name in ("modality", "performer_id", "capture_id")
    )
    return MessageRow(
        view.session_id, view.session_seq, view.user_id, view.record_id, view.timestamp_ms, append_ms, view.source,
        modality, performer_id, facts.expressed_by, capture_id,
        notices | facts.notices, view.claimed_session_id, sha256(content).digest(), len(content),
        None if withheld else value, withheld, view.encoding, None, partition, offset,
    )  # fmt: skip


def view_of_rows(messages: list[MessageRow], rows: list[EventRow]) -> SessionView:
    """Return a view of rows in memory."""
    events = [from_json(row.value) for row in rows]
    started = next(event for event in events if event.kind == "started")
    assert started.session_id is not None
    assert started.start_time is not None
    fold = SessionFold(new_session(started.session_id, started.user_id, rows[0].partition, started.start_time))
    for row in messages:
        fold.add_message(
            row, facts_of({"user_id": row.user_id} if row.value is None else CODEC.untag(row.value)[0].fields)
        )
    for event in events:
        fold.add_event(event)
    session = fold.row()
    return SessionView(session, lambda: iter(messages), lambda: iter(rows))


def made_view(
    contents: Iterable[dict[str, Any] | bytes],
    *,
    session_id: str = "sess_20251121_090000_0123456789abcdef0123456789abcdef",
    user_id: str = "heron-07",
    notes: tuple[str, ...] = (),
    every_ms: int = 1_000,
    ended: bool = True,
) -> SessionView:
    """Return a session whose messages have `contents` beside a spine, or came as these bytes."""
    rows, digest, at_ms = [], sha256(session_id.encode()).digest(), START_MS
    for seq, content in enumerate(contents, 1):
        at_ms = START_MS + (seq - 1) * every_ms
        spine = {"schema_version": "1.0.1", "record_id": f"{seq:08x}-0000-4000-8000-000000000000", "user_id": user_id}
        if isinstance(content, bytes):
            value = content
        else:
            message = {**spine, "timestamp": _iso(at_ms), **content}
            value = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        content_hash = sha256(value).digest()
        digest = sha256(digest + content_hash).digest()
        tagged = CODEC.tag(value, Tagged(session_id, seq, START_MS, 0, at_ms, content_hash, True))
        rows.append(message_row(tagged, at_ms + 3, 0, seq))
    started = Started(
        session_id, START_MS, StartReason.COMMAND, None, 0, _command(user_id, CommandName.START, START_MS)
    )
    told: list[Any] = [started]
    for number, note in enumerate(notes):
        command = _command(user_id, CommandName.NOTE, START_MS + number + 1)._replace(session_notes=note)
        told.append(Noted(session_id, START_MS, START_MS + number + 1, command))
    if ended:
        told.append(Ended(session_id, START_MS, at_ms, EndReason.TIMEOUT, 0, len(rows), digest, 0, at_ms + 3_600_001))
    events = []
    for number, event in enumerate(told):
        view = view_of(user_id, event)
        at = view.timestamp
        events.append(EventRow(session_id, user_id, view.kind, at, at + 3, to_json(view), None, 0, number))
    return view_of_rows(rows, events)


def varied(count: int) -> Iterable[dict[str, Any]]:
    """Yield contents of many kinds."""
    for number in range(count):
        match number % 23:
            case 0:
                yield {"source": "ui", "modality": "image", "performer_id": "carer-02", "event": "capture.open",
                       "capture_id": f"c{number}", "annotation": {"intent": "drink"}}  # fmt: skip
            case 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8:
                yield {"source": "ui", "modality": "image", "performer_id": "carer-02", "event": "capture.frame_meta",
                       "capture_id": f"c{number}", "seq": number}  # fmt: skip
            case 9:
                yield {"source": "communicator", "modality": "audio", "sample_rate": 16000, "chunk_size": 512}
            case 10 | 11:
                yield {"source": "caregiver", "modality": "speech", "transcript": f"Would you like number {number}?"}
            case 12:
                yield {"source": "gesture_classifier", "classifier_output": {"unknown": 1.0, "drink": 0.0}}
            case 13:
                yield {"source": "feedback_log", "intent_label": "more", "label_status": "corrected",
                       "label_correction": "drink"}  # fmt: skip
            case 14:
                yield {"source": "clarification_planner",
                       "clarification": {"needed": True, "candidates": ["more", "drink"]}}  # fmt: skip
            case _:
                yield {"source": "output_planner", "output_phrase": f"I would like number {number}.",
                       "output_mode": "speech", "final_decision": "drink"}  # fmt: skip


def _command(user_id: str, name: CommandName, at_ms: int) -> Command:
    record_id = f"{at_ms:032x}"
    return Command(user_id, record_id, at_ms, at_ms, b"\0" * 32, name, performer_id="carer-02", encoding=JSON)


def _iso(ms: int) -> str:
    from processor.codec.isotime import format_time

    return format_time(ms)
