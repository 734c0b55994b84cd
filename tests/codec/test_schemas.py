"""The schema files: documented, compatible with the last release, and what the hand-written code takes them for."""

import copy
import io
import json
import shutil
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_many

from processor.codec import SHIPPED, Schemas, events
from processor.codec.avroreading import Compiler
from processor.codec.avroschema import SCHEMA_CHARS_MAX, SchemaError, canonical_form, fingerprint, parse
from processor.codec.layouts import tagged_schema
from processor.errors import DecodeError
from scripts.check_schemas import CURRENT, RELEASED, check, last_release, problems
from tests.strategies import SCHEMA_TEXTS

PARSED = {name: json.loads(text) for name, text in SCHEMA_TEXTS.items()}


def test_what_is_shipped_is_what_is_there():
    """The list in the code names each file."""
    assert sorted(SHIPPED) == sorted(path.stem for path in CURRENT.glob("*.avsc"))


@pytest.mark.parametrize("name", SHIPPED)
def test_each_field_says_what_it_is_and_in_which_unit(name):
    """A reader of a schema alone knows what a number counts."""
    units = (
        "unit",
        "ms since",
        "ms.",
        ", ms",
        "ms after",
        "counts",
        "free text",
        "true or false",
        "bytes",
        "else null",
    )

    def walk(schema: Any) -> None:
        if isinstance(schema, list):
            for branch in schema:
                walk(branch)
        elif isinstance(schema, dict):
            for field in schema.get("fields", []):
                assert any(unit in field["doc"] for unit in units), (name, field["name"])
                walk(field["type"])

    assert PARSED[name]["doc"]
    assert PARSED[name]["namespace"] == "a3cp"
    walk(PARSED[name])


@pytest.mark.parametrize("name", SHIPPED)
def test_canonical_form_and_fingerprint_agree_with_fastavro(name):
    """Another implementation finds the same fingerprint."""
    form = fastavro.schema.to_parsing_canonical_form(fastavro.parse_schema(copy.deepcopy(PARSED[name])))
    assert canonical_form(PARSED[name]) == form
    expected = fastavro.schema.fingerprint(form, "CRC-64-AVRO")
    assert fingerprint(PARSED[name]).to_bytes(8, "little").hex() == expected


def test_the_hand_written_layouts_are_those_of_the_files():
    """Whoever changes one of these schemas must change the code that writes it."""
    assert fingerprint(PARSED["SessionEvent"]) == events.FINGERPRINT
    assert [field["name"] for field in PARSED["SessionEvent"]["fields"]] == list(events.EventView._fields)


def test_the_tagged_schema_is_derived_as_shipped():
    """What is derived from A3CPMessage is the file TaggedA3CPMessage."""
    tag = PARSED["TaggedA3CPMessage"]["fields"][-4:]
    derived = tagged_schema(PARSED["A3CPMessage"], tag, None)
    assert canonical_form(derived) == canonical_form(PARSED["TaggedA3CPMessage"])
    assert "namespace" not in tagged_schema({**PARSED["A3CPMessage"], "namespace": ""}, tag, None)


def test_compatible_with_the_last_release():
    """New readers read old values, old readers read new ones."""
    assert check() == []
    assert last_release().parent == RELEASED


@pytest.mark.parametrize("name", SHIPPED)
def test_compatible_with_the_last_release_on_values(name):
    """The same by real resolution of generated values, by another implementation."""
    current = fastavro.parse_schema(copy.deepcopy(PARSED[name]))
    released = fastavro.parse_schema(json.loads((last_release() / f"{name}.avsc").read_text("utf-8")))
    for writer, reader in ((current, released), (released, current)):
        for value in generate_many(writer, 20):
            out = io.BytesIO()
            fastavro.schemaless_writer(out, writer, value)
            out.seek(0)
            fastavro.schemaless_reader(out, writer, reader)


