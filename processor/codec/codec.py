"""The codec: record bytes in, values of the core; tagged and event bytes out, in the encoding that came in."""

from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from processor.codec import avro, events, jsontext
from processor.codec.events import EventView
from processor.codec.formats import format_of
from processor.codec.isotime import TIME_MS_MAX, format_time, parse_time
from processor.codec.jsonvalue import as_json, plain_object
from processor.codec.schema import EVENTS, Layout, Schemas
from processor.codec.spine import POLICY_KEY, POLICY_SOURCE, Origin, claim_of, command_of, message_of
from processor.codec.tagged import read_plain
from processor.codec.wire import (
    AVRO,
    AVRO_HEADER_BYTES,
    CONFLUENT,
    CONFLUENT_HEADER_BYTES,
    ENCODINGS,
    JSON,
    avro_header,
    encoding_of,
)
from processor.core.model import Command, Message, SessionEvent, Tagged, odd_words
from processor.errors import DecodeError, InvalidMessage

_EVENTS_HEADER = avro_header(events.FINGERPRINT)


class TaggedView(NamedTuple):
    """One tagged message in full."""

    user_id: str
    record_id: str  # "" when it has none
    timestamp_ms: int
    source: str | None
    session_id: str | None
    session_seq: int | None
    session_start_ms: int | None
    flags: tuple[str, ...]
    claimed_session_id: str | None  # None when the producer claimed none
    encoding: int
    fields: dict[str, Any]  # its own, flat, as JSON has them; `session_id` set right, time as text, none that is absent


