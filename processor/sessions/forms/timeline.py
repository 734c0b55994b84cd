"""A session's timeline: its messages and events in order of time, each with one line in plain words."""

from array import array
from collections.abc import Iterator
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from processor.codec import Codec
from processor.codec.events import EventView, from_json
from processor.codec.isotime import format_time
from processor.codec.jsonvalue import plain_object
from processor.errors import DecodeError, RecordError
from processor.runtime.withholding import why_withheld
from processor.sessions.arguments import details_of
from processor.sessions.forms.shapes import Context, Entry, Note, Step
from processor.sessions.model import EventRow, MessageRow, SessionView
from processor.upstream.expression import voice_of_event
from processor.upstream.notices import notice_words
from processor.upstream.words import Said, detail_words, filled, said_in_event, said_in_message

SPOOL_BYTES_MAX: Final = 8 << 20  # kept in memory; beyond it a temporary file takes over
_FIRST: Final = ("started",)
_LAST: Final = ("ended",)
SPINE: Final = ("record_id", "source", "modality", "performer_id", "capture_id")
_READ_AS_STORED: Final = "use the release and the SCHEMA_REGISTRY_URL that it was stored with, then export again"
_encode: Final = msgspec.json.Encoder().encode


Item: TypeAlias = Entry | Note | Context | Step | dict[str, Any] | str | list[str] | None


class Line(NamedTuple):
    """An entry with its place in time."""

    at_ms: int
    rank: int  # among entries of the same ms
    entry: Entry


def message_line(row: MessageRow, codec: Codec) -> tuple[Line, bytes | None]:
    """Return the entry of a message, and the bytes that it came in as; None, and an entry without content, if withheld.

    Raises:
        DecodeError, RegistryUnavailable: as `Codec.untag`.
    """
    assert row.seq is not None
    content, why = None, row.withheld or "not held"
    record: dict[str, Any] = {}
    if row.withheld is None and row.value is not None:
        try:
            view, content = codec.untag(row.value)
        except DecodeError as error:
            place = f"message {row.seq} of {row.session_id}, tagged[{row.partition}]@{row.offset}"
            raise DecodeError(f"{place}, cannot be read: {error.what}", remedy=_READ_AS_STORED) from error
        record = view.fields
        found = why_withheld(content, record)  # The store should not have what must not be kept; this is the last gate.
        if found is not None:
            content, why = None, found
    if content is None:
        record = _without_content(row, why)
    notices = list(notice_words(row.notable))
    if content is None and "withheld" not in notices:
        notices.append("withheld")
    at_ms = row.append_ms if "clock_skew" in notices else row.timestamp_ms
    said = Said("withheld", {"why": why}) if content is None else said_in_message(record)
    voice: Any = row.expressed_by
    entry = Entry(
        kind="message",
        seq=row.seq,
        number=None,
        at=format_time(at_ms),
        recorded_at=format_time(row.append_ms),
        expressed_by=voice,
        source=row.source,
        modality=row.modality,
        words=filled(said),
        detail="",
        phrase=said.phrase,
        values=dict(said.values),
        notices=notices,
        content_hash=row.content_hash.hex(),
        record=record,
        reasons=_reasons(content, codec) if "nonconforming" in notices else [],
        trace_id=row.trace_id,
    )
    return Line(at_ms, 1, entry), content


def _reasons(content: bytes | None, codec: Codec) -> list[str]:
    """Return why a message does not conform; nothing when its content is not kept, or is read otherwise by now."""
    with suppress(RecordError):
        return list(codec.reasons(content or b""))
    return []


def _without_content(row: MessageRow, why: str) -> dict[str, Any]:
    spine = {name: value for name in SPINE if (value := getattr(row, name))}
    told = {"withheld": why, "sha256": row.content_hash.hex(), "size": row.size_bytes}
    times = {"timestamp": format_time(row.timestamp_ms), "session_id": row.session_id}
    return {"user_id": row.user_id, **times, **spine, **told}


def event_line(row: EventRow, event: EventView, number: int) -> Line:
    """Return the entry of a session event, the `number`th of its session. An end stands where the session ended."""
    at_ms = event.timestamp
    if event.kind in _LAST and event.end_time is not None:
        at_ms = event.end_time
    record = plain_object(row.value)
    detail, said = detail_words(event.kind, details_of(event)), said_in_event(event)
    voice: Any = voice_of_event(event).value
    entry = Entry(
        kind=event.kind,
        seq=None,
        number=number,
        at=format_time(at_ms),
        recorded_at=format_time(row.append_ms),
        expressed_by=voice,
        source=event.source,
        modality=None,
        words=filled(said),
        detail=detail,
        phrase=said.phrase,
        values=dict(said.values),
        notices=[],
        content_hash=None,
        record=record,
        trace_id=row.trace_id,
    )
    return Line(at_ms, 0 if event.kind in _FIRST else 3 if event.kind in _LAST else 2, entry)


class Spool:
    """Takes items in any order and gives their JSON back in order of time; what is large lies in a temporary file."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES_MAX)  # noqa: SIM115  # `close` is the caller's.
        self._at = array("q")
        self._rank = array("b")
        self._start = array("q", [0])

    def add(self, at_ms: int, rank: int, item: Item) -> None:
        """Take what stands at `at_ms`, with its `rank` among those of the same ms."""
        text = _encode(item)
        self._file.write(text)
        self._at.append(at_ms)
        self._rank.append(rank)
        self._start.append(self._start[-1] + len(text))

    def __len__(self) -> int:
        return len(self._at)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the items as JSON, in order of time; of one ms by rank, then as added."""
        order = sorted(range(len(self._at)), key=lambda index: (self._at[index], self._rank[index]))
        file, start, at = self._file, self._start, -1
        for index in order:
            if start[index] != at:
                file.seek(start[index])
            yield file.read(start[index + 1] - start[index])
            at = start[index + 1]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def spooled(view: SessionView, codec: Codec) -> Spool:
    """Return the session's timeline, ready to be read; the caller closes it.

    Raises:
        DecodeError, RegistryUnavailable: as `Codec.untag`.
    """
    spool = Spool()
    for row in view.messages():
        spool.add(*message_line(row, codec)[0])
    for number, event in enumerate(view.events(), 1):
        spool.add(*event_line(event, from_json(event.value), number))
    return spool
