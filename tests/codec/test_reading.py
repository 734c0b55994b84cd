"""What is read from a record, what is odd about it, what is refused (rules R9, R15, R16), in every encoding."""

import contextlib
import json
import math
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from processor.codec import AVRO, CONFLUENT, JSON, Codec, Schemas, encoding_of
from processor.codec.avroschema import fingerprint, parse
from processor.codec.isotime import format_time, parse_time, wall_ms
from processor.codec.jsonmembers import scan
from processor.codec.oddities import explained, fault_of_id
from processor.codec.remembered import Remembered
from processor.codec.schema import LAYOUTS_MAX, REFUSAL_S
from processor.codec.wire import avro_header, confluent_header
from processor.core.model import Flag, Message, Odd, Policy, Tagged, odd_words
from processor.errors import DecodeError, InvalidMessage, RegistryUnavailable, SchemaUnknown
from tests.strategies import SCHEMA_TEXTS, FakeRegistry, avro_body, confluent, make_codec, single_object

RECORD_ID = "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56"
AT_MS = 1_749_990_896_789
GOOD = {
    "schema_version": "1.0.1",
    "record_id": RECORD_ID,
    "user_id": "elias01",
    "timestamp": "2025-06-15T12:34:56.789Z",
    "performer_id": "carer01",
    "modality": "gesture",
    "source": "gesture_classifier",
    "capture_id": "11111111-2222-3333-4444-555555555555",
    "session_id": "sess_1",
}
CODEC = make_codec(SCHEMA_TEXTS["A3CPMessage"])
STRICT = make_codec(SCHEMA_TEXTS["A3CPMessage"], strict=True)
ABSENT = object()


def text(changes: Any = (), **more: Any) -> bytes:
    """Return the good message as JSON, changed; ABSENT takes a field out."""
    fields = {**GOOD, **dict(changes), **more}
    return json.dumps(
        {key: field for key, field in fields.items() if field is not ABSENT}, separators=(",", ":")
    ).encode()


def record(**changes: Any) -> dict[str, Any]:
    """Return the good message as an Avro record's fields, changed."""
    fields = {**GOOD, "timestamp": AT_MS, "extra": None, **changes}
    return {key: None if field is ABSENT else field for key, field in fields.items()}


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (text(), JSON),
        (single_object("A3CPMessage", record()), AVRO),
        (confluent("A3CPMessage", record()), CONFLUENT),
    ],
)
def test_a_conforming_message(value, encoding):
    """All that the rules look at, and no flag."""
    expected = Message(
        "elias01", RECORD_ID, AT_MS, 77, sha256(value).digest(), "gesture_classifier", "sess_1", 0, encoding, None
    )
    assert CODEC.decode(value, 77) == STRICT.decode(value, 77) == expected
    assert type(CODEC.decode(value, 77)) is Message
    assert encoding_of(value) == encoding


def read(value: bytes, codec: Codec = CODEC) -> Message:
    """Return the message in `value`."""
    message = codec.decode(value, 1)
    assert isinstance(message, Message)
    return message


ODD: list[tuple[str, dict[str, Any], str]] = [
    ("a version of two numbers", {"schema_version": "1.0"}, "schema_version_not_semver"),
    ("a record_id that is no UUID", {"record_id": "rec_1234567890"}, "record_id_not_uuid"),
    ("a modality outside the list", {"modality": "vision"}, "modality_unknown"),
    ("a blank after the user_id", {"user_id": "elias01 "}, "user_id_blanks"),
    ("a blank before it", {"user_id": " elias01"}, "user_id_blanks"),
    ("a line end after it", {"user_id": "elias01\n"}, "user_id_blanks"),
    ("a blank after an id of one letter", {"user_id": "e "}, "user_id_blanks"),
    ("a space that does not break", {"user_id": "elias01\u00a0"}, "user_id_blanks"),
    ("a NUL in user_id", {"user_id": "eli\0as"}, "user_id_invisible"),
    ("a tab in it", {"user_id": "eli\tas"}, "user_id_invisible"),
    ("a space of no width", {"user_id": "elias\u200b01"}, "user_id_invisible"),
    ("a joiner at its end", {"user_id": "elias01\u2060"}, "user_id_invisible"),
    ("a byte order mark before it", {"user_id": "\ufeffelias01"}, "user_id_invisible"),
    ("a mark of direction", {"user_id": "\u202eelias01"}, "user_id_invisible"),
    ("a soft hyphen", {"user_id": "eli\u00adas01"}, "user_id_invisible"),
    ("a letter that is blank", {"user_id": "elias\u3164"}, "user_id_invisible"),
    ("a variation selector", {"user_id": "elias\ufe0f"}, "user_id_invisible"),
    ("a tag character", {"user_id": "elias\U000e0041"}, "user_id_invisible"),
]
ODD_JSON: list[tuple[str, dict[str, Any], str]] = [
    ("no version", {"schema_version": ABSENT}, "schema_version_missing"),
    ("a version that is a number", {"schema_version": 1.0}, "schema_version_not_semver"),
    ("no record_id", {"record_id": ABSENT}, "record_id_missing"),
    ("a record_id that is null", {"record_id": None}, "record_id_missing"),
    ("a record_id that is a number", {"record_id": 7}, "record_id_not_uuid"),
    ("a modality that is a list", {"modality": ["gesture"]}, "modality_unknown"),
    ("a source that is a number", {"source": 7}, "source_not_text"),
    ("a performer that is true", {"performer_id": True}, "performer_id_not_text"),
    ("a capture that is an object", {"capture_id": {}}, "capture_id_not_text"),
    ("a claim that is a number", {"session_id": 12345678901234567890}, "session_id_not_text"),
    ("a field of the tag", {"session_seq": 1}, "tag_fields"),
    ("a claimed_session_id", {"claimed_session_id": None}, "tag_fields"),
    ("a number beyond all floats as claim", {"session_id": 0, "x": 0}, "session_id_not_text"),
    ("a time without zone", {"timestamp": "2025-06-15T12:34:56.789"}, "timestamp_without_zone"),
    ("one of the usual length", {"timestamp": "2025-06-15T12:34:56.7890"}, "timestamp_without_zone"),
]