class Codec:
    """Reads messages and commands, writes tagged messages and events. Holds nothing but caches."""

    def __init__(self, schemas: Schemas, *, strict: bool = False) -> None:
        """Use `schemas`; `strict` makes an InvalidMessage of whatever does not conform (rule R16)."""
        self._schemas = schemas
        self._strict = strict
        self._shipped_header = schemas.shipped_header
        self._shipped_tag = schemas.layouts[schemas.shipped_header].tagged_header
        self._avro_tags = avro.Tagger()
        self._json_tags = jsontext.Tagger()

    def decode(self, value: bytes | None, append_ms: int) -> Message | Command:
        """Return the message or command in `value`, which the broker appended at `append_ms`.

        Raises:
            DecodeError: its bytes cannot be read, or no schema for them is known.
            InvalidMessage: rule R16 or R7, see spine.py; or `append_ms` is no time, so rule R10 has no bound.
            RegistryUnavailable: its schema is in a registry that does not answer.
        """
        if not 0 <= append_ms <= TIME_MS_MAX:
            raise InvalidMessage(
                f"the record has no usable append time (its timestamp is {append_ms})",
                remedy="set message.timestamp.type of its topic to LogAppendTime, then retry the dead letter",
            )
        if value and value[:AVRO_HEADER_BYTES] == self._shipped_header:  # The common case before all else.
            message = avro.read_conforming(value, AVRO_HEADER_BYTES, append_ms, AVRO)
            if message is not None:
                return message
        try:
            encoding = encoding_of(value)
            assert value is not None
            if encoding == JSON:
                return jsontext.read(value, append_ms, strict=self._strict)
            size = AVRO_HEADER_BYTES if encoding == AVRO else CONFLUENT_HEADER_BYTES
            layout = self._schemas.layout(value[:size], encoding)
            if layout.is_shipped and encoding == CONFLUENT:
                message = avro.read_conforming(value, size, append_ms, encoding)
                if message is not None:
                    return message
            origin = Origin(append_ms, sha256(value).digest(), encoding, self._strict, layout.odd)
            return self._read_any(value, size, layout, origin)
        except DecodeError as error:
            found = format_of(value) if value else None
            if found is None:
                raise
            raise DecodeError(f"value is {found.name}", remedy=found.remedy) from error

    def reasons(self, value: bytes) -> tuple[str, ...]:
        """Return why the message that came as `value` is nonconforming, in words of `Odd`. Raises as `decode` does."""
        return odd_words(self.decode(value, 0).odd)

    def fields_of(self, value: bytes) -> dict[str, Any]:
        """Return the fields of the record `value`, as JSON has them, whether or not it is fit to be tagged.

        Raises:
            DecodeError: its bytes cannot be read, or no schema for them is known.
            RegistryUnavailable: as for `decode`.
        """
        encoding = encoding_of(value)
        if encoding == JSON:
            try:
                return plain_object(value)
            except ValueError as error:
                raise DecodeError("value is no JSON object", remedy="decode says why") from error
        size = AVRO_HEADER_BYTES if encoding == AVRO else CONFLUENT_HEADER_BYTES
        fields: dict[str, Any] = as_json(self._schemas.layout(value[:size], encoding).read(value, size, 0)[0])
        return _with_extra(fields, fields.pop("extra", None)) if isinstance(fields.get("extra"), str) else fields

    def _read_any(self, value: bytes, size: int, layout: Layout, origin: Origin) -> Message | Command:
        if not layout.is_message and not layout.is_command:
            raise DecodeError(
                f"value is a {layout.name}, neither a message nor a command",
                remedy="write A3CPMessage or SessionCommand, or a schema with their fields user_id and timestamp",
            )
        fields, end = layout.read(value, size, 0)
        if end != len(value):
            raise DecodeError(
                f"value has {len(value) - end} bytes after its last field",
                remedy="write it with the schema that its header names",
            )
        if layout.time_unit and isinstance(fields["timestamp"], int):
            fields["timestamp"] //= layout.time_unit
        if layout.is_command:
            text = fields.get("details")
            details = jsontext.checked_members(text.encode()) if isinstance(text, str) and text.strip() else {}
            return command_of(fields, {key: bytes(raw) for key, raw in details.items()}, origin)
        extra = fields.get("extra")
        if fields.get("source") == POLICY_SOURCE and POLICY_KEY not in fields and isinstance(extra, str):
            fields[POLICY_KEY] = _policy_in(extra)
        return message_of(fields, origin)

    def tag(self, value: bytes, tagged: Tagged) -> bytes:
        """Return `value`, which `decode` took for a message, with the tag: all that came is copied as it is."""
        first = value[0]
        if first == 0xC3:
            header = value[:AVRO_HEADER_BYTES]
            if header == self._shipped_header:
                return self._shipped_tag + value[AVRO_HEADER_BYTES:] + self._avro_tags.tag(tagged)
            return self._schemas.layouts[header].tagged_header + value[AVRO_HEADER_BYTES:] + self._avro_tags.tag(tagged)
        if first == 0:
            layout = self._schemas.layout(value[:CONFLUENT_HEADER_BYTES], CONFLUENT)
            return layout.tagged_header + value[CONFLUENT_HEADER_BYTES:] + self._avro_tags.tag(tagged)
        return self._json_tags.tag(value, tagged)

    def strip(self, value: bytes) -> bytes:
        """Return the bytes that a tagged `value` came in as: the inverse of `tag`.

        Raises:
            DecodeError: it is no tagged message.
            RegistryUnavailable: as for `decode`.
        """
        encoding = encoding_of(value)
        if encoding == JSON:
            return jsontext.strip(value)
        size = AVRO_HEADER_BYTES if encoding == AVRO else CONFLUENT_HEADER_BYTES
        layout = self._schemas.tagged_layout(value[:size], encoding)
        pos = size
        for _, read in layout.content:
            _, pos = read(value, pos, 0)
        return layout.source_header + value[size:pos]

    def decode_tagged(self, value: bytes) -> TaggedView:
        """Return all that the tagged message `value` says. Raises as `strip` does."""
        return self.untag(value)[0]

    def untag(self, value: bytes) -> tuple[TaggedView, bytes]:
        """Return what `decode_tagged` and `strip` return, in one pass."""
        encoding = encoding_of(value)
        return self._tagged_json(value) if encoding == JSON else self._tagged_avro(value, encoding)

    def _tagged_json(self, value: bytes) -> tuple[TaggedView, bytes]:
        parts = jsontext.split_appended(value)
        if parts is not None:
            fields = parts.fields
            try:
                times = _time_of_start(parts.start), parse_time(fields["timestamp"])
                view = _view(fields, parts.session_id, parts.seq, times[0], parts.flags, None, JSON, times[1])
            except (ValueError, TypeError, KeyError) as error:
                raise _no_tag() from error
            return view, parts.source
        source = jsontext.strip(value)
        fields = plain_object(source)
        try:
            tag = msgspec.json.decode(value, type=_JsonTag)
            start = msgspec.json.decode(tag.session_start, type=str | None)
            view = _view(
                fields,
                msgspec.json.decode(tag.session_id, type=str | None),
                msgspec.json.decode(tag.session_seq, type=int | None),
                None if start is None else parse_time(start),
                msgspec.json.decode(tag.session_flags, type=tuple[str, ...]),
                fields.get("session_id"),
                JSON,
                parse_time(fields["timestamp"]),
            )
        except (msgspec.ValidationError, ValueError, TypeError, KeyError) as error:
            raise _no_tag() from error
        return view, source

    def _tagged_avro(self, value: bytes, encoding: int) -> tuple[TaggedView, bytes]:
        if value[:AVRO_HEADER_BYTES] == self._shipped_tag:  # The common case before all else.
            parts = read_plain(value, AVRO_HEADER_BYTES)
            if parts is not None:
                fields, claim, timestamp_ms = parts.fields, parts.fields.get("session_id"), parts.fields["timestamp"]
                fields["timestamp"] = format_time(timestamp_ms)
                fields = _with_extra(fields, parts.extra)
                view = _view(fields, parts.session_id, parts.seq, parts.start_ms, (), claim, encoding, timestamp_ms)
                return view, self._shipped_header + value[AVRO_HEADER_BYTES : parts.end]
        size = AVRO_HEADER_BYTES if encoding == AVRO else CONFLUENT_HEADER_BYTES
        layout = self._schemas.tagged_layout(value[:size], encoding)
        content: dict[str, Any] = {}
        pos = size
        for name, read in layout.content:
            content[name], pos = read(value, pos, 0)
        source = layout.source_header + value[size:pos]
        tag: dict[str, Any] = {}
        for name, read in layout.tag:
            tag[name], pos = read(value, pos, 0)
        if pos != len(value):
            raise _no_tag()
        claim = content.get("session_id")
        timestamp = content["timestamp"]
        extra = content.pop("extra") if isinstance(content.get("extra"), str) else None
        fields = {name: as_json(field) for name, field in content.items() if field is not None}
        try:
            if layout.time_unit:
                timestamp_ms = timestamp // layout.time_unit
                fields["timestamp"] = format_time(timestamp_ms)
            else:
                timestamp_ms = parse_time(timestamp)
        except (ValueError, TypeError, AssertionError) as error:
            raise _no_tag() from error
        view = _view(
            _with_extra(fields, extra),
            tag["session_id"],
            tag["session_seq"],
            tag["session_start"],
            tuple(tag["session_flags"]),
            claim,
            encoding,
            timestamp_ms,
        )
        return view, source

    def encode_event(self, user_id: str, event: SessionEvent, encoding: int) -> bytes:
        """Return the record that tells `event` of `user_id`'s session.

        Raises:
            RegistryUnavailable: `encoding` is Confluent's and there is no registry, or it does not answer.
        """
        assert encoding in ENCODINGS
        if encoding == JSON:
            return events.to_json(events.view_of(user_id, event))
        if encoding == AVRO:
            return _EVENTS_HEADER + events.write_avro(user_id, event)
        return self._schemas.events_header() + events.write_avro(user_id, event)

    def lacks_events(self, encoding: int) -> bool:
        """Whether the registry has to be asked before `encode_event` can write in `encoding`."""
        return encoding == CONFLUENT and self._schemas.lacks(EVENTS)

    def decode_event(self, value: bytes) -> EventView:
        """Return the session event in `value`.

        Raises:
            DecodeError: it is none.
            RegistryUnavailable: as for `decode`.
        """
        encoding = encoding_of(value)
        if encoding == JSON:
            return events.from_json(value)
        size = AVRO_HEADER_BYTES if encoding == AVRO else CONFLUENT_HEADER_BYTES
        return events.from_avro(value, size, self._schemas.layout(value[:size], encoding).read)


