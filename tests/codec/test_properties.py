"""What holds for any value: tagging is undone exactly, paths agree, and nonsense is refused in one way."""

import contextlib
import json
import math
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processor.codec import CONFLUENT, avroshort, decode_state, encode_state, events, jsonconforming, jsontext
from processor.codec.avro import AvroMessages
from processor.codec.isotime import format_time
from processor.codec.jsonvalue import plain_object, plain_value
from processor.core.model import (
    Flag,
    Message,
    Rules,
    Tagged,
    UserState,
    flag_words,
)
from processor.errors import DecodeError, RecordError
from tests.strategies import (
    SCHEMA_TEXTS,
    avro_messages,
    confluent_messages,
    json_messages,
    json_objects,
    make_codec,
    messages,
    session_events,
    states,
    tags,
    user_ids,
)

Result = TypeVar("Result")
RULES = Rules()
CODEC = make_codec(SCHEMA_TEXTS["A3CPMessage"])
TAG = Tagged("sess_1", 3, 1_750_000_000_123, 5, 1_750_000_000_123, bytes(32), True)
KEYS = ("session_seq", "session_start", "session_flags", "claimed_session_id")


@given(messages, tags(st.just("sess_x")))
def test_strip_undoes_tag(value: bytes, tagged: Tagged):
    """Whatever a valid message is written like, its tagged form holds it to the byte."""
    assert isinstance(CODEC.decode(value, 1), Message)
    once = CODEC.tag(value, tagged)
    assert CODEC.strip(once) == value
    assert CODEC.tag(value, tagged) == once


@given(messages, tags(st.just("sess_x")))
@example(b'{"user_id":"u","timestamp":"1970-01-01T00:00:00.000Z","session_seq":null}', TAG)
@example(b'{"user_id":"u","timestamp":"1970-01-01T00:00:00.000Z","session_flags":["own"]}', TAG)
def test_one_pass_agrees_with_two(value: bytes, tagged: Tagged):
    """`untag` gives the bytes that came in and all that they say, on its short path and on the long one."""
    whole = CODEC.tag(value, tagged)
    view, source = CODEC.untag(whole)
    assert source == CODEC.strip(whole) == value
    assert (view.session_id, view.session_seq, view.flags) == (
        tagged.session_id,
        tagged.seq if tagged.session_id is not None else None,
        flag_words(tagged.flags),
    )
    if value[:1] == b"{":
        fields = plain_object(value)
        fields.pop("session_id", None)
        told = {name: field for name, field in view.fields.items() if name != "session_id"}
        assert told == fields


@given(json_messages(), tags(), tags())
def test_a_tagged_json_message_is_tagged_again(value: bytes, first: Tagged, second: Tagged):
    """A tagged message that is fed back is marked, gets a tag of its own, and each tag comes off in turn."""
    once = CODEC.tag(value, first)
    decoded = CODEC.decode(once, 1)
    assert isinstance(decoded, Message)
    assert decoded.flags == Flag.NONCONFORMING
    twice = CODEC.tag(once, second)
    assert (CODEC.strip(twice), CODEC.strip(CODEC.strip(twice))) == (once, value)
    assert CODEC.decode_tagged(twice).session_id == second.session_id


@given(avro_messages, tags(), tags())
def test_a_tagged_avro_message_is_tagged_again(value: bytes, first: Tagged, second: Tagged):
    """The same in Avro; the first tag's fields are kept as claims."""
    once = CODEC.tag(value, first)
    decoded = CODEC.decode(once, 1)
    assert isinstance(decoded, Message)
    assert decoded.flags == Flag.NONCONFORMING
    twice = CODEC.tag(once, second)
    assert (CODEC.strip(twice), CODEC.strip(CODEC.strip(twice))) == (once, value)
    assert CODEC.decode_tagged(twice).session_seq == (second.seq if second.session_id else None)


@given(json_objects(), st.data())
def test_a_tag_adds_and_replaces_nothing_else(fields, data):
    """For a JSON reader, a tagged message is the message with the tag's fields."""
    claim = fields.get("session_id")
    own = st.just(claim) if isinstance(claim, str) else st.just("s")
    tagged = data.draw(tags(own))
    got = json.loads(CODEC.tag(json.dumps(fields).encode(), tagged))
    assert got["session_id"] == tagged.session_id
    assert got["session_flags"] == list(flag_words(tagged.flags))
    assert got["session_seq"] == (tagged.seq if tagged.session_id else None)
    assert got["session_start"] == (format_time(tagged.start_ms) if tagged.session_id else None)
    if "session_id" in fields and claim != tagged.session_id:
        assert got["claimed_session_id"] == claim
    elif "session_id" not in fields:
        assert got.get("claimed_session_id") is None
    rest = {key: field for key, field in got.items() if key not in (*KEYS, "session_id")}
    assert rest == {key: field for key, field in fields.items() if key not in (*KEYS, "session_id")}


@given(messages, tags())
def test_the_view_agrees_with_the_message(value: bytes, tagged: Tagged):
    """What a reader of the tagged topic sees is what was decoded and tagged."""
    message = CODEC.decode(value, 1)
    view = CODEC.decode_tagged(CODEC.tag(value, tagged))
    assert isinstance(message, Message)
    assert (view.user_id, view.timestamp_ms, view.source) == (message.user_id, message.timestamp_ms, message.source)
    assert (view.record_id, view.claimed_session_id) == (message.record_id, message.claimed_session_id)
    assert (view.session_id, view.flags) == (tagged.session_id, flag_words(tagged.flags))
    assert view.encoding == message.encoding
    assert view.fields.get("session_id") == tagged.session_id


