"""The quick way through a tagged Avro message says what the readers say, or leaves it to them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.codec.avro import AvroMessages
from processor.codec.avroshort import read_plain
from processor.codec.wire import AVRO_HEADER_BYTES
from processor.core.model import Tagged
from processor.errors import DecodeError
from tests.codec.stage import EXTRAS, PLAIN, TAG
from tests.strategies import SCHEMA_TEXTS, avro_messages, make_codec, single_object, tags

CODEC = make_codec(SCHEMA_TEXTS["A3CPMessage"])


THOROUGH = AvroMessages(CODEC._schemas, strict=False).untag_any


def told(untag: Callable[[bytes], object], value: bytes) -> object:
    """Return what `untag` says, an error included."""
    try:
        return untag(value)
    except DecodeError as error:
        return str(error)


@pytest.mark.parametrize(("extra", "is_object"), EXTRAS.items())
def test_extra(extra: str, is_object: bool):
    """What is no JSON by the measure of a message, whoever reads it, is kept as the text that it is."""
    fields = CODEC.decode_tagged(CODEC.tag(single_object("A3CPMessage", {**PLAIN, "extra": extra}), TAG)).fields
    assert (fields.get("extra") != extra) is is_object


@given(avro_messages, tags())
def test_it_agrees_with_the_readers(value: bytes, tagged: Tagged):
    """For whatever can be tagged."""
    whole = CODEC.tag(value, tagged)
    assert told(CODEC.untag, whole) == told(THOROUGH, whole)


@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from(["{}", '{"x":1.5}', None, "[1]", "x" * 200]))
def test_it_agrees_about_damaged_ones(at: int, byte: int, extra: str | None):
    """One byte is another."""
    whole = bytearray(CODEC.tag(single_object("A3CPMessage", {**PLAIN, "extra": extra}), TAG))
    whole[min(max(at, AVRO_HEADER_BYTES), len(whole) - 1)] = byte
    assert told(CODEC.untag, bytes(whole)) == told(THOROUGH, bytes(whole))


@pytest.mark.parametrize("cut", range(AVRO_HEADER_BYTES, 230))
def test_it_takes_no_torso(cut: int):
    """A value that ends early is refused as the readers refuse it."""
    whole = CODEC.tag(single_object("A3CPMessage", {**PLAIN, "extra": "{}"}), TAG)
    assert told(CODEC.untag, whole[:cut]) == told(THOROUGH, whole[:cut])


@pytest.mark.parametrize(
    ("changes", "tag", "is_plain"),
    [
        ({}, {}, True),
        ({"extra": None}, {}, True),
        ({"extra": "x" * 8_000}, {}, True),
        ({"extra": "x" * 8_200}, {}, False),
        ({"extra": "é"}, {}, True),
        ({"session_id": None, "source": None, "modality": None}, {}, True),
        ({"user_id": "é"}, {}, False),
        ({"user_id": "u" * 64}, {}, False),
        ({"timestamp": -5}, {}, False),
        ({"timestamp": 5}, {}, False),
        ({"timestamp": -1_750_000_000_000}, {}, False),
        ({}, {"flags": 1}, False),
        ({}, {"session_id": None}, False),
        ({}, {"seq": 1 << 40}, True),
        ({}, {"seq": 1 << 60}, False),
    ],
)
def test_what_it_takes(changes, tag, is_plain):
    """The usual; all else is the readers'."""
    whole = CODEC.tag(single_object("A3CPMessage", {**PLAIN, **changes}), TAG._replace(**tag))
    assert (read_plain(whole, AVRO_HEADER_BYTES) is not None) is is_plain
    assert told(CODEC.untag, whole) == told(THOROUGH, whole)


def test_a_union_that_is_none():
    """`extra` is neither absent nor a text."""
    whole = bytearray(CODEC.tag(single_object("A3CPMessage", {**PLAIN, "extra": None}), TAG))
    parts = read_plain(bytes(whole), AVRO_HEADER_BYTES)
    assert parts is not None
    whole[parts.end - 1] = 4
    assert read_plain(bytes(whole), AVRO_HEADER_BYTES) is None
    assert told(CODEC.untag, bytes(whole)) == told(THOROUGH, bytes(whole))