_time_of_start: Final = lru_cache(maxsize=4_096)(parse_time)  # All messages of a session have the same.


class _JsonTag(msgspec.Struct):
    """The tag's fields as text: one that comes twice counts as it came last, whatever it was before."""

    session_id: msgspec.Raw
    session_seq: msgspec.Raw
    session_start: msgspec.Raw
    session_flags: msgspec.Raw


def _view(  # noqa: PLR0917
    fields: dict[str, Any],
    session_id: str | None,
    seq: int | None,
    start_ms: int | None,
    flags: tuple[str, ...],
    claim: object,
    encoding: int,
    timestamp_ms: int,
) -> TaggedView:
    if session_id is None:
        fields.pop("session_id", None)
    else:
        fields["session_id"] = session_id
    record_id, source = fields.get("record_id"), fields.get("source")
    return TaggedView(
        str(fields["user_id"]),
        record_id if isinstance(record_id, str) else "",
        timestamp_ms,
        source if isinstance(source, str) else None,
        session_id,
        seq,
        start_ms,
        flags,
        claim_of(claim) if isinstance(claim, str) else None,
        encoding,
        fields,
    )


def _with_extra(fields: dict[str, Any], extra: str | None) -> dict[str, Any]:
    """Return `fields` and those in `extra`; one that is no JSON object is what it is."""
    if extra is None:
        return fields
    try:
        return {**plain_object(extra), **fields}
    except ValueError:
        return {**fields, "extra": extra}


def _policy_in(extra: str) -> object:
    try:
        return plain_object(extra).get(POLICY_KEY)
    except ValueError:
        return False  # `extra` is no JSON object: a policy that cannot be read.


def _no_tag() -> DecodeError:
    return DecodeError("value has no whole session tag", remedy="give a record of the tagged topic")