@pytest.mark.parametrize("append_ms", [-1, -5, 253_402_300_800_000])
@pytest.mark.parametrize(
    "value", [text(), single_object("A3CPMessage", record()), confluent("A3CPMessage", record()), b"", None]
)
def test_without_an_append_time_nothing_is_tagged(value, append_ms):
    """A client may send the time -1 where the topic does not stamp what comes: rule R10 would have no bound."""
    with pytest.raises(InvalidMessage, match=r"no usable append time .* is -?[0-9]+\); set message\.timestamp\.type"):
        CODEC.decode(value, append_ms)


@pytest.mark.parametrize(("title", "changes", "reason"), ODD + ODD_JSON)
def test_odd_json_is_flagged(title, changes, reason):
    """What upstream's spine would refuse is flagged, and why is known; strict refuses it and says the same."""
    message = read(text(changes))
    assert (message.flags, message.timestamp_ms) == (Flag.NONCONFORMING, AT_MS)
    assert odd_words(message.odd) == (reason,)
    with pytest.raises(InvalidMessage, match=rf"does not conform: .*\({reason}\)"):
        STRICT.decode(text(changes), 1)


@pytest.mark.parametrize(("title", "changes", "reason"), ODD)
@pytest.mark.parametrize("write", [single_object, confluent])
def test_odd_avro_is_flagged(title, changes, reason, write):
    """The same in both Avro framings."""
    value = write("A3CPMessage", record(**changes))
    message = read(value)
    assert (message.flags, odd_words(message.odd)) == (Flag.NONCONFORMING, (reason,))
    with pytest.raises(InvalidMessage, match=reason):
        STRICT.decode(value, 1)


def test_each_reason_has_its_bit_and_its_sentence():
    """One message may have several, in a fixed order; each word is one of `Odd`, with a sentence."""
    bits = [bit for name, bit in vars(Odd).items() if name.isupper() and name != "WORDS"]
    assert bits == [1 << number for number in range(len(Odd.WORDS))]
    assert [odd_words(bit) for bit in bits] == [(word,) for word in Odd.WORDS]
    told = explained(sum(bits))
    assert [told.index(f"({word})") for word in Odd.WORDS] == sorted(told.index(f"({word})") for word in Odd.WORDS)
    message = read(b'{"user_id":"u ","timestamp":"2025-06-15"}')
    assert CODEC.reasons(text()) == ()
    assert CODEC.reasons(b'{"user_id":"u ","timestamp":"2025-06-15"}') == odd_words(message.odd)
    assert odd_words(message.odd) == (
        "schema_version_missing", "record_id_missing", "user_id_blanks", "timestamp_without_zone",
    )  # fmt: skip


@pytest.mark.parametrize("unit", ["millis", "micros", "nanos"])
def test_a_local_timestamp_has_no_zone(unit):
    """Avro's `local-timestamp-…` counts as UTC and is flagged, as text without zone is; also where nullable."""
    kind = {"type": "long", "logicalType": f"local-timestamp-{unit}"}
    at = AT_MS * {"millis": 1, "micros": 1000, "nanos": 10**6}[unit]
    for written in (kind, ["null", kind]):
        schema = json.loads(SCHEMA_TEXTS["A3CPMessage"])
        schema["fields"][3]["type"] = written
        value = confluent_header(1) + avro_body(json.dumps(schema), record(timestamp=at))
        message = read(value, make_codec(json.dumps(schema)))
        assert (message.timestamp_ms, odd_words(message.odd)) == (AT_MS, ("timestamp_without_zone",))