def test_the_check_sees_a_release_schema_that_is_gone(tmp_path):
    """Removing a record type breaks those who read it."""
    shutil.copytree(CURRENT, tmp_path / "avro")
    (tmp_path / "avro" / "SessionCommand.avsc").unlink()
    assert check(tmp_path / "avro") == ["SessionCommand: it was released and is gone"]


def record(*fields: tuple[str, Any], name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields], **more}


ENUM_AB, ENUM_A = ({"type": "enum", "name": "E", "symbols": symbols} for symbols in (["A", "B"], ["A"]))
FIXED_4, FIXED_8 = ({"type": "fixed", "name": "F", "size": size} for size in (4, 8))
NODE = record(("next", ["null", "R"]))


@pytest.mark.parametrize(
    ("title", "reader", "writer", "problem"),
    [
        ("the same", record(("a", "int")), record(("a", "int")), None),
        ("a field less", record(), record(("a", "int")), None),
        ("a field more, without default", record(("a", "int")), record(), "a: the writer has no such field"),
        (
            "a field more, with default",
            {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "default": 0}]},
            record(),
            None,
        ),
        (
            "a field renamed with an alias",
            {"type": "record", "name": "R", "fields": [{"name": "b", "type": "int", "aliases": ["a"]}]},
            record(("a", "int")),
            None,
        ),
        ("a wider number", record(("a", "double")), record(("a", "long")), None),
        ("a narrower number", record(("a", "int")), record(("a", "long")), "a: long became int"),
        ("another type", record(("a", "string")), record(("a", ENUM_A)), "a: enum became string"),
        ("another complex type", record(("a", FIXED_4)), record(("a", ENUM_A)), "a: enum became fixed"),
        ("text that may be null", record(("a", ["null", "string"])), record(("a", "string")), None),
        (
            "text that may not be null",
            record(("a", "string")),
            record(("a", ["null", "string"])),
            "a: null became string",
        ),
        ("a branch less", record(("a", ["null", "int"])), record(("a", ["null", "string"])), "a: no branch"),
        ("a record renamed", record(name="S"), record(), "the record: R became S"),
        ("a record renamed with an alias", record(name="S", aliases=["R"]), record(), None),
        ("an enum with more", record(("a", ENUM_AB)), record(("a", ENUM_A)), None),
        ("an enum with less", record(("a", ENUM_A)), record(("a", ENUM_AB)), "a: lacks ['B']"),
        ("an enum with a default", record(("a", {**ENUM_A, "default": "A"})), record(("a", ENUM_AB)), None),
        ("the same size", record(("a", FIXED_4)), record(("a", FIXED_4)), None),
        ("another size", record(("a", FIXED_4)), record(("a", FIXED_8)), "a: its size changed"),
        (
            "items of another type",
            record(("a", {"type": "array", "items": "int"})),
            record(("a", {"type": "array", "items": "string"})),
            "a[]: string became int",
        ),
        (
            "values of the same type",
            record(("a", {"type": "map", "values": "int"})),
            record(("a", {"type": "map", "values": "int"})),
            None,
        ),
        ("a recursive type", NODE, NODE, None),
        ("a logical type", record(("a", {"type": "long", "logicalType": "x"})), record(("a", "long")), None),
    ],
)
def test_the_check_goes_red_when_it_should(title, reader, writer, problem):
    """The table is what the check takes for compatible, and what it says of what is not."""
    found = problems(reader, writer)
    assert (problem is None) == (found == [])
    assert problem is None or problem in found[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[" * 100 + '"int"' + "]" * 100, "64 levels"),
        ("7", "neither a name"),
        ('{"name": "x"}', "neither a name"),
        ('{"type": "record", "fields": []}', "no name"),
        ('{"type": "record", "name": "R"}', "no list of fields"),
        ('{"type": "record", "name": "R", "fields": [{}]}', "no name or no type"),
        (
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "Other"}]}',
            "does not define the type Other",
        ),
        ('{"type": "enum", "name": "E"}', "no list of names"),
        ('{"type": "fixed", "name": "F", "size": -1}', "no size"),
        ('{"type": "array"}', "neither a name"),
        ('"\\ud83d"', "half of a surrogate pair"),
        ('"' + "x" * SCHEMA_CHARS_MAX + '"', "more than 262144"),
    ],
)
def test_schemas_that_cannot_be_used(text, why):
    """Whatever a registry holds, it is a schema or a `SchemaError` that says why not."""
    with pytest.raises(SchemaError, match=why):
        Compiler().reader(json.loads(canonical_form(parse(text))))