@given(avro_messages | confluent_messages)
def test_the_unrolled_path_agrees_with_the_readers(value: bytes):
    """The fast path for the shipped layout says what the readers say, or nothing."""
    size, encoding = (10, 2) if value[0] else (5, CONFLUENT)
    fast = avroshort.read_conforming(value, size, 7, encoding)
    assert fast is None or fast == AvroMessages(CODEC._schemas, strict=False).read(value, 7)


@given(json_messages())
def test_the_short_path_agrees_with_the_long_one(value: bytes):
    """The fast path for conforming JSON says what the thorough one says."""
    fast = jsonconforming.read_conforming(value, 7)
    assert fast is None or fast == jsontext.read(value, 7, strict=False)


ANY_START = st.sampled_from([b"", b"{", b'{"user_id":"u",', b"\x00\x00\x00\x00\x01", CODEC.tag(b"{}", TAG)[:1]])


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """Draw a value that was cut, or had bytes changed, put in or doubled."""
    value = bytearray(draw(originals))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value)))
        match draw(st.integers(0, 3)):
            case 0:
                del value[at:]
            case 1:
                value[at : at + 1] = bytes((draw(st.integers(0, 255)),))
            case 2:
                value[at:at] = draw(st.binary(max_size=4))
            case _:
                value[at:at] = value[max(0, at - 20) : at]
    return bytes(value)


def outcome(read: Callable[[bytes], Result], value: bytes) -> Result | RecordError:
    """Return what `read` makes of `value`, or the only kind of error that it may raise."""
    try:
        return read(value)
    except RecordError as error:
        return error


def is_explained(result: object) -> bool:
    """Return whether `result` is a value, or an error that says what to do."""
    return not isinstance(result, RecordError) or bool(result.remedy)


@given(
    st.one_of(st.binary(max_size=80), st.builds(bytes.__add__, ANY_START, st.binary(max_size=60)), mutated(messages))
)
def test_nonsense_is_a_value_or_a_record_error(value: bytes):
    """Arbitrary bytes and damaged messages decode or are refused with a remedy; what decodes can be tagged."""
    message = outcome(lambda value: CODEC.decode(value, 1), value)
    assert is_explained(message)
    if isinstance(message, Message):
        tagged = CODEC.tag(value, TAG)
        assert CODEC.strip(tagged) == value
        CODEC.decode_tagged(tagged)
        message.user_id.encode()


@given(mutated(messages.map(lambda value: CODEC.tag(value, TAG))) | st.binary(max_size=60))
def test_damaged_tagged_values_are_refused(value: bytes):
    """Readers of the tagged topic meet only `DecodeError`."""
    assert is_explained(outcome(CODEC.strip, value))
    assert is_explained(outcome(CODEC.decode_tagged, value))


@given(user_ids, session_events, st.sampled_from([1, 2, 3]))
def test_events_are_read_back(user_id, event, encoding):
    """An event reads alike from every encoding, and telling it twice writes the same bytes."""
    value = CODEC.encode_event(user_id, event, encoding)
    assert CODEC.encode_event(user_id, event, encoding) == value
    view = CODEC.decode_event(value)
    assert view == CODEC.decode_event(CODEC.encode_event(user_id, event, 2))
    assert (view.user_id, view.session_id) == (user_id, event.session_id)


@given(user_ids, session_events)
def test_boundaries_are_written_as_all_events_are(user_id, event):
    """The short way to write a start or an end takes no bytes of its own."""
    assert events.write_avro(user_id, event) == events.to_avro(events.view_of(user_id, event))


@given(mutated(session_events.map(lambda event: CODEC.encode_event("u", event, 2))) | st.binary(max_size=60))
def test_damaged_events_are_refused(value: bytes):
    """So do readers of the sessions topic."""
    assert is_explained(outcome(CODEC.decode_event, value))


@given(states)
def test_state_is_read_back(state: UserState):
    """Memory restored is memory lived."""
    assert decode_state(encode_state(state)) == state


@given(mutated(states.map(encode_state)) | st.binary(max_size=60))
@example(b"")
def test_damaged_state_is_refused(value: bytes):
    """A damaged state is never half read."""
    assert is_explained(outcome(decode_state, value))


@pytest.mark.parametrize("depth", [10, 255, 256, 257, 1000, 100_000])
def test_depth_has_one_limit(depth):
    """How deep a message may be does not depend on where it is decoded from."""
    value = b'{"user_id":"u","timestamp":"2025-06-15","a":%b1%b}' % (b"[" * (depth - 1), b"]" * (depth - 1))
    if depth <= 256:
        assert CODEC.decode(value, 1).user_id == "u"
    else:
        with pytest.raises(DecodeError, match="256 levels"):
            CODEC.decode(value, 1)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,320})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
@example("1e400")
@example("-0")
@example("1.7976931348623157e308")
@example("9" * 4_301)
def test_numbers_are_read_as_python_reads_them(text: str):
    """Those that no float holds, and the longest of the whole ones, are their own text."""
    with contextlib.suppress(ValueError):  # Too long for a whole number.
        number = json.loads(text)
        is_held = isinstance(number, int) or math.isfinite(number)
        (plain,) = plain_value(f"[{text}]")
        assert (type(plain), plain) == ((type(number), number) if is_held else (str, text))
        return
    assert plain_value(text) == text
