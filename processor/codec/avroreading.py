"""Readers of Avro values, compiled from a schema: strict, and quick enough (docs/adr/0022).

A reader checks every byte of a value that somebody else wrote, and its depth is bounded. `reader_of` refuses schemas
with which reading could cost more than a value has bytes for, see schemawork.py.

Source: the Avro specification 1.12, "Binary encode".
"""

import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from processor.codec.avroschema import DEPTH_MAX, SchemaError, SchemaJson
from processor.codec.schemawork import check_work
from processor.errors import DecodeError

VARINT_BYTES_MAX: Final = 10
_LIBRARY: Final = "write the value with an Avro library"
_OTHER_SCHEMA: Final = "write the value with the schema that its header names"

# Reads one value at a position and depth; returns it and the position after it.
Reader: TypeAlias = Callable[[bytes, int, int], tuple[Any, int]]


def reader_of(schema: SchemaJson) -> Reader:
    """Return the reader of values with `schema`, which is in parsing canonical form.

    Raises:
        SchemaError: it does not define a type that it names, or its values could cost more than they have bytes for.
    """
    check_work(schema)
    return Compiler().reader(schema)


def read_long(value: bytes, pos: int, _depth: int = 0) -> tuple[int, int]:
    """Return the zigzag varint at `pos` and the position after it.

    Raises:
        DecodeError: the value ends inside it, or it has more than 64 bits.
    """
    try:
        byte = value[pos]
        if byte < 128:  # Most numbers are lengths, branches and counts: half of a message's time goes by here.
            return (byte >> 1) ^ -(byte & 1), pos + 1
        result = shift = 0
        for at in range(pos, pos + VARINT_BYTES_MAX):
            byte = value[at]
            result |= (byte & 127) << shift
            if byte < 128 and not result >> 64:
                return (result >> 1) ^ -(result & 1), at + 1
            shift += 7
    except IndexError as error:
        raise _cut_off(value) from error
    raise DecodeError(f"number at byte {pos} has more than 64 bits", remedy=_LIBRARY)


def _cut_off(value: bytes) -> DecodeError:
    return DecodeError(
        f"value ends inside a field, after {len(value)} bytes",
        remedy="send all of it, with the schema it was written with",
    )


def read_bytes(value: bytes, pos: int, _depth: int = 0) -> tuple[bytes, int]:
    """Return the length-prefixed bytes at `pos` and the position after them."""
    length, start = read_long(value, pos)
    end = start + length
    if not start <= end <= len(value):
        raise _wrong_length(value, pos, length)
    return value[start:end], end


def _wrong_length(value: bytes, pos: int, length: int) -> DecodeError:
    return _cut_off(value) if length > 0 else DecodeError(f"length at byte {pos} is negative", remedy=_LIBRARY)


def read_string(value: bytes, pos: int, _depth: int = 0) -> tuple[str, int]:
    """Return the length-prefixed UTF-8 text at `pos` and the position after it."""
    length, start = read_long(value, pos)  # As `read_bytes`, without the call: nearly all is text.
    end = start + length
    if not start <= end <= len(value):
        raise _wrong_length(value, pos, length)
    try:
        return value[start:end].decode(), end
    except UnicodeDecodeError as error:
        raise DecodeError(f"text that ends at byte {end} is not UTF-8", remedy="send UTF-8") from error


def _read_null(_value: bytes, pos: int, _depth: int) -> tuple[None, int]:
    return None, pos


def _read_boolean(value: bytes, pos: int, _depth: int) -> tuple[bool, int]:
    if pos >= len(value):
        raise _cut_off(value)
    if value[pos] > 1:
        raise DecodeError(f"byte {pos} is neither true nor false", remedy=_LIBRARY)
    return value[pos] == 1, pos + 1


def _packed_reader(layout: str) -> Reader:
    packed = struct.Struct(layout)

    def read(value: bytes, pos: int, _depth: int) -> tuple[float, int]:
        if pos + packed.size > len(value):
            raise _cut_off(value)
        return packed.unpack_from(value, pos)[0], pos + packed.size

    return read


_PRIMITIVE_READERS: Final[dict[str, Reader]] = {
    "null": _read_null,
    "boolean": _read_boolean,
    "int": read_long,
    "long": read_long,
    "float": _packed_reader("<f"),
    "double": _packed_reader("<d"),
    "bytes": read_bytes,
    "string": read_string,
}


