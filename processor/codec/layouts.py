"""How values of one schema are read and what becomes of them, derived from the schema alone."""

import json
from typing import Any, Final, NamedTuple

from processor.codec import avroschema
from processor.codec.avroreading import Reader, reader_of
from processor.codec.avroschema import SchemaError, SchemaJson
from processor.codec.oddities import TAG_KEYS
from processor.core.model import Odd

SOURCE_ID: Final = "a3cp_source_id"  # in a tagged schema of a registry: the id of the schema that came in
TAG_FIELDS: Final = 4  # of a tagged schema, at its end
_RENAMED: Final = frozenset({"session_id", *TAG_KEYS})
_CLAIMED: Final = "claimed_"
_EVENT: Final = "SessionEvent"  # It looks like a message and is none.
_UNITS: Final = {
    "timestamp-micros": 1000,
    "local-timestamp-micros": 1000,
    "timestamp-nanos": 10**6,
    "local-timestamp-nanos": 10**6,
}


class Layout(NamedTuple):
    """How the values of one writer's schema are read, and what becomes of them."""

    name: str
    read: Reader
    is_shipped: bool  # laid out like the shipped A3CPMessage
    is_message: bool
    is_command: bool
    time_unit: int  # what one ms is in `timestamp`; 0 when it is text
    odd: int  # what is odd about all of its messages: bits of `Odd`
    tagged_header: bytes  # b"" when it is no message's


class TaggedLayout(NamedTuple):
    """How tagged values are read: the message as it came, then the tag."""

    source_header: bytes
    read_content: Reader  # its fields have the names they came with
    read_tag: Reader
    time_unit: int


def layout_of(schema: SchemaJson, shipped_fields: SchemaJson) -> Layout:
    """Return the layout of values with `schema`, so far without a tagged header.

    Raises:
        SchemaError: it is not the schema of a record that can be read.
    """
    canonical = _canonical_record(schema)
    name = canonical["name"].rpartition(".")[2]
    types = {field["name"]: field["type"] for field in record_in(schema)["fields"]}
    unit = _time_unit(types.get("timestamp"))
    odd = Odd.TIMESTAMP_WITHOUT_ZONE if unit and "local-timestamp-" in json.dumps(types["timestamp"]) else 0
    is_ours = name != _EVENT and "user_id" in types and unit is not None
    return Layout(
        name,
        reader_of(canonical),
        canonical["fields"] == shipped_fields and unit == 1 and not odd,
        is_ours and "command" not in types,
        is_ours and "command" in types,
        unit or 0,
        odd,
        b"",
    )


def tagged_layout_of(tagged: SchemaJson, source_header: bytes) -> TaggedLayout:
    """Return the layout of values with the schema `tagged`, which came in with `source_header`.

    Raises:
        SchemaError: it is not that of a tagged message.
    """
    canonical = _canonical_record(tagged)
    fields = canonical["fields"]
    if len(fields) <= TAG_FIELDS:
        raise SchemaError("it is not that of a tagged message")
    content = [{**field, "name": _came_as(field["name"])} for field in fields[:-TAG_FIELDS]]
    types = {field["name"]: field["type"] for field in record_in(tagged)["fields"]}
    return TaggedLayout(
        source_header,
        reader_of({**canonical, "fields": content}),
        reader_of({**canonical, "fields": fields[-TAG_FIELDS:]}),
        _time_unit(types.get("timestamp")) or 0,
    )


def _canonical_record(schema: SchemaJson) -> dict[str, Any]:
    canonical = json.loads(avroschema.canonical_form(schema))
    if not isinstance(canonical, dict) or canonical["type"] != "record":
        raise SchemaError("it is no record")
    return canonical


def _came_as(name: str) -> str:
    came = name.removeprefix(_CLAIMED)
    return came if came in _RENAMED else name


def record_in(schema: SchemaJson) -> dict[str, Any]:
    """Return the record of `schema`, which may be wrapped in objects that only have a type."""
    while isinstance(schema["type"], dict):
        schema = schema["type"]
    assert isinstance(schema, dict)
    return schema


def tagged_schema(schema: SchemaJson, tag_fields: list[SchemaJson], source_id: int | None) -> SchemaJson:
    """Return the schema of what values with `schema`, a record's, become: their bytes, then the tag.

    A field whose name the tag needs is called claimed_<name>; so `session_id` becomes `claimed_session_id`.

    Raises:
        SchemaError: then two fields would have one name.
    """
    record = record_in(schema)
    namespace, _, local = avroschema.full_name(record["name"], record.get("namespace")).rpartition(".")
    fields = [dict(field) for field in record["fields"]]
    for field in fields:
        field.pop("aliases", None)
        if field["name"] in _RENAMED:
            field["name"] = _CLAIMED + field["name"]
    fields += tag_fields
    if len({field["name"] for field in fields}) < len(fields):
        raise SchemaError("its fields and those of the tag have names in common")
    result: dict[str, SchemaJson] = {
        "type": "record",
        "name": f"Tagged{local}",
        "doc": f"{local}, its bytes as they came, followed by the session tag.",
        "fields": fields,
    }
    if namespace:
        result["namespace"] = namespace
    if source_id is not None:
        result[SOURCE_ID] = source_id
    return result


def _time_unit(kind: SchemaJson) -> int | None:
    """Return what one ms is in a field of this type, 0 for text, None when it holds no time."""
    if isinstance(kind, list):
        units = [_time_unit(branch) for branch in kind if branch != "null"]
        return units[0] if len(units) == 1 else None
    if isinstance(kind, dict):
        if kind.get("type") not in ("long", "string"):
            return None
        return _UNITS.get(str(kind.get("logicalType")), 1) if kind["type"] == "long" else 0
    return {"long": 1, "string": 0}.get(kind) if isinstance(kind, str) else None
