"""The files of a bundle, all but its manifest (docs/bundles.md).

They depend on the session alone, so writing twice gives the same bytes.
"""

import base64
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from processor.bundles.page import page
from processor.bundles.sink import Sink
from processor.bundles.table import Messages, write_timeline
from processor.codec import Codec
from processor.codec.events import from_json
from processor.codec.isotime import format_time
from processor.codec.wire import JSON
from processor.core.model import Flag, flag_words
from processor.sessions.forms.jsonforms import summary_of
from processor.sessions.forms.metadata import MetadataFold
from processor.sessions.forms.remarks import Remarks
from processor.sessions.forms.shapes import FORMAT, AuditLine, Entry, File, Metadata, Proof, RecordLine
from processor.sessions.forms.timeline import SPINE, Spool, event_line, message_line
from processor.sessions.model import EventRow, MessageRow, SessionRow, SessionView
from processor.targets.paths import AUDIT, BUNDLE, METADATA, PAGE, RECORDS, TABLE, TIMELINE

_BEFORE: Final = frozenset({"started", "reopened", "resumed"})  # events that go before a message of their transaction
_NO_EVENT: Final[tuple[int, EventRow | None]] = (0, None)
_TAG_BITS: Final = (1 << len(Flag.WORDS)) - 1
_encode: Final = msgspec.json.Encoder().encode


class Format(Enum):
    """What a bundle can hold beside its metadata, its records and its manifest."""

    JSON = "json"
    JSONL = "jsonl"
    HTML = "html"
    CSV = "csv"


ALL_FORMATS: Final = frozenset(Format)


def write_files(folder: Path, view: SessionView, codec: Codec, formats: frozenset[Format]) -> list[File]:
    """Write the files of the session in `view` into `folder`; return each with its size and hash.

    Raises:
        OSError: the folder cannot be written.
        DecodeError, RegistryUnavailable: as `Codec.decode_tagged`.
    """
    session = view.session
    with ExitStack() as stack:
        sinks: list[Sink] = []

        def sink(name: str) -> Sink:
            made = stack.enter_context(Sink(folder, name))
            sinks.append(made)
            return made

        timeline, events = stack.enter_context(closing(Spool())), stack.enter_context(closing(Spool()))
        remarks = stack.enter_context(closing(Remarks()))
        told = MetadataFold()
        records = sink(RECORDS)
        table = Messages(sink(TABLE)) if Format.CSV in formats else None
        audit = sink(AUDIT) if Format.JSONL in formats else None

        digest = sha256(session.session_id.encode()).digest()
        for row, number in in_order_of_log(view):
            if isinstance(row, MessageRow):
                line, content = message_line(row, codec)
                digest = sha256(digest + row.content_hash).digest()
                records.write(_record_line(row, line.entry, content))
                if table is not None:
                    table.write(line.entry)
                remarks.add_message(line)
            else:
                event = from_json(row.value)
                line = event_line(row, event, number)
                told.add(event)
                remarks.add_event(event)
                events.add(number, 0, line.entry.record)
            timeline.add(*line)
            if audit is not None:
                audit.write(_encode(AuditLine(line.entry.recorded_at, line.entry.record, row.trace_id)) + b"\n")

        if table is not None:
            table.flush()
        metadata = told.metadata(session, audit_path=AUDIT if audit is not None else None)
        sink(METADATA).write(metadata_text(metadata))
        if Format.JSON in formats:
            out = sink(BUNDLE)
            for part in _bundle_head(metadata, digest.hex(), session):
                out.write(part)
            for name, items in (
                ("notes", remarks.notes),
                ("context", remarks.contexts),
                ("steps", remarks.steps),
                ("session_events", events),
                ("timeline", timeline),
            ):
                _write_list(out, name, items)
            out.write(b"\n}\n")
        if Format.CSV in formats:
            write_timeline(sink(TIMELINE), (msgspec.json.decode(text, type=Entry) for text in timeline))
        if Format.HTML in formats:
            out = sink(PAGE)
            for part in page(session, timeline):
                out.write(part)
        return [made.close() for made in sinks]


def metadata_text(metadata: Metadata) -> bytes:
    """Return the text of session_metadata.json."""
    return msgspec.json.format(_encode(metadata), indent=2) + b"\n"


def in_order_of_log(view: SessionView) -> Iterator[tuple[MessageRow | EventRow, int]]:
    """Yield messages and events in the order of the log, each with its number among its kind.

    Two topics have no common order but time. Of the records of one transaction, a start comes before its message, all
    other events after it.
    """
    events = enumerate(view.events(), 1)
    number, event = next(events, _NO_EVENT)
    for message in view.messages():
        while event is not None and (
            event.append_ms < message.append_ms or (event.append_ms == message.append_ms and event.kind in _BEFORE)
        ):
            yield event, number
            number, event = next(events, _NO_EVENT)
        yield message, message.seq or 0
    while event is not None:
        yield event, number
        number, event = next(events, _NO_EVENT)


def _record_line(row: MessageRow, entry: Entry, content: bytes | None) -> bytes:
    assert row.seq is not None
    line = RecordLine(
        row.seq,
        f"{row.partition}@{row.offset}",
        entry.recorded_at,
        row.user_id,
        row.content_hash.hex(),
        row.size_bytes,
    )
    line.trace_id = row.trace_id
    if row.notices & _TAG_BITS:
        line.flags = list(flag_words(row.notices & _TAG_BITS))
    if content is None:
        line.withheld = str(entry.record["withheld"])
        line.flags, line.known = list(row.flags), {"expressed_by": row.expressed_by, **_known(row)}
    elif row.encoding == JSON:
        line.text = content.decode()
    else:
        line.base64 = base64.b64encode(content).decode()
    return _encode(line) + b"\n"


def _known(row: MessageRow) -> dict[str, str]:
    spine = {name: value for name in SPINE if (value := getattr(row, name))}
    return {"timestamp": format_time(row.timestamp_ms), **spine}


def _bundle_head(metadata: Metadata, digest: str, session: SessionRow) -> Iterator[bytes]:
    proof = Proof(
        session.status.value,
        session.expected_count,
        session.expected_digest,
        session.held_count,
        digest,
        session.revision,
    )
    yield b'{\n"format":%b' % _encode(FORMAT)
    for name, value in (("metadata", metadata), ("summary", summary_of(session)), ("proof", proof)):
        yield b',\n"%b":%b' % (name.encode(), _encode(value))


def _write_list(out: Sink, name: str, items: Iterable[bytes]) -> None:
    out.write(b',\n"%b":[' % name.encode())
    between = b"\n"
    for item in items:
        out.write(between + item)
        between = b",\n"
    out.write(b"\n]")