class Compiler:
    """Compiles readers for the types of one schema; named types are known from their first mention on."""

    def __init__(self) -> None:
        self._named: dict[str, Reader] = {}

    def reader(self, schema: SchemaJson) -> Reader:
        """Return the reader of `schema`, which is in parsing canonical form.

        Raises:
            SchemaError: it names a type that it does not define.
        """
        if isinstance(schema, str):
            found = _PRIMITIVE_READERS.get(schema) or self._named.get(schema)
            if found is None:
                raise SchemaError(f"it does not define the type {schema}")
            return found
        if isinstance(schema, list):
            return _union_reader(tuple(self.reader(branch) for branch in schema))
        match schema["type"]:
            case "array":
                return _block_reader(self.reader(schema["items"]), list)
            case "map":
                return _block_reader(_entry_reader(self.reader(schema["values"])), dict)
            case "enum":
                self._named[schema["name"]] = _enum_reader(tuple(schema["symbols"]))
            case "fixed":
                self._named[schema["name"]] = _fixed_reader(schema["size"])
            case _:
                fields: list[tuple[str, Reader]] = []
                self._named[schema["name"]] = _record_reader(fields)  # Before its fields: they may refer to it.
                fields.extend((field["name"], self.reader(field["type"])) for field in schema["fields"])
        return self._named[schema["name"]]


def _record_reader(fields: list[tuple[str, Reader]]) -> Reader:
    def read(value: bytes, pos: int, depth: int) -> tuple[dict[str, Any], int]:
        if depth >= DEPTH_MAX:
            raise DecodeError(f"value is more than {DEPTH_MAX} records deep", remedy="send it flatter")
        depth += 1
        result = {}
        for name, read_field in fields:
            result[name], pos = read_field(value, pos, depth)
        return result, pos

    return read


def _union_reader(branches: tuple[Reader, ...]) -> Reader:
    short = {2 * index: branch for index, branch in enumerate(branches[:64])}  # by the byte that says which

    def read(value: bytes, pos: int, depth: int) -> tuple[Any, int]:
        branch = short.get(value[pos]) if pos < len(value) else None
        if branch is not None:
            return branch(value, pos + 1, depth + 1)
        index, pos = read_long(value, pos)
        if not 0 <= index < len(branches):
            what = f"union before byte {pos} has branch {index} of {len(branches)}"
            raise DecodeError(what, remedy=_OTHER_SCHEMA)
        return branches[index](value, pos, depth + 1)

    return read


def _block_reader(read_item: Reader, collect: Callable[[list[Any]], Any]) -> Reader:
    def read(value: bytes, pos: int, depth: int) -> tuple[Any, int]:
        items: list[Any] = []
        depth += 1
        while True:
            count, pos = read_long(value, pos)
            block_end = None
            if count < 0:
                size, pos = read_long(value, pos)
                count, block_end = -count, pos + size
            if not count:
                return collect(items), pos
            for _ in range(count):
                one, pos = read_item(value, pos, depth)
                items.append(one)
            if block_end is not None and block_end != pos:
                raise DecodeError(f"block that ends at byte {pos} has another size", remedy=_LIBRARY)

    return read


def _entry_reader(read_value: Reader) -> Reader:
    def read(value: bytes, pos: int, depth: int) -> tuple[tuple[str, Any], int]:
        key, pos = read_string(value, pos)
        content, pos = read_value(value, pos, depth)
        return (key, content), pos

    return read


def _enum_reader(symbols: tuple[str, ...]) -> Reader:
    def read(value: bytes, pos: int, _depth: int) -> tuple[str, int]:
        index, pos = read_long(value, pos)
        if not 0 <= index < len(symbols):
            raise DecodeError(f"choice before byte {pos} is {index} of {len(symbols)}", remedy=_OTHER_SCHEMA)
        return symbols[index], pos

    return read


def _fixed_reader(size: int) -> Reader:
    def read(value: bytes, pos: int, _depth: int) -> tuple[bytes, int]:
        if pos + size > len(value):
            raise _cut_off(value)
        return value[pos : pos + size], pos + size

    return read
