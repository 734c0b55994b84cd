"""Avro schemas: parsing canonical form, fingerprint, and readers compiled from a schema.

Only what this system needs: a reader checks every byte of a value that somebody else wrote, and its depth is bounded.
That the work is bounded by the value's size is checked before, see schemawork.py.

Source: the Avro specification 1.12, "Parsing Canonical Form", "Schema Fingerprints", "Binary encode".
"""

import json
import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from processor.errors import DecodeError

SCHEMA_CHARS_MAX: Final = 256 * 1024  # of a schema's text
DEPTH_MAX: Final = 64  # of records inside records, in a schema and in a value
VARINT_BYTES_MAX: Final = 10
NAMED: Final = ("record", "enum", "fixed", "error")
PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_CRC64_EMPTY: Final = 0xC15D213AA4D7A795

# A schema as JSON: its attributes are open, so it stays a plain value.
SchemaJson: TypeAlias = Any
# Reads one value at a position and depth; returns it and the position after it.
Reader: TypeAlias = Callable[[bytes, int, int], tuple[Any, int]]


class SchemaError(ValueError):
    """A schema is not one that this system can read."""


def parse(text: str) -> SchemaJson:
    """Return the schema in `text` as JSON values.

    Raises:
        SchemaError: it is too large, or no JSON, or holds text that is not Unicode.
    """
    if len(text) > SCHEMA_CHARS_MAX:
        raise SchemaError(f"it has {len(text)} characters, more than {SCHEMA_CHARS_MAX}")
    try:
        schema = json.loads(text)
        json.dumps(schema, ensure_ascii=False).encode()  # The tagged schema is made of it.
    except UnicodeEncodeError as error:
        raise SchemaError("it holds half of a surrogate pair, which is no text") from error
    except (ValueError, RecursionError) as error:
        raise SchemaError("it is no JSON") from error
    return schema


def _full_name(name: object, namespace: object) -> str:
    if not isinstance(name, str) or not name:
        raise SchemaError("a type has no name")
    if "." in name or not isinstance(namespace, str) or not namespace:
        return name
    return f"{namespace}.{name}"


def canonical_form(schema: SchemaJson) -> str:
    """Return the parsing canonical form of `schema`: what decides how its bytes are read, and nothing else."""
    return json.dumps(_canonical(schema, "", 0), ensure_ascii=False, separators=(",", ":"))


def _canonical(schema: SchemaJson, namespace: str, depth: int) -> SchemaJson:
    if depth > DEPTH_MAX:
        raise SchemaError(f"it is more than {DEPTH_MAX} levels deep")
    if isinstance(schema, str):
        return schema if schema in PRIMITIVES else _full_name(schema, namespace)
    if isinstance(schema, list):
        return [_canonical(branch, namespace, depth + 1) for branch in schema]
    if not isinstance(schema, dict) or "type" not in schema:
        raise SchemaError("a type is neither a name, a list nor an object with a type")
    kind = schema["type"]
    if kind == "array":
        return {"type": kind, "items": _canonical(schema.get("items"), namespace, depth + 1)}
    if kind == "map":
        return {"type": kind, "values": _canonical(schema.get("values"), namespace, depth + 1)}
    if kind not in NAMED:
        return _canonical(kind, namespace, depth + 1)
    name = _full_name(schema.get("name"), schema.get("namespace", namespace))
    result: dict[str, SchemaJson] = {"name": name, "type": kind}
    if kind == "enum":
        result["symbols"] = _strings(schema, "symbols")
    elif kind == "fixed":
        result["size"] = _size(schema)
    else:
        inner = name.rpartition(".")[0]
        result["fields"] = [
            {"name": field["name"], "type": _canonical(field["type"], inner, depth + 1)} for field in _fields(schema)
        ]
    return result


def _strings(schema: SchemaJson, key: str) -> list[str]:
    values = schema.get(key)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SchemaError(f"{key} is no list of names")
    return values


def _size(schema: SchemaJson) -> int:
    size = schema.get("size")
    if not isinstance(size, int) or size < 0:
        raise SchemaError("a fixed type has no size")
    return size


def _fields(schema: SchemaJson) -> list[dict[str, SchemaJson]]:
    fields = schema.get("fields")
    if not isinstance(fields, list):
        raise SchemaError("a record has no list of fields")
    for field in fields:
        if not isinstance(field, dict) or not isinstance(field.get("name"), str) or "type" not in field:
            raise SchemaError("a field has no name or no type")
    return fields


def _crc64_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CRC64_EMPTY if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


def fingerprint(schema: SchemaJson) -> int:
    """Return the CRC-64-AVRO fingerprint of `schema`."""
    table = _crc64_table()
    crc = _CRC64_EMPTY
    for byte in canonical_form(schema).encode():
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


# --- readers ----------------------------------------------------------------------------------------------------------