def test_what_is_wrong_with_an_id():
    """In words, for those who type it."""
    assert [fault_of_id(text) for text in ("elias01", "", "van der Berg", "é" * 3)] == [None] * 4
    assert fault_of_id(" elias01") == fault_of_id("elias01\u200b ") == "begins or ends with a blank"
    assert fault_of_id("eli\u200bas") == "holds characters that cannot be seen"
    own = ("session_manager", "session_manager~0000000a", "a3cp-canary-3")
    assert [fault_of_id(text) for text in own] == ["is this system's own"] * 3
    assert fault_of_id("session_managers") is None


def test_an_odd_command_knows_why():
    """Commands have no flag; whoever sends one can be told all the same."""
    assert odd_words(CODEC.decode(text(command="end", user_id="elias01 "), 1).odd) == ("user_id_blanks",)


@pytest.mark.parametrize(
    "changes",
    [
        {"performer_id": ABSENT, "modality": ABSENT, "source": ABSENT, "capture_id": ABSENT, "session_id": ABSENT},
        {"performer_id": None, "modality": None, "source": None, "capture_id": None, "session_id": None},
        {"performer_id": "", "source": "", "capture_id": "no uuid", "session_id": ""},
        {"schema_version": "10.200.3000"},
        {"record_id": RECORD_ID.upper()},
        {"record_id": RECORD_ID.replace("-", "")},
        {"record_id": f"urn:uuid:{RECORD_ID}"},
        {"record_id": f"{{{RECORD_ID}}}"},
        {"user_id": "../../x"},
        {"user_id": "é" * 128},
        {"user_id": "van der Berg"},
    ],
)
def test_what_upstream_accepts_is_not_flagged(changes):
    """A conforming message is never flagged, however unusual."""
    assert read(text(changes), STRICT).flags == 0
    assert read(single_object("A3CPMessage", record(**changes)), STRICT).flags == 0


def test_a_session_notes_number_is_no_spine_field():
    """Fields outside the spine may hold what they like; a number that no float holds is told as its text."""
    value = text()[:-1] + b',"x":1e999,"y":' + b"9" * 5000 + b',"session_policy":5}'
    assert read(value).flags == 0
    fields = CODEC.decode_tagged(CODEC.tag(value, Tagged("s", 1, 2, 0, 3, b"", True))).fields
    assert (fields["x"], fields["y"]) == ("1e999", "9" * 5000)


@pytest.mark.parametrize("blank", [None, "", " ", "\t "])
def test_a_blank_claim_is_none(blank):
    """Upstream's record panel leaves session_id blank on purpose."""
    assert read(text(session_id=blank)).claimed_session_id is None
    assert read(single_object("A3CPMessage", record(session_id=blank))).claimed_session_id is None


REFUSED = [
    ("no user", {"user_id": ABSENT}, "user_id is missing"),
    ("a null user", {"user_id": None}, "user_id is missing"),
    ("a number as user", {"user_id": 5}, "user_id is not text"),
    ("an empty user", {"user_id": ""}, "user_id is blank"),
    ("a blank user", {"user_id": " \u2003"}, "user_id is blank"),
    ("a long user", {"user_id": "u" * 257}, "user_id has 257 bytes, at most 256"),
    ("a long user of few letters", {"user_id": "é" * 129}, "user_id has 258 bytes"),
    ("no time", {"timestamp": ABSENT}, "timestamp is missing"),
    ("a number as time", {"timestamp": AT_MS}, "timestamp is not text"),
    ("a word as time", {"timestamp": "yesterday"}, "no ISO 8601"),
    ("a time of the usual length", {"timestamp": "2025-13-15T12:34:56.789Z"}, "no ISO 8601"),
    ("before the epoch", {"timestamp": "1969-12-31T23:59:59.999Z"}, "outside 1970-01-01 to 9999-12-31"),
    ("after all years", {"timestamp": "9999-12-31T23:59:59.999-00:01"}, "outside 1970-01-01 to 9999-12-31"),
]


@pytest.mark.parametrize(("title", "changes", "why"), REFUSED)
def test_what_cannot_be_tagged_is_invalid(title, changes, why):
    """No user or no usable time: a dead letter that says so, with a remedy, and without the user's data."""
    with pytest.raises(InvalidMessage, match=why) as caught:
        CODEC.decode(text(changes), 1)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"user_id": "  "}, "user_id is blank"),
        ({"user_id": "u" * 257}, "257 bytes"),
        ({"timestamp": -1}, "outside"),
        ({"timestamp": 253_402_300_800_000}, "outside"),
    ],
)
def test_what_cannot_be_tagged_is_invalid_in_avro(changes, why):
    """The same in Avro."""
    with pytest.raises(InvalidMessage, match=why):
        CODEC.decode(single_object("A3CPMessage", record(**changes)), 1)


