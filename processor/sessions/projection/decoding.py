"""What the records of the two output topics say: rows for the tables, and what their sessions add up. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from processor.codec.codec import Codec
from processor.codec.events import EventView, to_json
from processor.codec.isotime import TIME_MS_MAX
from processor.codec.traces import trace_id_in
from processor.codec.wire import CONFLUENT_HEADER_BYTES, JSON
from processor.core.model import CANARY, CANARY_USERS
from processor.errors import A3CPError, DecodeError, RecordError, RegistryUnavailable
from processor.runtime.withholding import stand_in, why_text_is_withheld, why_withheld
from processor.sessions.model import EventRow, MessageRow, TextRow, UnreadableRow
from processor.sessions.ports import SESSIONS, TAGGED, Place
from processor.sessions.projection.feed import OutputRecord
from processor.upstream.expression import voice_of_event
from processor.upstream.facts import Facts, event_texts, facts_of, tag_notices
from processor.upstream.notices import Notice

PART_RECORDS: Final = 2_500  # decoded at a time, with their rows about 10 MiB
_TO_PROCESSOR: Final = ", then replay the dead letter"  # what a processor's remedy ends with; here it is no dead letter
_NUMBERS_END: Final = 1 << 53  # Beyond it JSON's readers disagree, and databases have their own limits.


class DecodedMessage(NamedTuple):
    """A tagged message."""

    row: MessageRow
    facts: Facts
    start_ms: int  # of its session, as its tag says
    texts: list[TextRow]


class DecodedEvent(NamedTuple):
    """A session event."""

    view: EventView
    row: EventRow
    start_ms: int  # of its session, as far as the event says
    texts: list[TextRow]


class Part(NamedTuple):
    """What some records say, each kind in their order."""

    messages: list[DecodedMessage]
    events: list[DecodedEvent]
    unreadable: list[UnreadableRow]


class RecordWaits(RegistryUnavailable):
    """The schema registry does not answer for the record at `place`."""

    def __init__(self, what: str, place: Place, *, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.args = what, place  # With these another process makes it anew, and then puts the remedy back.
        self.place = place


def decode(codec: Codec, records: Sequence[OutputRecord]) -> Iterator[Part]:
    """Yield what `records` say, some at a time.

    Raises:
        RecordWaits: the registry does not answer for one of them.
    """
    for part in parts_of(records):
        yield decode_part(codec, part)


def parts_of(records: Sequence[OutputRecord], size: int = PART_RECORDS) -> Iterator[Sequence[OutputRecord]]:
    """Yield `records`, `size` at a time."""
    for start in range(0, len(records), size):
        yield records[start : start + size]


def decode_part(codec: Codec, records: Iterable[OutputRecord]) -> Part:
    """Return what `records` say. Raises as `decode` does."""
    part = Part([], [], [])
    for record in records:
        try:
            _require_time(record)
            if record.topic == TAGGED:
                message = _message(codec, record)
                if not _is_of_a_canary(message.row):
                    part.messages.append(message)
            else:
                part.events.append(_event(codec, record))
        except RecordError as error:
            part.unreadable.append(_unreadable(record, error))
        except RegistryUnavailable as error:
            raise RecordWaits(error.what, record[:3], remedy=error.remedy) from error
    return part


def schema_header(record: OutputRecord) -> bytes:
    """Return the header that names the record's schema in the registry, b"" when none does."""
    value = record.value or b""
    return value[:CONFLUENT_HEADER_BYTES] if value[:1] == b"\0" else b""


def _require_time(record: OutputRecord) -> None:
    """Refuse a record that no page could show: the processor's always have a time."""
    if not 0 <= record.append_ms <= TIME_MS_MAX:
        raise DecodeError(
            f"it has no usable append time (its timestamp is {record.append_ms})", remedy="see who writes to this topic"
        )


def _is_of_a_canary(row: MessageRow) -> bool:
    return row.session_id is None and row.source == CANARY and row.user_id.startswith(CANARY_USERS)


