"""Reads Avro container files, block by block. What is damaged is told, and reading goes on behind it.

Values are read by the codec's own readers, so a time stays the number that was written, whatever the machine's zone is.

Source: the Avro specification 1.12, "Object Container Files".
"""

import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from processor.codec import avroschema
from processor.codec.avroreading import VARINT_BYTES_MAX, Compiler, read_long, reader_of
from processor.codec.avroschema import SchemaError, SchemaJson
from processor.errors import DecodeError
from processor.intake.forms import AVRO_MAGIC, Refused, arrow

BLOCK_BYTES_MAX: Final = 64 << 20  # packed, and unpacked
_HEADER_BYTES_MAX: Final = 4 << 20
_SYNC_BYTES: Final = 16
_SEARCH_BYTES: Final = 1 << 20


class Entry(NamedTuple):
    """A record of the file, or why one or several cannot be read."""

    number: int  # from 1
    content: bytes  # as it is in the file
    fields: dict[str, Any] | None
    why: str | None


class Container:
    """An Avro container file, opened."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the file's header.

        Raises:
            Refused: it is damaged, or names a schema or a codec that cannot be read.
        """
        self._source = _Source(file)
        try:
            metadata = self._header()
            self._schema_text = metadata.get("avro.schema", b"")
            self.schema: SchemaJson = avroschema.parse(self._schema_text.decode())
            self.canonical: SchemaJson = json.loads(avroschema.canonical_form(self.schema))
            self._read = reader_of(self.canonical)
            self._skip = Compiler().reader(_skimmed(self.canonical, set()))
        except SchemaError as error:
            raise Refused(f"its schema cannot be read: {error}; write it with a schema like A3CPMessage") from error
        except (DecodeError, UnicodeDecodeError) as error:
            raise Refused("its header is damaged, so none of it can be read; get the file once more") from error
        self._take_codec(metadata)

    def _take_codec(self, metadata: dict[str, bytes]) -> None:
        self.codec = metadata.get("avro.codec", b"null").decode("ascii", "replace")
        unpack = _CODECS.get(self.codec)
        if unpack is None:
            raise Refused(
                f"its blocks are compressed as {self.codec!r}, which is no codec of Avro that is known; "
                f"write it with one of {', '.join(_CODECS)}"
            )
        if self.codec in ("snappy", "zstandard"):
            arrow(self.codec)  # Here the whole file is refused, not each block.
        self._unpack = unpack

    def _header(self) -> dict[str, bytes]:
        self._source.read(len(AVRO_MAGIC))
        metadata: dict[str, bytes] = {}
        while count := self._source.long():
            if count < 0:
                count = -count
                self._source.long()
            for _ in range(count):
                key = self._source.text(_HEADER_BYTES_MAX).decode()
                metadata[key] = self._source.text(_HEADER_BYTES_MAX)
        self._sync = self._source.read(_SYNC_BYTES)
        if len(self._sync) < _SYNC_BYTES:
            raise _ended()
        return metadata

    def __iter__(self) -> Iterator[Entry]:
        """Yield the records; after what is damaged those of the next whole block."""
        number = block = 0
        while start := self._source.read(1):
            self._source.unread(start)
            if start == AVRO_MAGIC[:1] and self._begins_anew():
                why = self._joined()
                if why is not None:
                    yield Entry(number + 1, b"", None, why)
                    return
                continue
            block += 1
            count, content, why = self._block()
            if why is None:
                yield from self._records(content, number, count)
            else:
                some = f"its {count} records are" if count > 1 else "what it holds is"
                yield Entry(number + 1, b"", None, f"block {block} of the file {why}; {some} lost")
            number += count

    def _begins_anew(self) -> bool:
        head = self._source.read(len(AVRO_MAGIC))
        self._source.unread(head)
        return head == AVRO_MAGIC  # No block begins so: it would hold less than no records.

    def _joined(self) -> str | None:
        """Go on with another container that was joined to this one, as `cat` does; return why not, if so."""
        what = "another Avro file begins here"
        try:
            metadata = self._header()
            self._take_codec(metadata)
        except DecodeError:
            return f"{what}, and its header is damaged"
        except Refused as refusal:
            return f"{what}: {refusal}"
        if metadata.get("avro.schema", b"") != self._schema_text:
            return f"{what}, with another schema; send the files one by one"
        return None

    def _block(self) -> tuple[int, bytes, str | None]:
        """Return how many records the next block has, its content, and what is wrong with it."""
        count, packed = 0, b""
        try:
            count, size = self._source.long(), self._source.long()
            if not 0 <= count <= BLOCK_BYTES_MAX or not 0 <= size <= BLOCK_BYTES_MAX:
                count = 0
                raise _ended()
            packed = self._source.read(size)
            sync = self._source.read(_SYNC_BYTES)
        except DecodeError:
            sync = b""
        if sync != self._sync:
            if not sync and packed and self.codec == "null" and self._sync not in packed:
                return count, packed, None  # Cut off: its first records may be whole.
            self._source.unread(packed + sync)
            found = self._source.skip_past(self._sync)
            return count, b"", "is damaged, and the next one is read" if found else "is damaged or cut off"
        try:
            content = self._unpack(packed)
        except _TooLarge:
            return count, b"", f"unpacks to more than {BLOCK_BYTES_MAX >> 20} MiB"
        except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
            return count, b"", f"is damaged: its {self.codec} data cannot be unpacked"
        return count, content, None

    def _records(self, content: bytes, number: int, count: int) -> Iterator[Entry]:
        pos = 0
        for index in range(count):
            start = pos
            try:
                fields, pos = self._read(content, start, 0)
                if pos == start:
                    why = f"the {count - index} records from here on take no bytes, so nothing says that they are there"
                    yield Entry(number + index + 1, b"", None, why)
                    return
                yield Entry(number + index + 1, content[start:pos], fields, None)
            except DecodeError as error:
                try:
                    _, pos = self._skip(content, start, 0)
                except DecodeError:
                    rest = count - index - 1
                    more = f", and the {rest} after it in its block are lost" if rest else ""
                    yield Entry(number + index + 1, b"", None, f"the record is damaged{more} ({error.what})")
                    return
                yield Entry(number + index + 1, b"", None, str(error))
        if pos != len(content):
            why = f"the block that ends here is damaged: {len(content) - pos} bytes of it belong to no record"
            yield Entry(number + count, b"", None, why)