TIMES = [
    ("2025-06-15T12:34:56.789Z", AT_MS),
    ("2025-06-15T12:34:56.789999Z", AT_MS),
    ("2025-06-15T12:34:56,789Z", AT_MS),
    ("2025-06-15 12:34:56.789", AT_MS),
    ("2025-06-15t12:34:56.789+00:00", AT_MS),
    ("2025-06-15T14:34:56.789+02:00", AT_MS),
    ("2025-06-15T07:04:56.789-0530", AT_MS),
    ("2025-06-15 12:34:56.789+00", AT_MS),
    ("2025-06-15 09:34:56.789-03", AT_MS),
    ("2025-06-15T12:34:56Z", AT_MS - 789),
    ("2025-06-15T12:34:56.7", AT_MS - 89),
    ("2025-06-15T12:34Z", AT_MS - 56_789),
    ("2025-06-15", 1_749_945_600_000),
    ("1970-01-01T00:00:00.000Z", 0),
    ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
]


@pytest.mark.parametrize(("written", "time_ms"), TIMES)
def test_times(written, time_ms):
    """The forms that upstream's model accepts, in ms since the epoch, floored."""
    assert parse_time(written) == time_ms
    assert read(text(timestamp=written)).timestamp_ms == time_ms
    assert parse_time(format_time(time_ms)) == time_ms


def test_the_clock_of_the_machine():
    """Its time is ms since the epoch: as text it is the UTC time that Python has."""
    before = datetime.now(UTC)
    told = datetime.fromisoformat(format_time(wall_ms()))
    assert before - timedelta(milliseconds=1) < told <= datetime.now(UTC)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "1750000000",
        "2025-06-15T12:34:56.789z",
        "2025-06-15T12:34:60.000Z",
        "2025-06-15T24:00:00.000Z",
        "2025-06-15T25:00:00Z",
        "2025-02-29",
        "2025-W24-7T12:34:56.789Z",
        "20250615T123456Z",
        "2025-06-15T12",
        "2025-06-15T12:34:56.Z",
        "2025-06-15T12:34:56+24:00",
        "2025-06-15T12:34:56+24",
        "2025-06-15+00",
        "2025-06-15T12:34:56+00:60",
        "٢٠٢٥-06-15T12:34:56.789Z",
        " 2025-06-15",
        "0000-01-01",
    ],
)
def test_times_that_are_none(written):
    """What upstream refuses, and what Python's versions read differently."""
    with pytest.raises(ValueError, match=r"."):
        parse_time(written)


POLICIES = [
    ({"gap_ms": 5, "max_session_ms": 6, "pause_ms": 7, "template": "t"}, Policy(5, 6, 7, "t"), 0),
    ({}, Policy(), 0),
    ({"gap_ms": None, "other": 1}, Policy(), 0),
    (None, None, 0),
    (5, None, 1),
    ({"gap_ms": 0}, None, 1),
    ({"gap_ms": 1.5}, None, 1),
    ({"gap_ms": True}, None, 1),
    ({"pause_ms": 10**18}, None, 1),
    ({"gap_ms": 5, "template": " "}, None, 1),
    ({"template": 5}, None, 1),
    ({"template": "ü" * 128}, Policy(template="ü" * 128), 0),
    ({"gap_ms": 5, "template": "ü" * 129}, None, 1),
]


@pytest.mark.parametrize(("written", "policy", "flags"), POLICIES)
def test_policies(written, policy, flags):
    """A profile update sets limits; one that is wrong is flagged and sets none."""
    value = text(source="user_profile_store", session_policy=written)
    extra = json.dumps({"session_policy": written})
    in_avro = single_object("A3CPMessage", record(source="user_profile_store", extra=extra))
    for message in (read(value), read(in_avro)):
        assert (message.policy, message.flags) == (policy, flags)


HALF = '{"session_policy":{"template":"\\ud800"}}'


def test_policies_that_are_not_there():
    """No policy without the source, none in an `extra` that is no JSON, none beyond all floats or of half a letter."""
    assert read(text(session_policy={"gap_ms": 5})).policy is None
    for extra, flags in ((None, 0), ("{}", 0), ("no json", 1), ("[]", 1), (HALF, 1)):
        value = single_object("A3CPMessage", record(source="user_profile_store", extra=extra))
        assert read(value)[7:10] == (flags, AVRO, None)
    too_large = text(source="user_profile_store")[:-1] + b',"session_policy":1e999}'
    assert read(too_large)[7:10] == (1, JSON, None)


