"""Avro messages, single-object or Confluent-framed: read what is needed, copy the bytes, append the tag."""

from hashlib import sha256
from typing import Any, Final

from processor.codec.avroshort import Parts, read_conforming, read_plain
from processor.codec.avrowriting import Tagger
from processor.codec.isotime import format_time, parse_time
from processor.codec.jsonmembers import checked_members
from processor.codec.jsonvalue import as_json, plain_object
from processor.codec.layouts import Layout, TaggedLayout
from processor.codec.schema import Schemas
from processor.codec.spine import POLICY_KEY, POLICY_SOURCE, Envelope, command_of, message_of
from processor.codec.tagged import Tag, TaggedView, no_tag, view_of, with_extra
from processor.codec.wire import AVRO, AVRO_HEADER_BYTES, encoding_of, header_of
from processor.core.model import Record, Tagged
from processor.errors import DecodeError


class AvroMessages:
    """Reads, tags and untags messages in Avro. Holds nothing but caches."""

    def __init__(self, schemas: Schemas, *, strict: bool) -> None:
        """Use `schemas`; `strict` as the codec has it."""
        self._schemas: Final = schemas
        self._strict: Final = strict
        self._shipped_header: Final = schemas.shipped_header
        self._shipped_tag: Final = schemas.layout(schemas.shipped_header).tagged_header
        self._tags: Final = Tagger()

    def decode(self, value: bytes, append_ms: int) -> Record:
        """Return the message or command in `value`. Raises as `Codec.decode` does."""
        if value[:AVRO_HEADER_BYTES] == self._shipped_header:  # The common case before all else.
            message = read_conforming(value, AVRO_HEADER_BYTES, append_ms, AVRO)
        else:
            encoding, header = encoding_of(value), header_of(value)
            is_shipped = self._schemas.layout(header).is_shipped
            message = read_conforming(value, len(header), append_ms, encoding) if is_shipped else None
        return message or self.read(value, append_ms)

    def read(self, value: bytes, append_ms: int) -> Record:
        """Return the same, read with its schema, whatever it is."""
        header = header_of(value)
        layout = self._schemas.layout(header)
        fields = _whole(value, header, layout)
        envelope = Envelope(append_ms, sha256(value).digest(), encoding_of(value), self._strict, layout.odd)
        return _record_of(fields, layout, envelope)

    def fields_of(self, value: bytes) -> dict[str, Any]:
        """Return the fields of the record `value`, as JSON has them. Raises as `Codec.fields_of` does."""
        header = header_of(value)
        fields: dict[str, Any] = as_json(self._schemas.layout(header).read(value, len(header), 0)[0])
        return with_extra(fields, fields.pop("extra", None)) if isinstance(fields.get("extra"), str) else fields

    def tag(self, value: bytes, tagged: Tagged) -> bytes:
        """Return `value`, which `decode` took for a message, with the tag behind its fields."""
        if value[:AVRO_HEADER_BYTES] == self._shipped_header:
            return self._shipped_tag + value[AVRO_HEADER_BYTES:] + self._tags.tag(tagged)
        header = header_of(value)
        return self._schemas.layout(header).tagged_header + value[len(header) :] + self._tags.tag(tagged)

    def strip(self, value: bytes) -> bytes:
        """Return the bytes that a tagged `value` came in as. Raises as `Codec.strip` does."""
        return self._content(value)[1]

    def untag(self, value: bytes) -> tuple[TaggedView, bytes]:
        """Return all that a tagged `value` says, and the bytes that it came in as. Raises as `Codec.strip` does."""
        if value[:AVRO_HEADER_BYTES] == self._shipped_tag:  # The common case before all else.
            parts = read_plain(value, AVRO_HEADER_BYTES)
            if parts is not None:
                return _plain_view(parts), self._shipped_header + value[AVRO_HEADER_BYTES : parts.end]
        return self.untag_any(value)

    def untag_any(self, value: bytes) -> tuple[TaggedView, bytes]:
        """Return the same, read with its schema, whatever it is."""
        encoding = encoding_of(value)
        layout, source, content, end = self._content(value)
        tag, end = layout.read_tag(value, end, 0)
        if end != len(value):
            raise no_tag()
        try:
            return _view(content, tag, layout.time_unit, encoding), source
        except (ValueError, TypeError, KeyError, AssertionError) as error:
            raise no_tag() from error

    def _content(self, value: bytes) -> tuple[TaggedLayout, bytes, dict[str, Any], int]:
        """Return the layout of a tagged `value`, the bytes that it came in as, its own fields, and where they end."""
        header = header_of(value)
        layout = self._schemas.tagged_layout(header)
        fields, end = layout.read_content(value, len(header), 0)
        return layout, layout.source_header + value[len(header) : end], fields, end


def _whole(value: bytes, header: bytes, layout: Layout) -> dict[str, Any]:
    """Return the fields of `value`, a message or a command to its last byte."""
    if not layout.is_message and not layout.is_command:
        raise DecodeError(
            f"value is a {layout.name}, neither a message nor a command",
            remedy="write A3CPMessage or SessionCommand, or a schema with their fields user_id and timestamp",
        )
    fields: dict[str, Any]
    fields, end = layout.read(value, len(header), 0)
    if end != len(value):
        raise DecodeError(
            f"value has {len(value) - end} bytes after its last field",
            remedy="write it with the schema that its header names",
        )
    return fields


def _record_of(fields: dict[str, Any], layout: Layout, envelope: Envelope) -> Record:
    if layout.time_unit and isinstance(fields["timestamp"], int):
        fields["timestamp"] //= layout.time_unit
    if layout.is_command:
        text = fields.get("details")
        details = checked_members(text.encode()) if isinstance(text, str) and text.strip() else {}
        return command_of(fields, {key: bytes(raw) for key, raw in details.items()}, envelope)
    extra = fields.get("extra")
    if fields.get("source") == POLICY_SOURCE and POLICY_KEY not in fields and isinstance(extra, str):
        fields[POLICY_KEY] = _policy_in(extra)
    return message_of(fields, envelope)


def _policy_in(extra: str) -> object:
    try:
        return plain_object(extra).get(POLICY_KEY)
    except ValueError:
        return False  # `extra` is no JSON object: a policy that cannot be read.


def _plain_view(parts: Parts) -> TaggedView:
    fields, claim, timestamp_ms = parts.fields, parts.fields.get("session_id"), parts.fields["timestamp"]
    fields["timestamp"] = format_time(timestamp_ms)
    return view_of(with_extra(fields, parts.extra), timestamp_ms, parts.tag, claim, AVRO)


def _view(content: dict[str, Any], tag: dict[str, Any], time_unit: int, encoding: int) -> TaggedView:
    """Return what a message with the fields `content`, as they were read, and the `tag` says."""
    extra = content.pop("extra") if isinstance(content.get("extra"), str) else None
    fields = {
        name: field if type(field) is str else as_json(field) for name, field in content.items() if field is not None
    }
    timestamp = content["timestamp"]
    if time_unit:
        timestamp_ms = timestamp // time_unit
        fields["timestamp"] = format_time(timestamp_ms)
    else:
        timestamp_ms = parse_time(timestamp)
    told = Tag(tag["session_id"], tag["session_seq"], tag["session_start"], tuple(tag["session_flags"]))
    return view_of(with_extra(fields, extra), timestamp_ms, told, content.get("session_id"), encoding)