def _message(codec: Codec, record: OutputRecord) -> DecodedMessage:
    value = record.value or b""
    view, source = codec.untag(value)
    if not 0 <= (view.session_seq or 0) < _NUMBERS_END:
        raise DecodeError("session_seq is out of all bounds", remedy="see who writes to this topic")
    fields = view.fields
    facts = facts_of(fields)
    notices = tag_notices(view.flags) | facts.notices
    why = why_withheld(source, fields)
    if why is not None:
        notices |= Notice.WITHHELD
    if why is not None:
        clean: Callable[[str], str] = _fit_to_keep
    else:  # JSON has NUL as an escape only, so most messages need no look at each of their texts.
        clean = str if view.encoding == JSON and b"\\u0000" not in source else _clean
    claim = view.claimed_session_id
    row = MessageRow(
        view.session_id,
        view.session_seq if view.session_id is not None else None,
        clean(view.user_id),
        clean(view.record_id),
        view.timestamp_ms,
        record.append_ms,
        None if view.source is None else clean(view.source),
        clean(modality) if isinstance(modality := fields.get("modality"), str) else None,
        clean(performer) if isinstance(performer := fields.get("performer_id"), str) else None,
        facts.expressed_by,
        clean(capture) if isinstance(capture := fields.get("capture_id"), str) else None,
        notices,
        None if claim is None else clean(claim),
        sha256(source).digest(),
        len(source),
        value if why is None else None,
        why,
        view.encoding,
        trace_id_in(record.traceparent),
        record.partition,
        record.offset,
    )
    start_ms = view.session_start_ms if view.session_start_ms is not None else view.timestamp_ms
    texts = _texts(facts.texts, row, facts.expressed_by, TAGGED) if facts.texts and why is None else []
    return DecodedMessage(row, facts, start_ms, texts)


def _event(codec: Codec, record: OutputRecord) -> DecodedEvent:
    told = codec.decode_event(record.value or b"")
    view = EventView._make(_fit_to_keep(field) if isinstance(field, str) else field for field in told)
    if any(isinstance(number, int) and not 0 <= number < _NUMBERS_END for number in view):
        raise DecodeError("a number in the event is out of all bounds", remedy="see who writes to this topic")
    # A command that was refused for naming another's session, or none there is, is no part of that session.
    is_foreign = view.kind == "rejected" and view.reason != "already_closed"
    row = EventRow(
        None if is_foreign else view.session_id,
        view.user_id,
        view.kind,
        view.timestamp,
        record.append_ms,
        to_json(view),
        trace_id_in(record.traceparent),
        record.partition,
        record.offset,
    )
    start_ms = view.timestamp if view.start_time is None else view.start_time
    texts = _texts(event_texts(view), row, voice_of_event(view).value, SESSIONS)
    return DecodedEvent(view, row, start_ms, texts)


def _fit_to_keep(text: str) -> str:
    """Return `text` of an event as it may be kept: hash and size in place of media, and no NUL."""
    if why := why_text_is_withheld(text):
        return stand_in(why, text.encode())
    return _clean(text)


def _texts(
    texts: Iterable[tuple[str, str]], row: MessageRow | EventRow, expressed_by: str, topic: str
) -> list[TextRow]:
    place = row.partition, row.offset
    return [
        TextRow(row.session_id, row.user_id, row.timestamp_ms, expressed_by, where, _clean(text), topic, *place)
        for where, text in texts
    ]


def _unreadable(record: OutputRecord, error: RecordError) -> UnreadableRow:
    value = record.value or b""
    digest = sha256(value).digest()
    why = _clean(reason_of(error))
    return UnreadableRow(record.topic, why, digest, len(value), record.partition, record.offset)


def reason_of(error: A3CPError) -> str:
    """Return what `error` says to those who read what a processor has tagged: here nothing is a dead letter."""
    return str(error).removesuffix(_TO_PROCESSOR)


def _clean(text: str) -> str:
    """Return `text` without NUL, which PostgreSQL cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text