GOOD_TEXT = text()
UNREADABLE = [
    ("a tombstone", None, "null"),
    ("nothing", b"", "empty"),
    ("white space", b" \n", "white space"),
    ("a list", b"[]", "JSON array"),
    ("a byte order mark", b"\xef\xbb\xbf{}", "byte order mark"),
    ("another magic", b"\x01abc", "byte 01"),
    ("a schema's GUID", b"\x01" + bytes(16) + b"\x0a1.0.1", "as before a schema's GUID, which is not read"),
    ("AWS Glue", b"\x03\x00" + bytes(16) + b"\x0a1.0.1", "begins with 0300, as AWS Glue frames it"),
    ("AWS Glue, packed", b"\x03\x05" + bytes(16), "begins with 0305, as AWS Glue frames it"),
    ("half an Avro mark", b"\xc3\x02" + bytes(20), "no whole Avro header"),
    ("a cut Avro header", b"\xc3\x01\0\0", "no whole Avro header"),
    ("a cut schema id", b"\0\0\0\1", "no whole schema id"),
    ("an unknown fingerprint", b"\xc3\x01" + bytes(20), "fingerprint 0000000000000000"),
    ("broken JSON", b"{", "no JSON object"),
    ("two objects", GOOD_TEXT + b"{}", "no JSON object"),
    ("NaN", GOOD_TEXT[:-1] + b',"x":NaN}', "no JSON object"),
    ("a lone surrogate", GOOD_TEXT[:-1] + b',"x":"\\ud800"}', "no JSON object"),
    ("no UTF-8 in a field of no interest", GOOD_TEXT[:-1] + b',"x":"\xff"}', "not UTF-8 at byte"),
    ("a user twice", GOOD_TEXT[:-1] + b',"user_id":"elias01"}', "user_id twice"),
    ("a user twice, spelled otherwise", GOOD_TEXT[:-1] + b',"user\\u005fid":"x"}', "user_id twice"),
    ("a time twice, with spaces", b'{ "timestamp": 1, "user_id": "u" , "timestamp" :2}', "timestamp twice"),
    ("a command twice", b'{"command":"end","command":"start"}', "command twice"),
    ("deep objects", b'{"a":' * 1000 + b"1" + b"}" * 1000, "256 levels"),
    ("deep objects that never end", b'{"a":' * 100_000, "256 levels"),
    ("deep lists of which few end", b'{"a":' + b"[" * 1000 + b"]" * 200, "256 levels"),
    ("an event", single_object("A3CPMessage", record())[:1], "no whole Avro header"),
]


@pytest.mark.parametrize(("title", "value", "why"), UNREADABLE)
def test_what_cannot_be_read(title, value, why):
    """Refused with what, where and what to do."""
    with pytest.raises(DecodeError, match=why) as caught:
        CODEC.decode(value, 1)
    assert caught.value.remedy


@pytest.mark.parametrize("write", [single_object, confluent])
def test_avro_is_read_to_its_last_byte(write):
    """Cut anywhere, or with a byte too many, it is refused."""
    value = write("A3CPMessage", record(extra='{"a":1}'))
    header = len(value) - len(avro_body(SCHEMA_TEXTS["A3CPMessage"], record(extra='{"a":1}')))
    for end in range(header, len(value)):
        with pytest.raises(DecodeError):
            CODEC.decode(value[:end], 1)
    with pytest.raises(DecodeError, match="1 bytes after its last field"):
        CODEC.decode(value + b"\0", 1)
    with pytest.raises(DecodeError, match="not UTF-8"):
        CODEC.decode(value.replace(b'{"a"', b'{"\xff"'), 1)


def test_fields_of_the_same_name_further_down_are_fine():
    """The input broker's aligned messages hold users and sessions of their own."""
    nested = [{"user_id": "u1", "session_id": "s", "timestamp": "x"}, {"user_id": "u2", "a\\b": '"session_id":"q"'}]
    for value in (text(aligned_messages=nested), json.dumps({"aligned": nested, **GOOD}, indent=1).encode()):
        assert read(value).flags == 0
        tagged = CODEC.tag(value, Tagged("sess_2", 1, 2, 0, 3, b"", True))
        assert json.loads(tagged)["session_id"] == "sess_2"
        assert json.loads(tagged)["claimed_session_id"] == "sess_1"
        assert CODEC.strip(tagged) == value


def test_a_megabyte_of_extras():
    """Large is fine, flat or full of brackets."""
    value = text(x="é" * 500_000)
    assert read(value).user_id == "elias01"
    value = text(x=[{"a": []}] * 100_000)
    assert read(value).user_id == "elias01"
    avro = single_object("A3CPMessage", record(extra=json.dumps({"x": "y" * 1_000_000})))
    assert read(avro).flags == 0


