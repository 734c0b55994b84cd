"""Session events as records: the schema SessionEvent by hand, in Avro and in JSON.

The record_id derives from what happened, so a run that repeats another writes the same bytes.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha1
from types import NoneType
from typing import Any, Final, NamedTuple, assert_never, get_args
from uuid import UUID

import msgspec

from processor.codec.avroreading import Reader
from processor.codec.avrowriting import optional_text, write_long, write_text
from processor.codec.isotime import format_time, parse_time
from processor.core.model import (
    Command,
    Ended,
    EndReason,
    Noted,
    Paused,
    Rejected,
    Reopened,
    Resumed,
    SessionEvent,
    Started,
    StartReason,
    Unchanged,
)
from processor.errors import DecodeError

FINGERPRINT: Final = 0x548A4DD1037C2A7B  # of schemas/avro/SessionEvent.avsc, whose layout `to_avro` writes
SCHEMA_VERSION: Final = "1.0.1"  # of upstream's model, as all its modules write it
SOURCE: Final = "session_manager"
_REMEDY: Final = "give a record of the sessions topic"
SEALED: Final = "sealed"
SYSTEM: Final = "system"  # upstream's performer of what no person asked for
_NAMESPACE: Final = UUID("6f9e1f5c-2a53-5d0b-9a4e-0a3c95e551d1").bytes  # Ours; any fixed UUID does.


class EventView(NamedTuple):
    """One SessionEvent record. Times in ms since the epoch; see schemas/avro/SessionEvent.avsc for each field."""

    schema_version: str
    record_id: str
    user_id: str
    session_id: str | None
    timestamp: int
    source: str
    performer_id: str | None
    start_time: int | None
    end_time: int | None
    is_training_data: bool | None
    session_notes: str | None
    training_intent_label: str | None
    kind: str
    reason: str | None
    revision: int | None
    message_count: int | None
    digest: str | None
    active_ms: int | None
    paused_ms: int | None
    previous_session_id: str | None
    command_record_id: str | None
    details: str | None
    template: str | None


def view_of(user_id: str, event: SessionEvent) -> EventView:
    """Return the record that tells `event`."""
    kind = reason = revision = count = digest = active_ms = paused_ms = previous = end_ms = taken_back = None
    start_ms: int | None = None if isinstance(event, Rejected) else event.start_ms
    command: Command | None = None if isinstance(event, Reopened) else event.command
    match event:
        case Started():
            kind, reason, previous = "started", event.reason.value, event.previous_session_id
        case Reopened():
            kind, taken_back = "reopened", event.revision
        case Paused():
            kind = "paused"
        case Resumed():
            kind, paused_ms = "resumed", event.paused_ms
        case Ended():
            kind, reason, revision, count = "ended", event.reason.value, event.revision, event.messages
            digest, paused_ms, end_ms = event.digest.hex(), event.paused_ms, event.end_ms
            active_ms = max(0, event.end_ms - event.start_ms - event.paused_ms)
        case Noted():
            kind = event.command.name.value
        case Unchanged():
            kind, reason = "unchanged", event.why
        case Rejected():
            kind, reason = "rejected", event.code.value
        case _:
            assert_never(event)
    command_record_id = cause = command.record_id if command else None
    if command is not None and not cause:  # Its sender gave it no name; its content is one.
        cause = command.content_hash.hex()
    at_ms = event.start_ms if isinstance(event, Started) else event.at_ms
    ordinal = revision if taken_back is None else taken_back  # A session may be reopened twice at one time.
    return EventView(
        SCHEMA_VERSION,
        _record_id(f"{user_id}\0{event.session_id}\0{kind}\0{ordinal}\0{cause}\0{at_ms}"),
        user_id,
        event.session_id,
        at_ms,
        SOURCE,
        command.performer_id if command else SYSTEM,
        start_ms,
        end_ms,
        command.is_training_data if command and isinstance(event, Started) else None,
        command.session_notes if command else None,
        command.training_intent_label if command else None,
        kind,
        reason,
        revision,
        count,
        digest,
        active_ms,
        paused_ms,
        previous,
        command_record_id,
        command.details if command else None,
        command.template if command else None,
    )


def sealed_view(seal: str, at_ms: int) -> EventView:
    """Return the record that tells of a seal.

    It is nobody's event: its key is ours, which is no user's. Equal seals have equal records.

    Args:
        seal: the text of the `Seal` (processor/sessions/forms/shapes.py), one JSON object.
        at_ms: when it was made.
    """
    nothing = EventView._make([None] * len(EventView._fields))
    return nothing._replace(
        schema_version=SCHEMA_VERSION,
        record_id=_record_id(f"seal\0{seal}"),
        user_id=SOURCE,
        timestamp=at_ms,
        source=SOURCE,
        performer_id=SYSTEM,
        kind=SEALED,
        details=seal,
    )


def _record_id(told: str) -> str:
    """Return a UUID that derives from `told`.

    It says that it is of version 4, though it is made as those of version 5 are: A3CP's own readers accept no other.
    """
    digest = sha1(_NAMESPACE + told.encode(), usedforsecurity=False).hexdigest()
    variant = _VARIANTS[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


_VARIANTS: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
_WRITERS: Final[dict[Any, Callable[[Any], bytes]]] = {
    str: write_text,
    str | None: lambda text: b"\x02" + write_text(text),
    int: write_long,
    int | None: lambda number: b"\x02" + write_long(number),
    bool | None: lambda is_so: b"\x02\x01" if is_so else b"\x02\x00",
}
_WORDS: Final = ("schema_version", "source", "performer_id", "kind", "reason")  # They come again and again.
_writers: Final = tuple(
    lru_cache(maxsize=256)(_WRITERS[kind]) if name in _WORDS else _WRITERS[kind]
    for name, kind in EventView.__annotations__.items()
)


def to_avro(view: EventView) -> bytes:
    """Return `view` in Avro binary, without a header."""
    return b"".join([b"\x00" if field is None else write(field) for write, field in zip(_writers, view, strict=True)])


def write_avro(user_id: str, event: SessionEvent) -> bytes:
    """Return `to_avro(view_of(user_id, event))`.

    Nearly all events are boundaries that no command caused: put together from their constant parts, they take a third
    of the time. tests/codec proves that the bytes are the same.
    """
    if not isinstance(event, _BOUNDARIES) or event.command is not None:
        return to_avro(view_of(user_id, event))
    session_id, start_ms, start = event.session_id, event.start_ms, b"\x02" + write_long(event.start_ms)
    if isinstance(event, Started):
        told = f"{user_id}\0{session_id}\0started\0None\0None\0{start_ms}"
        time = start[1:]
        rest = _STARTED[event.reason] + optional_text(event.previous_session_id)
    else:
        _, _, end_ms, reason, revision, count, digest, paused_ms, at_ms, _ = event
        told = f"{user_id}\0{session_id}\0ended\0{revision}\0None\0{at_ms}"
        time = write_long(at_ms)
        active_ms = max(0, end_ms - start_ms - paused_ms)
        rest = (
            b"\x02%b%b\x02%b\x02%b" % (write_long(end_ms), _ENDED[reason], write_long(revision), write_long(count))
            + optional_text(digest.hex())
            + b"\x02%b\x02%b\x00" % (write_long(active_ms), write_long(paused_ms))
        )
    return b"".join(
        (
            _VERSION,
            _record_id(told).encode(),
            write_text(user_id),
            b"\x02",
            write_text(session_id),
            time,
            _BY_SYSTEM,
            start,
            rest,
            b"\x00\x00\x00",  # no command, no details, no template
        )
    )


_BOUNDARIES: Final = (Started, Ended)
_VERSION: Final = write_text(SCHEMA_VERSION) + b"\x48"  # and the length of a record id
_BY_SYSTEM: Final = write_text(SOURCE) + optional_text(SYSTEM)
# Up to the reason; a start has neither end nor the five counts that follow, an end has its time before.
_STARTED: Final = {
    reason: bytes(4) + write_text("started") + optional_text(reason.value) + bytes(5) for reason in StartReason
}
_ENDED: Final = {reason: bytes(3) + write_text("ended") + optional_text(reason.value) for reason in EndReason}


def from_avro(value: bytes, pos: int, read: Reader) -> EventView:
    """Return the event that starts at `pos`, written with a schema that `read` reads: any release's SessionEvent.

    Raises:
        DecodeError: it is cut off, or has bytes left over, or lacks what every event has.
    """
    fields, end = read(value, pos, 0)
    if end != len(value):
        raise DecodeError(f"event has {len(value) - end} bytes too many", remedy=_REMEDY)
    return _view(fields)


def to_json(view: EventView) -> bytes:
    """Return `view` as a flat JSON object in the schema's order: times as ISO text, no null but `session_id`'s."""
    told: Any = _Told(*view)
    told.timestamp = format_time(view.timestamp)
    told.start_time = None if view.start_time is None else format_time(view.start_time)
    told.end_time = None if view.end_time is None else format_time(view.end_time)
    told.details = None if view.details is None else msgspec.Raw(view.details.encode())  # JSON already.
    return _encode(told)


# All but what every event has, and `session_id`, is left out when it is None.
_Told: Final = msgspec.defstruct(
    "_Told", [*EventView._fields[:4], *((key, Any, None) for key in EventView._fields[4:])], omit_defaults=True
)
_encode: Final = msgspec.json.Encoder().encode


# How a field is read: times are text, details may be any JSON, such as a number larger than any float.
_AS_JSON: Final[dict[str, Any]] = {
    "timestamp": str,
    "start_time": str | None,
    "end_time": str | None,
    "details": msgspec.Raw,
}
_Read: Final = msgspec.defstruct(
    "_Read",
    [
        (name, _AS_JSON.get(name, kind), *((None,) if NoneType in get_args(kind) else ()))
        for name, kind in EventView.__annotations__.items()
    ],
    kw_only=True,
)
_decode: Final = msgspec.json.Decoder(_Read).decode


def from_json(value: bytes) -> EventView:
    """Return the event in the JSON text `value`.

    Raises:
        DecodeError: it is no JSON object, or no session event.
    """
    try:
        read: Any = _decode(value)
        read.timestamp = parse_time(read.timestamp)
        if read.start_time is not None:
            read.start_time = parse_time(read.start_time)
        if read.end_time is not None:
            read.end_time = parse_time(read.end_time)
        if read.details is not None:
            read.details = bytes(read.details).decode()
    except msgspec.ValidationError as error:
        raise _no_event(error) from error
    except (ValueError, RecursionError) as error:
        raise DecodeError("value is no session event in JSON", remedy=_REMEDY) from error
    return EventView._make(msgspec.structs.astuple(read))


def _view(fields: dict[str, Any]) -> EventView:
    try:
        return msgspec.convert([fields.get(key) for key in EventView._fields], EventView)
    except msgspec.ValidationError as error:
        raise _no_event(error) from error


def _no_event(error: msgspec.ValidationError) -> DecodeError:
    return DecodeError(f"value is no session event: {error}", remedy=_REMEDY)
