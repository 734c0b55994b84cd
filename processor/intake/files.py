"""Reads files of messages: JSON in any layout and Avro container files. What is bad is told by its number."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias
from uuid import UUID

import fastavro
import msgspec

from processor.codec import avroschema
from processor.codec.codec import Codec
from processor.codec.isotime import parse_time
from processor.codec.jsonvalue import plain_object
from processor.codec.oddities import explained
from processor.codec.schema import SHIPPED, Schemas
from processor.codec.wire import avro_header
from processor.core.model import Command, Odd
from processor.errors import DecodeError, InvalidMessage, RecordError
from processor.intake.container import Container
from processor.intake.forms import Damaged, Refused, opened
from processor.intake.texts import SEPARATOR, TEXT_BYTES_MAX, Cutter, Text, bare
from processor.settings.documents import located, schema_text

_UNITS: Final = {"millis": 1, "micros": 1_000, "nanos": 1_000_000}
# What stands for null where the shipped schemas have none.
_DEFAULTS: Final = {"schema_version": "", "record_id": "", "force_new": False, "is_training_data": False}
_TRAILING_COMMA: Final = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|,(?=[ \t\r\n]*[}\]])', re.DOTALL)
_NO_OBJECT: Final = "it does not begin with {, so it is no message"
_LIST_START: Final = re.compile(rb'\{\s*"(\w+)"\s*:\s*\[')


class Good(NamedTuple):
    """A message or command, as it is to be sent."""

    number: int  # of the line or record, from 1
    value: bytes
    user_id: str
    is_command: bool
    was_wrapped: bool  # in upstream's {"module", "direction", "message"}
    odd: int = 0  # why it is nonconforming: bits of `Odd`


class Bad(NamedTuple):
    """A line or record that could not be tagged, and why; number 0 is the file as a whole."""

    number: int
    value: bytes
    why: str


Item: TypeAlias = Good | Bad


class _Wrapper(msgspec.Struct, forbid_unknown_fields=True):
    module: str
    direction: str
    message: msgspec.Raw


class FileReader:
    """Reads files; what it yields was read as the processor would read it."""

    def __init__(self, now_ms: Callable[[], int], *, strict: bool = False) -> None:
        """Read as at `now_ms`; with `strict` what does not conform is bad."""
        self._codec = Codec(Schemas({name: schema_text(name) for name in SHIPPED}), strict=strict)
        self._now_ms = now_ms
        self._strict = strict

    def read(self, file: BinaryIO, name: str) -> Iterator[Item]:
        """Yield what is in `file`, called `name`; its first bytes say what it is."""
        number = 0
        try:
            content, is_avro = opened(file, name)
            for item in self._container(content) if is_avro else self._texts(content):
                number = item.number
                yield item
        except Refused as refusal:
            yield Bad(0, b"", str(refusal))
        except Damaged as damage:
            yield Bad(number + 1, b"", f"the file is damaged or cut off here, the rest of it cannot be read: {damage}")

    def _texts(self, file: BinaryIO) -> Iterator[Item]:
        cutter = Cutter()
        number, is_start, has_lines = 1, True, False
        while part := file.readline(TEXT_BYTES_MAX):
            is_end = len(part) < TEXT_BYTES_MAX or part.endswith(b"\n")
            was_open = cutter.is_open
            whole: Item | None = None
            if is_start:
                text = bare(part)
                if text[:1] == b"{" and is_end and (not was_open or has_lines or cutter.names_a_user):
                    whole = self._whole(number, text)
                if was_open and (text[:1] == b"{" or part[:1] == SEPARATOR):
                    is_next = isinstance(whole, Good) or not cutter.may_go_on(part.lstrip())
                    if is_next:
                        yield self._item(cutter.give_up())
                        was_open = False
            if whole is not None and not was_open:
                has_lines = True
                yield whole
            else:
                for found in cutter.cut(number, part, is_start=is_start, is_end=is_end):
                    yield self._item(found)
            number += is_end
            is_start = is_end
        for found in cutter.end(max(1, number - is_start)):
            yield self._item(found)

    def _whole(self, number: int, text: bytes) -> Item | None:
        """Return what the line `text` holds if it is one JSON object, good or bad, and None if it is not."""
        inner = _unwrapped(text)
        try:
            return self._good(number, inner or text, was_wrapped=inner is not None)
        except InvalidMessage as error:
            return Bad(number, inner or text, _nested_in(inner or text) or str(error))
        except DecodeError:
            return None

    def _item(self, text: Text) -> Item:
        number, value, why = text
        if why is not None:
            start = _LIST_START.match(value)
            return Bad(number, b"", f"{why}; {_taken_out(start[1].decode(), '[]')}" if start else why)
        inner = _unwrapped(value)
        value = inner or value
        try:
            return self._good(number, value, was_wrapped=inner is not None)
        except DecodeError as error:
            mended = _TRAILING_COMMA.sub(rb"\1", value)
            if mended != value:
                return self._item(Text(number, mended))
            return Bad(number, value, str(error) if value.startswith(b"{") else _NO_OBJECT)
        except RecordError as error:
            return Bad(number, value, _nested_in(value) or str(error))

    def _good(self, number: int, value: bytes, *, was_wrapped: bool = False, odd: int = 0) -> Good:
        """Return what `value` is. Raises as `Codec.decode` does."""
        record = self._codec.decode(value, self._now_ms())
        return Good(number, value, record.user_id, isinstance(record, Command), was_wrapped, record.odd | odd)

    def _container(self, file: BinaryIO) -> Iterator[Item]:
        container = Container(file)
        write = _Writer(container.schema, container.canonical)
        if write.odd and self._strict:
            raise Refused(f"none of its messages conforms: {explained(write.odd)}; send it without strict")
        for number, content, fields, why in container:
            if fields is None:
                yield Bad(number, b"", why or "")
                continue
            value = b""
            try:
                value = write.value(content, fields)
                yield self._good(number, value, odd=write.odd)
            except RecordError as error:
                yield Bad(number, value, str(error))


class _Writer:
    """Writes the records of a container as A3CPMessage or SessionCommand, in Avro single-object encoding."""

    def __init__(self, schema: Any, canonical: Any) -> None:
        """Take the container's schema, as it is and in parsing canonical form.

        Raises:
            Refused: its records are neither, or have fields that would be lost.
        """
        fields = canonical.get("fields", ()) if isinstance(canonical, dict) else ()
        names = [field["name"] for field in fields]
        self._name = "SessionCommand" if "command" in names else "A3CPMessage"
        ours = avroschema.parse(schema_text(self._name))
        if "user_id" not in names or "timestamp" not in names:
            held = str(canonical.get("name", "")).rpartition(".")[2] if isinstance(canonical, dict) else ""
            raise Refused(f"the file holds {held or 'no records'}, not A3CPMessage or SessionCommand")
        known = {field["name"]: field for field in ours["fields"]}
        if more := [name for name in names if name not in known]:
            raise Refused(
                f"its schema has fields that {self._name} has not: {', '.join(more)}; put them into `extra` as JSON"
            )
        self._header = avro_header(avroschema.fingerprint(ours))
        self._parsed = fastavro.parse_schema(ours)
        self._kinds = {field["name"]: _kind(field["type"]) for field in _fields(schema)}
        time_kind = self._kinds["timestamp"]
        self._unit = _UNITS.get(time_kind.rpartition("-")[2], 1)
        self._is_ours = self._unit == 1 and fields == json.loads(avroschema.canonical_form(ours))["fields"]
        self.odd = Odd.TIMESTAMP_WITHOUT_ZONE if time_kind.startswith("local-") else 0
        self._known = known

    def value(self, content: bytes, fields: Mapping[str, Any]) -> bytes:
        """Return the record that is `content` in the file, with these `fields`.

        Raises:
            InvalidMessage: one of them is not what it must be.
        """
        if self._is_ours:
            return self._header + content
        out = io.BytesIO(self._header)
        out.seek(0, io.SEEK_END)
        told = {name: self._told(name, fields.get(name)) for name in self._known}
        fastavro.schemaless_writer(out, self._parsed, told)
        return out.getvalue()

    def _told(self, name: str, value: Any) -> Any:
        """Return `value` as our schema has it: times in ms, UUIDs and bytes as text."""
        if name == "timestamp":
            return self._time(value)
        kind = self._known[name]["type"]
        if value is None and not isinstance(kind, list):
            if name in _DEFAULTS:
                return _DEFAULTS[name]
            raise InvalidMessage(f"{name} is missing", remedy=f"write {self._name} with it")
        if isinstance(value, bytes):
            try:
                return str(UUID(bytes=value)) if self._kinds[name] == "uuid" else value.decode()
            except ValueError:
                raise InvalidMessage(f"{name} is bytes that are no text", remedy="write it as a string") from None
        if not isinstance(value, bool if kind == "boolean" else str | None):
            raise InvalidMessage(
                f"{name} is not of the type that {self._name} has", remedy=located("see docs/schemas.md")
            )
        return value

    def _time(self, value: Any) -> int:
        if value is None:
            raise InvalidMessage("timestamp is missing", remedy="send the event's time")
        if isinstance(value, str):
            try:
                return parse_time(value)
            except ValueError:
                raise InvalidMessage("timestamp is no ISO 8601 time", remedy="write it as timestamp-millis") from None
        if type(value) is not int:
            raise InvalidMessage("timestamp is no whole number", remedy="write it as timestamp-millis")
        return value // self._unit


def _fields(schema: Any) -> Any:
    """Return the fields of the record `schema`, which may be wrapped in objects that only have a type."""
    while "fields" not in schema:
        schema = schema["type"]
    return schema["fields"]


def _kind(written: Any) -> str:
    """Return the logical type of a field, nullable or not; "" when it has none."""
    if isinstance(written, list):
        return next((kind for branch in written if (kind := _kind(branch))), "")
    if isinstance(written, dict):
        return str(written.get("logicalType") or _kind(written.get("type")))
    return ""


def _unwrapped(line: bytes) -> bytes | None:
    """Return the message in upstream's wrapper, its bytes as they are; None when the line is not exactly one."""
    if b'"direction"' not in line:
        return None
    try:
        return bytes(msgspec.json.decode(line, type=_Wrapper).message)
    except (msgspec.DecodeError, RecursionError):
        return None


def _nested_in(value: bytes) -> str | None:
    """Return why the JSON object `value` is no message if it holds one or several, and how to take them out."""
    try:
        fields = plain_object(value)
    except ValueError:
        return None
    for key, inner in fields.items():
        first = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(first, dict) and "user_id" in first and "timestamp" in first:
            return f"it is no message; {_taken_out(key, '[]' if isinstance(inner, list) else '')}"
    return None


def _taken_out(key: str, items: str) -> str:
    what = "its messages stand in a list" if items else "its message stands in a field"
    return f"{what}: jq -c '.\"{key}\"{items}' FILE | a3cp produce -"