def test_brackets_that_do_not_match_are_no_depth():
    """Many brackets, none of them deep, and no JSON either."""
    with pytest.raises(DecodeError, match="no JSON object"):
        CODEC.decode(b'{"a":' + b"]" * 1000, 1)


# --- other writers' schemas -------------------------------------------------------------------------------------------


def schema(*fields: tuple[str, Any], name: str = "A3CPMessage", **more: Any) -> str:
    return json.dumps({"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields], **more})


MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
USER, TIME = ("user_id", "string"), ("timestamp", "long")
OTHERS = [
    ("few fields", schema(USER, TIME), {"user_id": "u", "timestamp": 5}, 5),
    ("µs", schema(("timestamp", MICROS), USER), {"user_id": "u", "timestamp": 5999}, 5),
    ("null or ms", schema(("timestamp", ["null", MILLIS]), USER), {"user_id": "u", "timestamp": 5}, 5),
    ("text", schema(("timestamp", "string"), USER), {"user_id": "u", "timestamp": "1970-01-01T00:00:00.005Z"}, 5),
    (
        "text that is a UUID",
        schema(("timestamp", {"type": "string"}), USER),
        {"user_id": "u", "timestamp": "1970-01-01T00:00:00.005Z"},
        5,
    ),
    (
        "many types in between",
        schema(
            ("a", ["null", {"type": "array", "items": "double"}]),
            USER,
            ("b", {"type": "map", "values": "bytes"}),
            TIME,
            ("c", {"type": "enum", "name": "E", "symbols": ["X", "Y"]}),
            ("d", {"type": "record", "name": "In", "fields": [{"name": "x", "type": "float"}]}),
            ("session_policy", "string"),
            namespace="other.org",
        ),
        {"a": [1.5], "user_id": "u", "b": {"k": b"v"}, "timestamp": 5, "c": "Y", "d": {"x": 1.0}, "session_policy": ""},
        5,
    ),
]
TAG = Tagged("sess_1", 3, 1_750_000_000_000, 0, 1_750_000_000_123, bytes(32), True)


@pytest.mark.parametrize(("title", "written", "fields", "time_ms"), OTHERS)
def test_messages_with_other_schemas(title, written, fields, time_ms):
    """A writer may use a schema of its own, as long as user and time are in it."""
    codec = make_codec(written)
    value = confluent_header(1) + avro_body(written, fields)
    message = read(value, codec)
    assert (message.user_id, message.timestamp_ms, message.flags) == ("u", time_ms, Flag.NONCONFORMING)
    tagged = codec.tag(value, TAG)
    assert tagged[5:].startswith(value[5:])
    assert codec.strip(tagged) == value
    view = codec.decode_tagged(tagged)
    assert (view.session_id, view.timestamp_ms, view.user_id) == ("sess_1", time_ms, "u")


TOLD = [
    ("bytes", b"\xff\0", "base64:/wA="),
    ({"type": "fixed", "name": "F", "size": 2}, b"AB", "base64:QUI="),
    ({"type": "array", "items": ["null", "bytes"]}, [b"", None], ["base64:", None]),
    ({"type": "map", "values": "double"}, {"": math.inf, "a": 1.5}, {"": "Infinity", "a": 1.5}),
    ("float", -math.inf, "-Infinity"),
    ("double", math.nan, "NaN"),
]


@pytest.mark.parametrize(("kind", "written", "told"), TOLD)
@pytest.mark.parametrize("name", ["odd", "record_id", "extra"])
def test_what_json_cannot_say_has_one_text(kind, written, told, name):
    """Bytes, and numbers that are none, are told as text, in whichever field they stand."""
    text = schema(USER, TIME, (name, kind))
    codec = make_codec(text)
    value = confluent_header(1) + avro_body(text, {"user_id": "u", "timestamp": 5, name: written})
    view, source = codec.untag(codec.tag(value, TAG))
    assert (view.fields[name], source) == (told, value)


def test_a_wrapped_record_is_a_record():
    """{"type": {"type": "record", …}} is odd and legal."""
    written = json.dumps({"type": json.loads(schema(USER, TIME))})
    codec = make_codec(written)
    value = confluent_header(1) + avro_body(schema(USER, TIME), {"user_id": "u", "timestamp": 5})
    codec.decode(value, 1)
    assert codec.strip(codec.tag(value, TAG)) == value


def test_a_null_time_is_missing():
    """A union may hold null."""
    written = schema(("timestamp", ["null", MILLIS]), USER)
    with pytest.raises(InvalidMessage, match="timestamp is missing"):
        make_codec(written).decode(confluent_header(1) + avro_body(written, {"user_id": "u", "timestamp": None}), 1)


NO_MESSAGES = [
    ("no user", schema(TIME), "neither a message"),
    ("no time", schema(USER), "neither a message"),
    ("a time that is none", schema(USER, ("timestamp", "double")), "neither a message"),
    ("a time of two kinds", schema(USER, ("timestamp", ["long", "string"])), "neither a message"),
    ("a time that is a list", schema(USER, ("timestamp", {"type": "array", "items": "long"})), "neither a message"),
    ("an event", SCHEMA_TEXTS["SessionEvent"], "value is a SessionEvent, neither"),
    ("no record", '"string"', "it is no record"),
    ("no schema", "{", "it is no JSON"),
    ("a type that is not there", schema(USER, TIME, ("x", "Y")), "does not define the type Y"),
    ("itself inside", schema(USER, TIME, ("x", ["null", "A3CPMessage"])), "does not define the type A3CPMessage"),
    (
        "names that the tag needs twice",
        schema(USER, TIME, ("session_seq", "int"), ("claimed_session_seq", "int")),
        "names in common",
    ),
]


@pytest.mark.parametrize(("title", "written", "why"), NO_MESSAGES)
def test_schemas_that_are_no_messages(title, written, why):
    """Records that cannot be tagged are dead letters that say why."""
    with pytest.raises(DecodeError, match=why):
        make_codec(written).decode(confluent_header(1) + bytes(20), 1)


def test_an_unknown_schema_id():
    """The registry does not know it: register, then replay."""
    with pytest.raises(DecodeError, match="schema id 7, which the registry does not know; register"):
        CODEC.decode(confluent_header(7) + b"x", 1)


def test_an_id_of_eight_bytes():
    """Apicurio's serializers write eight; the first four of them are 0."""
    with pytest.raises(SchemaUnknown, match=r"id 0, as when ids have 8 bytes.*apicurio.registry.as-confluent=true"):
        CODEC.decode(b"\0" + (7).to_bytes(8, "big") + b"x", 1)


def test_no_registry_is_configured():
    """Confluent framing needs a registry; what to set is said."""
    codec = Codec(Schemas(SCHEMA_TEXTS))
    with pytest.raises(DecodeError, match="SCHEMA_REGISTRY_URL"):
        codec.decode(confluent_header(1) + b"x", 1)


def test_a_registry_that_is_away():
    """Nothing is guessed; what is known goes on."""
    registry = FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])
    codec = Codec(Schemas(SCHEMA_TEXTS, source=registry))
    value = confluent("A3CPMessage", record())
    registry.down = True
    with pytest.raises(RegistryUnavailable):
        codec.decode(value, 1)
    registry.down = False
    codec.decode(value, 1)
    asked = registry.asked
    registry.down = True
    assert codec.strip(codec.tag(value, TAG)) == value
    codec.decode(value, 2)
    assert registry.asked == asked


