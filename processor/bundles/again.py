"""Renders a bundle again from the messages and session events that it holds, and compares byte by byte.

The same session gives the same bytes. So if the same renderer wrote the bundle, its records prove words, page and
table: what a person reads is what was said.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from processor.bundles.agreement import AuditText
from processor.bundles.contents import Format, write_files
from processor.bundles.reading import Record, lines, members, read_records
from processor.codec import Codec
from processor.codec.events import from_json, to_json
from processor.codec.isotime import parse_time
from processor.core.model import Tagged
from processor.errors import A3CPError
from processor.sessions.forms.shapes import AuditLine, File, Metadata, Summary
from processor.sessions.model import EventRow, MessageRow, SessionRow, SessionView
from processor.sessions.ports import TAGGED
from processor.sessions.projection.decoding import decode_part, reason_of
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.summary import SessionFold, new_session
from processor.targets.paths import AUDIT, BUNDLE, PAGE, RECORDS, TABLE, TIMELINE
from processor.targets.target import Target
from processor.upstream.facts import Facts, tag_notices

HELD_BYTES_MAX: Final = 16 << 20  # of records.jsonl: what is read once; more is read twice
_FORMATS: Final = {BUNDLE: Format.JSON, AUDIT: Format.JSONL, PAGE: Format.HTML, TABLE: Format.CSV, TIMELINE: Format.CSV}
_NOTHING_KNOWN: Final = Facts("", 0, None, None, None, False, False, False, None, ())  # of a message that is withheld


_ToldEvent: TypeAlias = tuple[str, bytes, str | None]  # when it was recorded, the event, its trace


class NotComparable(Exception):
    """The bundle cannot be rendered here; the text says why."""


class Difference(NamedTuple):
    """A file that differs from what was rendered, and the first line that does."""

    file: str
    line: int


def differences(target: Target, metadata: Metadata, listed: Mapping[str, File], codec: Codec) -> Iterator[Difference]:
    """Yield the files of the bundle `target` that differ from what its records give.

    Args:
        target: the bundle, whose files agree with each other.
        metadata: of it.
        listed: its files, by their names.
        codec: reads its messages.

    Raises:
        NotComparable: it cannot be rendered here.
        OSError: it cannot be read, or there is no room to render it.
    """
    try:
        view = _view_of(target, metadata, listed, codec)
        with TemporaryDirectory(prefix="a3cp-again-") as made:
            formats = frozenset(_FORMATS[name] for name in listed if name in _FORMATS)
            for file in write_files(Path(made), view, codec, formats):
                if file != listed.get(file.name):
                    yield Difference(file.name, _first_difference(target, file.name, Path(made, file.name)))
    except A3CPError as error:
        raise NotComparable(reason_of(error)) from error


def _first_difference(target: Target, name: str, rendered: Path) -> int:
    with rendered.open("rb") as file:
        ours = (line.rstrip(b"\n") for line in file)
        both = enumerate(zip_longest(lines(target, target.path(name)), ours), 1)
        return next((number for number, (theirs, mine) in both if theirs != mine), 0)


def _view_of(target: Target, metadata: Metadata, listed: Mapping[str, File], codec: Codec) -> SessionView:
    events = list(_events(target, metadata, listed))
    held: list[tuple[MessageRow, Facts]] = []
    if listed[RECORDS].size <= HELD_BYTES_MAX:
        held.extend(_messages(target, metadata, codec))

    def messages() -> Iterable[tuple[MessageRow, Facts]]:
        return held or _messages(target, metadata, codec)

    fold = SessionFold(new_session(metadata.session_id, metadata.user_id, 0, parse_time(metadata.start_time)))
    is_withheld = False
    for row, facts in messages():
        fold.add_message(row, facts)
        is_withheld = is_withheld or row.withheld is not None
    for event in events:
        fold.add_event(from_json(event.value))
    session = fold.row()
    if is_withheld:
        session = _with_told_sums(session, target, listed)
    return SessionView(session, lambda: (row for row, _ in messages()), lambda: iter(events))


def _events(target: Target, metadata: Metadata, listed: Mapping[str, File]) -> Iterator[EventRow]:
    """Yield the session events, in order."""
    if BUNDLE in listed:
        found = _events_of_bundle(target)
    elif AUDIT in listed:
        found = _events_of_audit(target)
    elif metadata.event_count:
        raise NotComparable(f"it has neither {BUNDLE} nor {AUDIT}, and so no session events")
    else:
        found = iter(())
    for number, (recorded_at, text, trace_id) in enumerate(found):
        event = from_json(text)
        at_ms, append_ms = event.timestamp, parse_time(recorded_at)
        yield EventRow(
            metadata.session_id, event.user_id, event.kind, at_ms, append_ms, to_json(event), trace_id, 0, number
        )  # fmt: skip


def _events_of_bundle(target: Target) -> Iterator[_ToldEvent]:
    texts, places = [], {}
    for member, _, text in members(enumerate(lines(target, target.path(BUNDLE)))):
        if member == "session_events":
            texts.append(text)
        elif member == "timeline":
            place = msgspec.json.decode(text, type=_EventPlace)
            if place.number is not None:
                places[place.number] = place
    for number, text in enumerate(texts, 1):
        yield places[number].recorded_at, text, places[number].trace_id


def _events_of_audit(target: Target) -> Iterator[_ToldEvent]:
    for text in lines(target, target.path(AUDIT)):
        line = msgspec.json.decode(text, type=AuditLine)
        if line.event.get("source") == "session_manager" and "kind" in line.event:
            yield line.recorded_at, bytes(msgspec.json.decode(text, type=AuditText).event), line.trace_id


class _EventPlace(msgspec.Struct):
    number: int | None
    recorded_at: str
    trace_id: str | None = None


def _messages(target: Target, metadata: Metadata, codec: Codec) -> Iterator[tuple[MessageRow, Facts]]:
    start_ms = parse_time(metadata.start_time)
    for record in read_records(target):
        yield _withheld(record, metadata) if record.content is None else _message(record, metadata, start_ms, codec)


def _message(record: Record, metadata: Metadata, start_ms: int, codec: Codec) -> tuple[MessageRow, Facts]:
    """Return a message as a store would hold it: it is tagged as it was, then read."""
    line, content = record.line, record.content
    assert content is not None
    tagged = Tagged(metadata.session_id, line.seq, start_ms, tag_notices(tuple(line.flags)), 0, b"", True)
    append_ms = parse_time(line.appended_at)
    if line.text is None:
        codec.decode(content, append_ms)  # From here on it knows the schema.
    partition, offset = map(int, line.position.split("@"))
    value = codec.tag(content, tagged)
    part = decode_part(codec, [OutputRecord(TAGGED, partition, offset, append_ms, value)])
    if not part.messages:
        raise NotComparable(f"message {line.seq} cannot be read: {part.unreadable[0].error}")
    return part.messages[0].row._replace(trace_id=line.trace_id), part.messages[0].facts


def _withheld(record: Record, metadata: Metadata) -> tuple[MessageRow, Facts]:
    line, known = record.line, record.line.known
    if known is None:
        raise NotComparable(f"message {line.seq} is withheld, and nothing is told of it")
    partition, offset = map(int, line.position.split("@"))
    row = MessageRow(
        session_id=metadata.session_id,
        seq=line.seq,
        user_id=line.key,
        record_id=known.get("record_id", ""),
        timestamp_ms=parse_time(known["timestamp"]),
        append_ms=parse_time(line.appended_at),
        source=known.get("source"),
        modality=known.get("modality"),
        performer_id=known.get("performer_id"),
        expressed_by=known["expressed_by"],
        capture_id=known.get("capture_id"),
        notices=tag_notices(tuple(line.flags)),
        claimed_session_id=None,
        content_hash=bytes.fromhex(line.content_hash),
        size_bytes=line.size,
        value=None,
        withheld=line.withheld,
        encoding=0,
        trace_id=line.trace_id,
        partition=partition,
        offset=offset,
    )
    return row, _NOTHING_KNOWN._replace(expressed_by=row.expressed_by)


def _with_told_sums(session: SessionRow, target: Target, listed: Mapping[str, File]) -> SessionRow:
    """Return `session` with those sums of bundle.json that only the content of withheld messages could prove."""
    if BUNDLE not in listed:
        return session
    found = members(enumerate(lines(target, target.path(BUNDLE))))
    told = next(msgspec.json.decode(text, type=Summary) for member, _, text in found if member == "summary")
    sums: dict[str, Any] = {
        name: getattr(told, name) for name in ("abort_codes", "feedback", "escalations", "captures", "consented")
    }
    if told.average_confidence is not None:
        sums |= {"confidence_sum": told.average_confidence, "confidence_count": 1}
    return session._replace(summary=replace(session.summary, **sums))
