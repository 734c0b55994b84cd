"""Reads files of messages: JSON lines and Avro container files. What is bad is told by its number."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

import fastavro
import msgspec

from processor.codec import avroschema
from processor.codec.codec import Codec
from processor.codec.schema import SHIPPED, Schemas
from processor.codec.wire import avro_header
from processor.core.errors import RecordError
from processor.core.model import Command
from processor.resources import schema_text

LINE_BYTES_MAX: Final = 4 << 20
AVRO_MAGIC: Final = b"Obj\x01"
_BOM: Final = b"\xef\xbb\xbf"
_WRITABLE: Final = ("A3CPMessage", "SessionCommand")


class Good(NamedTuple):
    """A message or command, as it is to be sent."""

    number: int  # of the line or record, from 1
    value: bytes
    user_id: str
    is_command: bool
    was_wrapped: bool  # in upstream's {"module", "direction", "message"}


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

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._codec = Codec(Schemas({name: schema_text(name) for name in SHIPPED}))
        self._now_ms = now_ms

    def read(self, file: BinaryIO, name: str) -> Iterator[Item]:
        """Yield what is in `file`: an Avro container when its name or its first bytes say so, else JSON lines."""
        start = file.peek(len(AVRO_MAGIC)) if isinstance(file, io.BufferedReader) else b""
        if name.endswith(".avro") or start[: len(AVRO_MAGIC)] == AVRO_MAGIC:
            yield from self._container(file)
        else:
            yield from self._lines(file)

    def _lines(self, file: BinaryIO) -> Iterator[Item]:
        number = 0
        while line := file.readline(LINE_BYTES_MAX):
            number += 1
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = file.readline(LINE_BYTES_MAX)
                yield Bad(number, b"", f"the line is longer than {LINE_BYTES_MAX >> 20} MiB")
                continue
            text = (line.removeprefix(_BOM) if number == 1 else line).strip()
            if text:
                inner = _unwrapped(text)
                yield self._item(number, inner or text, was_wrapped=inner is not None)

    def _container(self, file: BinaryIO) -> Iterator[Item]:
        number = 0
        if not file.seekable():
            file = io.BytesIO(file.read())
        try:
            container = fastavro.reader(file)
            written = container.writer_schema
            name, refused = _schema_of(written)
            if refused:
                yield Bad(0, b"", refused)
                return
            shipped = fastavro.parse_schema(json.loads(schema_text(name)))
            header = avro_header(avroschema.fingerprint(avroschema.parse(schema_text(name))))
            file.seek(0)
            for record in fastavro.reader(file, reader_schema=shipped):
                number += 1
                out = io.BytesIO()
                out.write(header)
                fastavro.schemaless_writer(out, shipped, record)
                yield self._item(number, out.getvalue(), was_wrapped=False)
        except Exception as error:  # A damaged file makes fastavro fail in many ways, and its later records are lost.
            why = f"the file is damaged here, the rest of it cannot be read ({type(error).__name__})"
            yield Bad(number + 1, b"", why)

    def _item(self, number: int, value: bytes, *, was_wrapped: bool) -> Item:
        try:
            record = self._codec.decode(value, self._now_ms())
        except RecordError as error:
            return Bad(number, value, str(error))
        return Good(number, value, record.user_id, isinstance(record, Command), was_wrapped)


def _unwrapped(line: bytes) -> bytes | None:
    """Return the message in upstream's wrapper, its bytes as they are; None when the line is not exactly one."""
    if b'"direction"' not in line:
        return None
    try:
        return bytes(msgspec.json.decode(line, type=_Wrapper).message)
    except (msgspec.DecodeError, RecursionError):
        return None


def _schema_of(written: Any) -> tuple[str, str | None]:
    """Return which of our records a container holds, and why it cannot be taken if it cannot.

    Its own schema may lack fields that have defaults; one that has more would lose them.
    """
    name = str(written.get("name", "")).rpartition(".")[2] if isinstance(written, dict) else ""
    if name not in _WRITABLE:
        return name, f"the file holds {name or 'no records'}, not {' or '.join(_WRITABLE)}"
    ours = {field["name"] for field in json.loads(schema_text(name))["fields"]}
    more = [field["name"] for field in written["fields"] if field["name"] not in ours]
    if more:
        return name, f"its schema has fields that {name} has not: {', '.join(more)}; put them into `extra` as JSON"
    return name, None