def test_a_reader_that_knows_nothing_yet():
    """A reader of the tagged topic learns from the registry alone what came in."""
    registry = FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])
    value = confluent("A3CPMessage", record())
    writer, reader = (Codec(Schemas(SCHEMA_TEXTS, source=registry)) for _ in range(2))
    writer.decode(value, 1)
    tagged = writer.tag(value, TAG)
    assert reader.strip(tagged) == value
    assert reader.decode_tagged(tagged).session_seq == 3
    assert registry.subjects == [("a3cp.tagged-value", 2)]


def test_a_registry_that_refuses_the_tagged_schema():
    """Then the message cannot be tagged: a dead letter."""
    registry = FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])
    registry.refuses = True
    with pytest.raises(DecodeError, match="refuses"):
        Codec(Schemas(SCHEMA_TEXTS, source=registry)).decode(confluent("A3CPMessage", record()), 1)


def test_what_is_remembered_of_a_registry_is_bounded():
    """However many schemas there are, old ones are asked for again."""
    registry = FakeRegistry(*[schema(USER, TIME, name=f"M{n}") for n in range(LAYOUTS_MAX + 2)])
    schemas = Schemas(SCHEMA_TEXTS, source=registry)
    codec = Codec(schemas)
    body = avro_body(schema(USER, TIME), {"user_id": "u", "timestamp": 5})
    for schema_id in range(1, LAYOUTS_MAX + 3):
        value = confluent_header(schema_id) + body
        codec.decode(value, 1)
        assert codec.strip(codec.tag(value, TAG)) == value
    assert len(schemas._registered.known) <= LAYOUTS_MAX
    assert len(schemas._registered_tagged.known) <= LAYOUTS_MAX