READ = [
    ("null", b"", None),
    ("boolean", b"\x01", True),
    ("int", b"\x01", -1),
    ("long", b"\xff" * 9 + b"\x01", -(2**63)),
    ("float", b"\0\0\x80\x3f", 1.0),
    ("double", b"\0" * 6 + b"\xf0\x3f", 1.0),
    ("bytes", b"\x02\xff", b"\xff"),
    ("string", b"\x04\xc3\xa9", "é"),
    ({"type": "string", "logicalType": "uuid"}, b"\x02a", "a"),
    (["null", "string"], b"\x02\x02a", "a"),
    (["null", "string"], b"\x82\x00\x02a", "a"),  # its branch in two bytes
    (ENUM_AB, b"\x02", "B"),
    (FIXED_4, b"abcd", b"abcd"),
    ({"type": "array", "items": "int"}, b"\x04\x02\x04\x01\x02\x06\x00", [1, 2, 3]),
    ({"type": "map", "values": "int"}, b"\x02\x02a\x02\x00", {"a": 1}),
    ({"type": "map", "values": "null"}, b"\x02\x02a\x00", {"a": None}),
    (NODE, b"\x02\x00", {"next": {"next": None}}),
    ({"type": "error", "name": "a.b.E", "fields": []}, b"", {}),
]


@pytest.mark.parametrize(("schema", "value", "expected"), READ)
def test_values_are_read(schema, value, expected):
    """Each type of Avro, also blocks with a size."""
    read = Compiler().reader(json.loads(canonical_form(schema)))
    assert read(value, 0, 0) == (expected, len(value))


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        ("boolean", b"", "ends inside"),
        ("boolean", b"\x02", "neither true nor false"),
        ("int", b"", "ends inside"),
        ("int", b"\x80", "ends inside"),
        ("long", b"\xff" * 9 + b"\x02", "more than 64 bits"),
        ("long", b"\xff" * 11, "more than 64 bits"),
        ("float", b"\0\0\0", "ends inside"),
        ("bytes", b"\x01", "negative"),
        ("bytes", b"\x04a", "ends inside"),
        ("string", b"\x02\xff", "not UTF-8"),
        (["null"], b"\x02", "branch 1 of 1"),
        (["null"], b"\x01", "branch -1 of 1"),
        (ENUM_A, b"\x02", "choice"),
        (FIXED_4, b"abc", "ends inside"),
        ({"type": "array", "items": "int"}, b"\x01\x04\x02\x00", "another size"),
        ({"type": "array", "items": "int"}, b"\xff\xff\xff\xff\x0f", "ends inside"),
        (NODE, b"\x02" * 100, "64 records deep"),
    ],
)
def test_values_that_are_damaged(schema, value, why):
    """Nothing is read past the end, and nothing goes on for ever."""
    read = Compiler().reader(json.loads(canonical_form(schema)))
    with pytest.raises(DecodeError, match=why):
        read(value, 0, 0)


def test_older_releases_are_known():
    """Values that an earlier release wrote are still read."""
    older = json.dumps({**PARSED["A3CPMessage"], "fields": PARSED["A3CPMessage"]["fields"][:8]})
    schemas = Schemas(SCHEMA_TEXTS, older=[older, SCHEMA_TEXTS["A3CPMessage"]])
    assert len(schemas.layouts) == len(SHIPPED) + 1
