"""No schema makes reading cost more than the value's size allows."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.codec.avroreading import Compiler, Reader
from processor.codec.avroschema import DEPTH_MAX, SchemaError, SchemaJson, canonical_form
from processor.codec.schemawork import READS_FREE, RUN_MAX, check_work
from processor.errors import DecodeError


def record(name: str, *types: SchemaJson) -> dict[str, Any]:
    return {
        "name": name,
        "type": "record",
        "fields": [{"name": f"f{n}", "type": kind} for n, kind in enumerate(types)],
    }


def doubling(levels: int, *bottom: SchemaJson) -> SchemaJson:
    """A record that holds the next one twice, and so on: 2^levels of `bottom`."""
    if not levels:
        return record("L0", *bottom)
    return record(f"L{levels}", doubling(levels - 1, *bottom), f"L{levels - 1}")


HUGE = {"name": "F", "type": "fixed", "size": 2**62}
EMPTY = {"name": "F", "type": "fixed", "size": 0}
MUCH_NOTHING = ["null"] * (RUN_MAX + 1)
NULLS = ["null"] * (RUN_MAX - 1)
BOUNDED = [
    ("nothing", "null"),
    ("an empty record", record("R")),
    ("a wide record", record("R", *["long"] * 5_000)),
    ("a wide record of choices", record("R", *[["null", "string"]] * 5_000)),
    ("some fields of null", record("R", *["null"] * READS_FREE)),
    ("a list", record("Node", "int", ["null", "Node"])),
    ("a tree", record("Node", {"type": "array", "items": "Node"})),
    ("a record in between", record("A", ["null", record("B", "A")])),
    ("optional records of nothing", record("R", *[["null", record(f"O{n}", *NULLS)] for n in range(100)])),
    ("an optional record of records", record("R", ["null", record("O", *[record(f"I{n}", "int") for n in range(99)])])),
    ("many levels that take bytes", doubling(7, "int", "int")),
    ("entries of nothing", {"type": "map", "values": "null"}),
    ("items with a byte", {"type": "array", "items": record("I", "null", "int", "null")}),
]  # fmt: skip


@pytest.mark.parametrize(("title", "schema"), BOUNDED)
def test_schemas_of_which_values_are_read(title, schema):
    """What people write is read: wide records, optional ones, lists and trees."""
    check_work(schema)


UNBOUNDED = [
    ("2^40 times nothing", doubling(40, "null", "null"), "more than 1000 fields"),
    ("2^40 times nothing, in a choice", ["null", doubling(40, "null", "null")], "a part of it has more than 8"),
    ("nothing before many bytes", record("R", doubling(40, "null"), HUGE), "more than 1000"),
    ("nothing between bytes", doubling(30, "int", *MUCH_NOTHING), "more than 1000"),
    ("fields of null", record("R", *["null"] * 2_000), "more than 1000"),
    ("fixed types of no size", record("R", EMPTY, *["F"] * 2_000), "more than 1000"),
    ("an item with much nothing", {"type": "array", "items": record("I", "int", *MUCH_NOTHING)}, "a part of it"),
    ("an entry of much nothing", {"type": "map", "values": record("I", *MUCH_NOTHING)}, "a part of it"),
    ("a branch with much nothing in between", ["null", record("I", "int", *MUCH_NOTHING, "int")], "a part of it"),
    ("items of nothing", {"type": "array", "items": "null"}, "take no bytes"),
    ("items of an empty record", record("R", record("E"), {"type": "array", "items": "E"}), "take no bytes"),
    ("items of records of nothing", {"type": "array", "items": record("E", record("I", "null"))}, "take no bytes"),
    ("items of a fixed type of no size", {"type": "array", "items": EMPTY}, "take no bytes"),
    ("itself", record("R", "R"), "the type R holds itself"),
    ("itself further down", record("R", record("S", "R")), "holds itself"),
    ("a type twice", record("R", record("S", "int"), record("S")), "defines the type S twice"),
    ("a type that is not there", record("R", ["null", "S"]), "does not define the type S"),
]  # fmt: skip


@pytest.mark.parametrize(("title", "schema", "why"), UNBOUNDED)
def test_schemas_that_are_refused(title, schema, why):
    """What makes much of no byte is refused, whatever it is put in."""
    with pytest.raises(SchemaError, match=why):
        check_work(schema)


class Counting(Compiler):
    """Counts the readings."""

    reads = 0

    def reader(self, schema: SchemaJson) -> Reader:
        inner = super().reader(schema)

        def read(value: bytes, pos: int, depth: int) -> tuple[Any, int]:
            self.reads += 1
            return inner(value, pos, depth)

        return read


@st.composite
def schemas(draw: st.DrawFn) -> SchemaJson:
    """Draw types inside types, most of them of nothing, which mention each other."""
    names: list[str] = []

    def one(depth: int) -> SchemaJson:
        kinds = ["null", "null", "int", "string", *names]
        if depth:
            kinds += ["record", "record", "record", "array", "map", "union", "fixed"]
        kind = draw(st.sampled_from(kinds))
        match kind:
            case "record":
                name = f"R{len(names)}"
                names.append(name)
                return record(name, *[one(depth - 1) for _ in range(draw(st.integers(0, 4)))])
            case "fixed":
                names.append(f"F{len(names)}")
                return {"name": names[-1], "type": "fixed", "size": draw(st.integers(0, 2))}
            case "array":
                return {"type": kind, "items": one(depth - 1)}
            case "map":
                return {"type": kind, "values": one(depth - 1)}
            case "union":
                return [one(depth - 1) for _ in range(draw(st.integers(1, 3)))]
        return kind

    return one(5)


@given(schemas(), st.binary(max_size=300) | st.lists(st.sampled_from(b"\0\2\4"), max_size=300).map(bytes))
def test_readings_are_bounded_by_the_bytes(schema, value):
    """Whatever is not refused causes no more readings than its value's bytes allow, also when the value is damaged."""
    schema = json.loads(canonical_form(schema))
    try:
        check_work(schema)
    except SchemaError:
        return
    counting = Counting()
    with contextlib.suppress(DecodeError):
        counting.reader(schema)(value, 0, 0)
    assert counting.reads <= READS_FREE + (len(value) + 1) * (2 * RUN_MAX + 1)


SIZE = 1 << 14
LEAST, MOST = b"\xff" * 9 + b"\x01", b"\xfe" + b"\xff" * 8 + b"\x01"  # -2^63 and 2^63 - 1
HOSTILE = {
    "always the second branch": b"\2" * SIZE,
    "only nothing": bytes(SIZE),
    "2^63 items, entries or bytes": MOST + b"\2" * SIZE,
    "2^63 in a block of a size": LEAST + MOST + bytes(SIZE),
    "blocks of a negative size": b"\1\1" * SIZE,
    "a number without end": b"\x80" * SIZE,
}


@pytest.mark.parametrize(("title", "schema"), BOUNDED)
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_values_cost_what_their_bytes_allow(title, schema, value):
    """Huge counts, lengths, depths, negative sizes end in a value or a reason, after a bounded number of readings."""
    counting = Counting()
    with contextlib.suppress(DecodeError):
        counting.reader(json.loads(canonical_form(schema)))(value, 0, 0)
    assert counting.reads <= READS_FREE + (len(value) + 1) * (2 * RUN_MAX + 1)


def test_a_deep_value_ends():
    """A list as long as its value is refused by its depth."""
    schema = record("Node", ["null", "Node"])
    check_work(schema)
    with pytest.raises(DecodeError, match=f"{DEPTH_MAX} records deep"):
        Compiler().reader(schema)(b"\2" * 10_000, 0, 0)