def test_refusals_are_remembered_for_a_while():
    """An id that is of no use is asked for once, not once a record; later it is asked for again."""
    now_s = [100.0]
    registry = FakeRegistry("{", SCHEMA_TEXTS["A3CPMessage"])
    codec = Codec(Schemas(SCHEMA_TEXTS, source=registry, monotonic_s=lambda: now_s[0]))
    for schema_id in (1, 7, 1, 7):
        with pytest.raises(DecodeError, match=f"schema id {schema_id}, which") as refused:
            codec.decode(confluent("A3CPMessage", record(), schema_id), 1)
        assert isinstance(refused.value, SchemaUnknown) == (schema_id == 7)
    assert registry.asked == 2
    now_s[0] += REFUSAL_S
    registry.texts[7] = SCHEMA_TEXTS["A3CPMessage"]
    codec.decode(confluent("A3CPMessage", record(), 7), 1)


def test_what_is_remembered_of_large_schemas_is_bounded():
    """What came first is forgotten when what comes would be too much."""
    remembered: Remembered[str] = Remembered(count_max=3, weight_max=10)
    for header, weight in ((b"a", 4), (b"b", 4), (b"b", 5), (b"c", 2)):
        remembered.put(header, "known", weight)
    assert set(remembered) == {b"b", b"c"}
    for header in (b"d", b"e"):
        remembered.put(header, "known", 1)
    assert set(remembered) == {b"c", b"d", b"e"}
    remembered.put(b"f", "known", 11)
    assert set(remembered) == {b"f"}


@pytest.mark.parametrize("depth", [100, 400, 20_000])
def test_a_schema_nested_deeply_where_nothing_is_read(depth):
    """Documentation and defaults may be nested as they like: the schema is used or refused."""
    written = schema(USER, TIME)[:-1] + ', "doc": ' + "[" * depth + "]" * depth + "}"
    written = written.replace('"timestamp",', '"timestamp", "default": ' + "[" * depth + "]" * depth + ",")
    codec = make_codec(written)
    value = confluent_header(1) + avro_body(schema(USER, TIME), {"user_id": "u", "timestamp": 5})
    with pytest.raises(DecodeError, match="cannot be used") if depth > 900 else contextlib.nullcontext():
        codec.decode(value, 1)


def test_an_older_shipped_schema_is_read():
    """Values with the fingerprint of an earlier release are tagged with that release's form."""
    older = schema(USER, TIME, ("session_id", ["null", "string"]), name="A3CPMessage", namespace="a3cp")
    codec = Codec(Schemas(SCHEMA_TEXTS, older=[older]))
    value = avro_header(fingerprint(parse(older))) + avro_body(
        older, {"user_id": "u", "timestamp": 5, "session_id": "c"}
    )
    assert read(value, codec).claimed_session_id == "c"
    assert codec.strip(codec.tag(value, TAG)) == value
    assert codec.decode_tagged(codec.tag(value, TAG)).claimed_session_id == "c"


def test_scan_finds_members_by_position():
    """Keys and values of any form, at their places."""
    value = b' { "a" : [1,{"b":"]"}] ,"c":"x\\"y", "d":{} , "e":-1.5e3\n,"f":null} '
    found = [(m.key(value), value[m.start : m.end]) for m in scan(value)]
    assert found == [
        ("a", b'[1,{"b":"]"}]'),
        ("c", b'"x\\"y"'),
        ("d", b"{}"),
        ("e", b"-1.5e3"),
        ("f", b"null"),
    ]


def test_fields_of_a_record_that_is_not_fit_to_be_tagged():
    """In both Avro encodings; what cannot be read, or has a schema that nobody knows, is told."""
    fields = {"schema_version": "", "record_id": "", "user_id": " ", "timestamp": 1_700_000_000_000}
    rest = dict.fromkeys(("performer_id", "modality", "source", "capture_id", "session_id", "extra"))
    codec = make_codec(SCHEMA_TEXTS["A3CPMessage"])
    for value in (single_object("A3CPMessage", fields | rest), confluent("A3CPMessage", fields | rest)):
        assert codec.fields_of(value)["user_id"] == " "
        with pytest.raises(DecodeError):
            codec.fields_of(value[:20])
    with pytest.raises(DecodeError):
        codec.fields_of(confluent("A3CPMessage", fields | rest, schema_id=7))


def test_fields_of_a_record_in_json_and_in_extra():
    """As JSON has them, whether or not they are fit; what is no object is refused."""
    assert CODEC.fields_of(b' {"user_id": 5, "x": 1e999}') == {"user_id": 5, "x": "1e999"}
    fields = CODEC.fields_of(single_object("A3CPMessage", record(user_id=" ", extra='{"x": 1}')))
    assert (fields["user_id"], fields["x"]) == (" ", 1)
    assert "extra" not in fields
    with pytest.raises(DecodeError, match="no JSON object"):
        CODEC.fields_of(b'{"user_id"')
