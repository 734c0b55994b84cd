"""Avro schemas: parsing canonical form and fingerprint.

Source: the Avro specification 1.12, "Parsing Canonical Form", "Schema Fingerprints".
"""

import json
from functools import cache
from typing import Any, Final, TypeAlias

SCHEMA_CHARS_MAX: Final = 256 * 1024  # of a schema's text
DEPTH_MAX: Final = 64  # of records inside records, in a schema and in a value
NAMED: Final = ("record", "enum", "fixed", "error")
PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_CRC64_EMPTY: Final = 0xC15D213AA4D7A795

# A schema as JSON: its attributes are open, so it stays a plain value.
SchemaJson: TypeAlias = Any


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


def full_name(name: object, namespace: object) -> str:
    """Return a type's name with its namespace."""
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
        return schema if schema in PRIMITIVES else full_name(schema, namespace)
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
    name = full_name(schema.get("name"), schema.get("namespace", namespace))
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


@cache
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