class _Source:
    """A file from which what was read too much can be given back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._back = b""

    def read(self, size: int) -> bytes:
        if not self._back:
            return self._file.read(size)
        part, self._back = self._back[:size], self._back[size:]
        return part if len(part) == size else part + self._file.read(size - len(part))

    def unread(self, content: bytes) -> None:
        self._back = content + self._back

    def long(self) -> int:
        digits = b""
        while (byte := self.read(1)) and byte[0] > 127 and len(digits) < VARINT_BYTES_MAX:
            digits += byte
        return read_long(digits + byte, 0)[0]

    def text(self, size_max: int) -> bytes:
        size = self.long()
        content = self.read(size) if 0 <= size <= size_max else b""
        if len(content) != size:
            raise _ended()
        return content

    def skip_past(self, mark: bytes) -> bool:
        """Go on behind the next `mark`; return False when there is none."""
        window = b""
        while part := self.read(_SEARCH_BYTES):
            window += part
            before, found, after = window.partition(mark)
            if found:
                self.unread(after)
                return True
            window = before[-len(mark) :]
        return False


def _ended() -> DecodeError:
    return DecodeError("the file ends, or has a size that cannot be")


_ONE_BYTE: Final = {"type": "fixed", "name": "one byte", "size": 1}


def _skimmed(schema: SchemaJson, enums: set[str]) -> SchemaJson:
    """Return a schema for values of the same lengths whose content may be anything: to find a bad record's end.

    `schema` is in parsing canonical form; `enums` are the names of its enums so far.
    """
    if isinstance(schema, str):
        return {"string": "bytes", "boolean": _ONE_BYTE}.get(schema, "long" if schema in enums else schema)
    if isinstance(schema, list):
        return [_skimmed(branch, enums) for branch in schema]
    match schema["type"]:
        case "record" | "error":
            fields = [{"name": field["name"], "type": _skimmed(field["type"], enums)} for field in schema["fields"]]
            return {**schema, "fields": fields}
        case "enum":
            enums.add(schema["name"])
            return "long"
        case "array":
            return {**schema, "items": _skimmed(schema["items"], enums)}
        case "map":
            return {**schema, "values": _skimmed(schema["values"], enums)}
    return schema


class _TooLarge(Exception):
    """A block unpacks to more than is taken."""


def _whole(content: bytes, is_all: bool) -> bytes:
    if is_all:
        return content
    raise _TooLarge if len(content) >= BLOCK_BYTES_MAX else EOFError


def _deflate(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(-15)
    return _whole(unpacker.decompress(packed, BLOCK_BYTES_MAX), unpacker.eof)


def _bzip2(packed: bytes) -> bytes:
    unpacker = bz2.BZ2Decompressor()
    return _whole(unpacker.decompress(packed, BLOCK_BYTES_MAX), unpacker.eof)


def _xz(packed: bytes) -> bytes:
    unpacker = lzma.LZMADecompressor()
    return _whole(unpacker.decompress(packed, BLOCK_BYTES_MAX), unpacker.eof)


def _zstandard(packed: bytes) -> bytes:
    import pyarrow as pa

    content: bytes = pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read(BLOCK_BYTES_MAX + 1)
    return _whole(content, len(content) <= BLOCK_BYTES_MAX)


def _snappy(packed: bytes) -> bytes:
    """Unpack raw snappy: the size of the content, the data, then the CRC-32 of the content, 4 bytes, big-endian."""
    import pyarrow as pa

    data, crc = packed[:-4], packed[-4:]
    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    if size > BLOCK_BYTES_MAX:
        raise _TooLarge
    content: bytes = pa.decompress(data, decompressed_size=size, codec="snappy", asbytes=True)
    if zlib.crc32(content) != int.from_bytes(crc, "big"):
        raise EOFError
    return content


_CODECS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "null": bytes,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": _bzip2,
    "xz": _xz,
}