def read_long(value: bytes, pos: int, _depth: int = 0) -> tuple[int, int]:
    """Return the zigzag varint at `pos` and the position after it.

    Raises:
        DecodeError: the value ends inside it, or it has more than 64 bits.
    """
    result = shift = 0
    for at in range(pos, pos + VARINT_BYTES_MAX):
        if at >= len(value):
            raise _cut_off(value)
        byte = value[at]
        result |= (byte & 127) << shift
        if byte < 128:
            if result >> 64:
                break
            return (result >> 1) ^ -(result & 1), at + 1
        shift += 7
    raise DecodeError(f"number at byte {pos} has more than 64 bits", remedy="write the value with an Avro library")


def _cut_off(value: bytes) -> DecodeError:
    return DecodeError(
        f"value ends inside a field, after {len(value)} bytes",
        remedy="send all of it, with the schema it was written with",
    )


def read_bytes(value: bytes, pos: int, _depth: int = 0) -> tuple[bytes, int]:
    """Return the length-prefixed bytes at `pos` and the position after them."""
    length, start = read_long(value, pos)
    end = start + length
    if length < 0:
        raise DecodeError(f"length at byte {pos} is negative", remedy="write the value with an Avro library")
    if end > len(value):
        raise _cut_off(value)
    return value[start:end], end


def read_string(value: bytes, pos: int, _depth: int = 0) -> tuple[str, int]:
    """Return the length-prefixed UTF-8 text at `pos` and the position after it."""
    content, end = read_bytes(value, pos)
    try:
        return content.decode(), end
    except UnicodeDecodeError as error:
        raise DecodeError(f"text that ends at byte {end} is not UTF-8", remedy="send UTF-8") from error


def _read_null(_value: bytes, pos: int, _depth: int) -> tuple[None, int]:
    return None, pos


def _read_boolean(value: bytes, pos: int, _depth: int) -> tuple[bool, int]:
    if pos >= len(value):
        raise _cut_off(value)
    if value[pos] > 1:
        raise DecodeError(f"byte {pos} is neither true nor false", remedy="write the value with an Avro library")
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
            return self._union_reader(schema)
        kind = schema["type"]
        if kind in ("array", "map"):
            return self._block_reader(schema)
        name = schema["name"]
        if kind == "enum":
            self._named[name] = _enum_reader(tuple(schema["symbols"]))
        elif kind == "fixed":
            self._named[name] = _fixed_reader(schema["size"])
        else:
            self._named[name] = self._record_reader(schema)
        return self._named[name]

    def _record_reader(self, schema: SchemaJson) -> Reader:
        fields: list[tuple[str, Reader]] = []

        def read(value: bytes, pos: int, depth: int) -> tuple[dict[str, Any], int]:
            if depth >= DEPTH_MAX:
                raise DecodeError(f"value is more than {DEPTH_MAX} records deep", remedy="send it flatter")
            result = {}
            for name, read_field in fields:
                result[name], pos = read_field(value, pos, depth + 1)
            return result, pos

        self._named[schema["name"]] = read  # Before its fields: they may refer to it.
        fields.extend((field["name"], self.reader(field["type"])) for field in schema["fields"])
        return read

    def _union_reader(self, schema: list[SchemaJson]) -> Reader:
        branches = tuple(self.reader(branch) for branch in schema)

        def read(value: bytes, pos: int, depth: int) -> tuple[Any, int]:
            index, pos = read_long(value, pos)
            if not 0 <= index < len(branches):
                raise DecodeError(
                    f"union before byte {pos} has branch {index} of {len(branches)}",
                    remedy="write the value with the schema that its header names",
                )
            return branches[index](value, pos, depth + 1)

        return read

    def _block_reader(self, schema: SchemaJson) -> Reader:
        is_map = schema["type"] == "map"
        read_item = self.reader(schema["values"] if is_map else schema["items"])

        def read(value: bytes, pos: int, depth: int) -> tuple[Any, int]:
            items: list[Any] = []
            entries: dict[str, Any] = {}
            while True:
                count, pos = read_long(value, pos)
                block_end = None
                if count < 0:
                    size, pos = read_long(value, pos)
                    count, block_end = -count, pos + size
                if not count:
                    return (entries if is_map else items), pos
                for _ in range(count):
                    if is_map:
                        key, pos = read_string(value, pos)
                        entries[key], pos = read_item(value, pos, depth + 1)
                    else:
                        one, pos = read_item(value, pos, depth + 1)
                        items.append(one)
                if block_end is not None and block_end != pos:
                    raise DecodeError(
                        f"block that ends at byte {pos} has another size", remedy="write the value with an Avro library"
                    )

        return read


def _enum_reader(symbols: tuple[str, ...]) -> Reader:
    def read(value: bytes, pos: int, _depth: int) -> tuple[str, int]:
        index, pos = read_long(value, pos)
        if not 0 <= index < len(symbols):
            raise DecodeError(
                f"choice before byte {pos} is {index} of {len(symbols)}",
                remedy="write the value with the schema that its header names",
            )
        return symbols[index], pos

    return read


def _fixed_reader(size: int) -> Reader:
    def read(value: bytes, pos: int, _depth: int) -> tuple[bytes, int]:
        if pos + size > len(value):
            raise _cut_off(value)
        return value[pos : pos + size], pos + size

    return read
