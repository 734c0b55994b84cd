"""What is written: tags, events, state; and stored bytes of each release that must still be read."""

import contextlib
import io
import json
from contextlib import suppress
from pathlib import Path
from uuid import RFC_4122, UUID

import fastavro
import msgspec
import pytest

from processor.codec import (
    AVRO,
    CONFLUENT,
    JSON,
    Codec,
    Schemas,
    avroshort,
    decode_state,
    encode_state,
    jsontext,
    session_ids,
)
from processor.codec.avrowriting import Tagger
from processor.codec.events import sealed_view, to_avro, to_json
from processor.codec.spine import TEMPLATE_BYTES_MAX
from processor.codec.wire import confluent_header
from processor.core.model import (
    FINGERPRINT_BYTES,
    RECENT_RECORDS_MAX,
    RECENT_SESSIONS_MAX,
    Command,
    CommandName,
    Ended,
    EndReason,
    Message,
    Noted,
    Paused,
    Policy,
    RejectCode,
    Rejected,
    Reopened,
    Resumed,
    Session,
    SessionEvent,
    Started,
    StartReason,
    Tagged,
    Unchanged,
    UserState,
)
from processor.errors import DecodeError, RegistryUnavailable
from tests.codec.stage import SPINE
from tests.strategies import SCHEMA_TEXTS, FakeRegistry, confluent, make_codec, single_object

CODEC = make_codec(SCHEMA_TEXTS["A3CPMessage"])
AT_MS = 1_749_990_896_789
TAG = Tagged("s1", 3, AT_MS, 33, AT_MS, bytes(32), True)
NONE = Tagged(None, 0, 0, 64, AT_MS, bytes(32), False)
AT = '"2025-06-15T12:34:56.789Z"'
OURS = f'"session_seq":3,"session_start":{AT},"session_flags":["nonconforming","session_mismatch"]'
NO = '"session_seq":null,"session_start":null,"session_flags":["no_session"]'
HEAD = f'{{"user_id":"u","timestamp":{AT}'

FORMS = [
    ("no claim", TAG, f"{HEAD}}}", f'{HEAD},"session_id":"s1",{OURS}}}'),
    ("no claim, white space", TAG, f"{HEAD} }}\n ", f'{HEAD} ,"session_id":"s1",{OURS}}}\n '),
    ("no claim, no session", NONE, f"{HEAD}}}", f'{HEAD},"session_id":null,{NO}}}'),
    ("the right claim", TAG, f'{HEAD},"session_id":"s1","x":1}}', f'{HEAD},"session_id":"s1","x":1,{OURS}}}'),
    (
        "the right claim at the end",
        TAG,
        f'{HEAD},"session_id":"s1"}}',
        f'{HEAD},"session_id":"s1",{OURS},"claimed_session_id":"s1"}}',
    ),
    (
        "the right claim, escaped and spaced",
        TAG,
        f'{HEAD}, "session\\u005fid" : "s\\u0031" , "x":1}}',
        f'{HEAD}, "session\\u005fid" : "s\\u0031" , "x":1,{OURS}}}',
    ),
    (
        "a wrong claim",
        TAG,
        f'{HEAD},"session_id":"other","x":1}}',
        f'{HEAD},"session_id":"s1","x":1,{OURS},"claimed_session_id":"other"}}',
    ),
    (
        "a wrong claim, spaced",
        TAG,
        f'{HEAD}, "session_id" : "other" }}',
        f'{HEAD}, "session_id" : "s1" ,{OURS},"claimed_session_id":"other"}}',
    ),
    (
        "null as claim",
        TAG,
        f'{HEAD},"session_id":null,"x":1}}',
        f'{HEAD},"session_id":"s1","x":1,{OURS},"claimed_session_id":null}}',
    ),
    ("null and no session", NONE, f'{HEAD},"session_id":null,"x":1}}', f'{HEAD},"session_id":null,"x":1,{NO}}}'),
    (
        "a claim and no session",
        NONE,
        f'{HEAD},"session_id":"c","x":1}}',
        f'{HEAD},"session_id":null,"x":1,{NO},"claimed_session_id":"c"}}',
    ),
    (
        "a claim that is a number",
        TAG,
        f'{HEAD},"session_id":1e999,"x":1}}',
        f'{HEAD},"session_id":"s1","x":1,{OURS},"claimed_session_id":1e999}}',
    ),
    (
        "a claim further down only",
        TAG,
        f'{HEAD},"a":[{{"session_id":"c"}}]}}',
        f'{HEAD},"a":[{{"session_id":"c"}}],"session_id":"s1",{OURS}}}',
    ),
    (
        "a claim and one further down",
        TAG,
        f'{HEAD},"a":[{{"session_id":"c"}}],"session_id":"d","x":1}}',
        f'{HEAD},"a":[{{"session_id":"c"}}],"session_id":"s1","x":1,{OURS},"claimed_session_id":"d"}}',
    ),
    (
        "a backslash elsewhere",
        TAG,
        f'{HEAD},"x":"\\n"}}',
        f'{HEAD},"x":"\\n","session_id":"s1",{OURS}}}',
    ),
    (
        "an older claimed_session_id, no claim",
        TAG,
        f'{HEAD},"claimed_session_id":"c"}}',
        f'{HEAD},"claimed_session_id":"c","claimed_session_id":null,"session_id":"s1",{OURS}}}',
    ),
    (
        "an older claimed_session_id, the right claim",
        TAG,
        f'{HEAD},"session_id":"s1","claimed_session_id":"c"}}',
        f'{HEAD},"session_id":"s1","claimed_session_id":"c",{OURS},"claimed_session_id":"s1"}}',
    ),
]


@pytest.mark.parametrize(("title", "tagged", "came", "goes"), FORMS)
def test_the_forms_of_a_json_tag(title, tagged, came, goes):
    """Byte by byte what becomes of a JSON message, and that it comes off again."""
    CODEC.decode(came.encode(), 1)
    assert CODEC.tag(came.encode(), tagged).decode() == goes
    assert CODEC.strip(goes.encode()).decode() == came
    view = CODEC.decode_tagged(goes.encode())
    assert (view.session_id, view.encoding) == (tagged.session_id, JSON)


@pytest.mark.parametrize(
    ("title", "value"),
    [
        ("no JSON", b"{"),
        ("no UTF-8", b'{"a":"\xff"}'),
        ("no object", b"[]"),
        ("nothing", b"{}"),
        ("no tag", HEAD.encode() + b"}"),
        ("only a tag", f"{{{OURS}}}".encode()),
        ("a tag in another order", f'{HEAD},"session_flags":[],"session_start":{AT},"session_seq":1}}'.encode()),
        ("a claim kept but no place for it", f'{HEAD},{OURS},"claimed_session_id":"c"}}'.encode()),
        ("a tag with white space", f'{HEAD}, "session_id":"s1",{OURS}}}'.encode()),
        ("a sequence that is text", f'{HEAD},"session_id":"s",{OURS}}}'.replace(":3", ':"3"').encode()),
        ("a start that is no time", f'{HEAD},"session_id":"s",{OURS}}}'.replace('start":"2025', 'start":"x').encode()),
        ("no user", f'{{"timestamp":{AT},"session_id":"s1",{OURS}}}'.encode()),
        ("no time", f'{{"user_id":"u","session_id":"s1",{OURS}}}'.encode()),
        ("no JSON before the tag", f'{{"x":NaN,"session_id":"s1",{OURS}}}'.encode()),
        ("an escape, and no user", f'{{"x":"\\n","timestamp":{AT},"session_id":"s1",{OURS}}}'.encode()),
        ("an Avro event", single_object("SessionEvent", {
            "schema_version": "", "record_id": "", "user_id": "", "timestamp": 1, "source": "", "kind": ""})),
        ("a Confluent-framed one", confluent("A3CPMessage", {
            "schema_version": "", "record_id": "", "user_id": "u", "timestamp": 1})),
        ("an unknown id", confluent_header(9) + b"x"),
    ],
)  # fmt: skip
def test_what_was_not_tagged(title, value):
    """Readers of the tagged topic are told."""
    with pytest.raises(DecodeError) as caught:
        CODEC.decode_tagged(value)
    assert caught.value.remedy


def read_with_fastavro(name: str, body: bytes):
    schema = fastavro.parse_schema(json.loads(SCHEMA_TEXTS[name]))
    stream = io.BytesIO(body)
    value = fastavro.schemaless_reader(stream, schema)
    assert not stream.read()
    return value


@pytest.mark.parametrize("tagged", [TAG, NONE, TAG._replace(flags=0), TAG._replace(seq=1 << 40)])
def test_a_tagged_avro_message_is_a_tagged_message(tagged):
    """Another implementation reads it as the record it claims to be."""
    value = single_object("A3CPMessage", SPINE)
    goes = CODEC.tag(value, tagged)
    assert goes[:10] == single_object("TaggedA3CPMessage", {**SPINE, "session_flags": []})[:10]
    assert goes[10:].startswith(value[10:])
    got = read_with_fastavro("TaggedA3CPMessage", goes[10:])
    assert got["claimed_session_id"] == "c"
    assert got["session_id"] == tagged.session_id
    assert got["session_seq"] == (tagged.seq if tagged.session_id else None)
    assert len(got["session_flags"]) == tagged.flags.bit_count()


def test_the_view_of_a_tagged_avro_message():
    """Flat, like JSON: `extra` unpacked, but never over the message's own fields; no nulls."""
    view = CODEC.decode_tagged(CODEC.tag(single_object("A3CPMessage", SPINE), TAG))
    assert view.fields == {
        "schema_version": "1.0.1",
        "record_id": SPINE["record_id"],
        "user_id": "elias01",
        "timestamp": "2025-06-15T12:34:56.789Z",
        "performer_id": "carer01",
        "source": "ui",
        "session_id": "s1",
        "x": 1.5,
    }
    assert view[:3] == ("elias01", SPINE["record_id"], AT_MS)
    assert view[3:-1] == ("ui", "s1", 3, AT_MS, ("nonconforming", "session_mismatch"), "c", AVRO)
    odd = CODEC.decode_tagged(CODEC.tag(single_object("A3CPMessage", {**SPINE, "extra": "[1]"}), NONE))
    assert (odd.fields["extra"], odd.session_id, "session_id" in odd.fields) == ("[1]", None, False)


def test_avro_views_of_impossible_times():
    """Tagged values that this system cannot have written are refused, not shown wrongly."""
    value = CODEC.tag(single_object("A3CPMessage", {**SPINE, "timestamp": -5}), TAG)
    with pytest.raises(DecodeError, match="no whole session tag"):
        CODEC.decode_tagged(value)
    with pytest.raises(DecodeError, match="no whole session tag"):
        CODEC.decode_tagged(CODEC.tag(single_object("A3CPMessage", SPINE), TAG) + b"\0")


def test_text_times_in_avro_views():
    """A writer's schema may hold times as text; a damaged one is refused."""
    fields = [{"name": "user_id", "type": "string"}, {"name": "timestamp", "type": "string"}]
    codec = make_codec(json.dumps({"type": "record", "name": "M", "fields": fields}))
    value = confluent_header(1) + b"\x02u\x142025-06-15"
    codec.decode(value, 1)
    goes = codec.tag(value, TAG)
    assert codec.decode_tagged(goes).fields["timestamp"] == "2025-06-15"
    with pytest.raises(DecodeError):
        codec.decode_tagged(goes.replace(b"2025-06-15", b"2025-06-99"))


def test_a_registry_schema_that_only_looks_tagged():
    """The id of the schema that came in must be in it, and the tag."""
    base = {"type": "record", "name": "TaggedM", "fields": [{"name": "user_id", "type": "string"}]}
    texts = [
        json.dumps({**base, "a3cp_source_id": 1}),
        json.dumps({**base, "a3cp_source_id": -1}),
        json.dumps({**base, "a3cp_source_id": "1"}),
        '"string"',
        json.dumps({"type": "fixed", "name": "F", "size": 1, "a3cp_source_id": 1}),
        json.dumps({"type": "string", "a3cp_source_id": 1}),
    ]
    codec = make_codec(*texts)
    for schema_id in range(1, len(texts) + 1):
        with pytest.raises(DecodeError):
            codec.strip(confluent_header(schema_id) + b"\x02u")


def test_what_is_remembered_of_sessions_is_bounded():
    """The JSON tagger forgets when it is full, and writes the same again; a start that changed is seen."""
    value = HEAD.encode() + b"}"
    codec = make_codec()
    for number in range(jsontext.SESSIONS_CACHED_MAX):
        codec.tag(value, TAG._replace(session_id=f"other{number}"))
    tags = [TAG._replace(session_id=f"s{n}", start_ms=n) for n in (1, 2, 3, 1)]
    assert [codec.tag(value, tag) for tag in tags] == [make_codec().tag(value, tag) for tag in tags]
    assert codec.tag(value, TAG) == make_codec().tag(value, TAG)


@pytest.mark.parametrize("session_id", ["", "s", "s" * 63, "s" * 64, "s" * 8191, "s" * 8192, "sé", "s🙂"])
@pytest.mark.parametrize("seq", [1, 63, 64, 8191, 8192, 1 << 40])
def test_a_tag_is_avro_at_every_size(session_id, seq):
    """Short and long ids, numbers and times are written as Avro's own library writes them, whichever way is taken."""
    flags = {"type": "array", "items": "string"}
    types = {"i": ["null", "string"], "n": ["null", "long"], "s": ["null", "long"], "f": flags}
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    schema = fastavro.parse_schema({"type": "record", "name": "Tag", "fields": fields})
    for start_ms in (0, 1, (1 << 27) - 1, 1 << 27, AT_MS, (1 << 41) - 1, 1 << 41, 1 << 47):
        written = io.BytesIO()
        fastavro.schemaless_writer(written, schema, {"i": session_id, "n": seq, "s": start_ms, "f": []})
        assert Tagger().tag(Tagged(session_id, seq, start_ms, 0, AT_MS, bytes(32), True)) == written.getvalue()


def test_what_is_remembered_of_sources_is_bounded():
    """A source that is not remembered is read all the same."""
    codec = make_codec()
    for number in range(avroshort.SOURCES_MAX + 1):
        message = codec.decode(single_object("A3CPMessage", {**SPINE, "source": f"source_{number}"}), 1)
        assert isinstance(message, Message)
        assert message.source == f"source_{number}"


# --- events -----------------------------------------------------------------------------------------------------------

COMMAND = Command(
    "u", "r1", AT_MS, AT_MS, bytes(32), CommandName.STEP, None, "carer01", JSON, False, "school", True, "notes", "help",
    '{"step":{"name":"eat"}}',
)  # fmt: skip
EVENTS: list[tuple[SessionEvent, str, str]] = [
    (Started("s1", AT_MS, StartReason.MESSAGE, "s0", 0), "started", f'"performer_id":"system","start_time":{AT}'),
    (Started("s1", AT_MS, StartReason.COMMAND, None, 0, COMMAND), "started", '"is_training_data":true,"session_notes"'),
    (Reopened("s1", AT_MS, AT_MS, 0), "reopened", '"performer_id":"system"'),
    (Paused("s1", AT_MS, AT_MS, COMMAND), "paused", '"performer_id":"carer01"'),
    (Resumed("s1", AT_MS, AT_MS, 7, COMMAND), "resumed", '"paused_ms":7'),
    (
        Ended("s1", AT_MS, AT_MS + 10, EndReason.TIMEOUT, 2, 5, b"\xab" * 32, 4, AT_MS),
        "ended",
        f'"reason":"timeout","revision":2,"message_count":5,"digest":"{"ab" * 32}","active_ms":6,"paused_ms":4',
    ),
    (
        Ended("s1", AT_MS, AT_MS, EndReason.COMMAND, 0, 0, bytes(32), 9, AT_MS, COMMAND),
        "ended",
        '"active_ms":0,"paused_ms":9,"command_record_id":"r1"',
    ),
    (Noted("s1", AT_MS, AT_MS, COMMAND), "step", '"details":{"step":{"name":"eat"}},"template":"school"}'),
    (Unchanged("s1", AT_MS, AT_MS, "already_active", COMMAND), "unchanged", '"reason":"already_active"'),
    (Rejected("x", AT_MS, RejectCode.NOT_FOUND, COMMAND), "rejected", '"reason":"not_found"'),
    (
        Rejected(None, AT_MS, RejectCode.NOT_FOUND, COMMAND._replace(is_training_data=False)),
        "rejected",
        '"session_id":null',
    ),
]


@pytest.mark.parametrize(("event", "kind", "part"), EVENTS)
def test_events(event, kind, part):
    """Each kind says what happened, alike in every encoding; another implementation reads it."""
    in_json, in_avro, framed = (CODEC.encode_event("u", event, encoding) for encoding in (JSON, AVRO, CONFLUENT))
    assert part in in_json.decode()
    assert json.loads(in_json)["source"] == "session_manager"
    view = CODEC.decode_event(in_avro)
    assert (view.kind, view.user_id) == (kind, "u")
    assert CODEC.decode_event(in_json) == CODEC.decode_event(framed) == view
    assert read_with_fastavro("SessionEvent", framed[5:])["kind"] == kind
    assert list(json.loads(in_json)) == [key for key in view._fields if key in json.loads(in_json)]


def test_a_seal_is_an_event_of_nobody() -> None:
    """It reads as any event, in each encoding, and equal seals have equal ids."""
    seal = '{"day":"2025-12-01","leaves":2}'
    view = sealed_view(seal, AT_MS)
    assert CODEC.decode_event(to_json(view)) == view
    assert json.loads(to_json(view))["details"] == {"day": "2025-12-01", "leaves": 2}
    assert read_with_fastavro("SessionEvent", to_avro(view))["details"] == seal
    assert (view.kind, view.user_id, view.session_id, view.timestamp) == ("sealed", "session_manager", None, AT_MS)
    assert view.record_id == sealed_view(seal, AT_MS).record_id != sealed_view("{}", AT_MS).record_id


def test_an_id_that_was_refused_before_it_was_given() -> None:
    """A record that names the next schema id does not make the events unreadable that get it."""
    codec = make_codec(SCHEMA_TEXTS["A3CPMessage"])
    for schema_id in range(1, 10):
        with contextlib.suppress(DecodeError):
            codec.decode_event(bytes([0, 0, 0, 0, schema_id, 1]))
    event = EVENTS[0][0]
    assert codec.decode_event(codec.encode_event("u", event, CONFLUENT)).user_id == "u"


def test_event_ids():
    """The same happening has the same id; another user, session, kind, revision, command or time has another.

    All pass for UUIDs of version 4, as A3CP's own tests ask of every record.
    """
    ended = Ended("s1", AT_MS, AT_MS, EndReason.TIMEOUT, 7, 0, bytes(32), 0, AT_MS)
    events = [event for event, *_ in EVENTS]
    events += [ended, ended._replace(revision=8), ended._replace(at_ms=1), ended._replace(session_id="s2")]
    ids = [CODEC.decode_event(CODEC.encode_event(user, event, AVRO)).record_id for user in "uv" for event in events]
    assert {(str(UUID(each)), UUID(each).version, UUID(each).variant) for each in ids} == {
        (each, 4, RFC_4122) for each in ids
    }
    again = [CODEC.decode_event(CODEC.encode_event(user, event, JSON)).record_id for user in "uv" for event in events]
    assert ids == again
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "value",
    [
        b"{}",
        b"{",
        b'{"timestamp":5}',
        b'{"timestamp":"x"}',
        b'{"details":"\xff"}',
        CODEC.encode_event("u", EVENTS[0][0], AVRO) + b"\0",
        CODEC.encode_event("u", EVENTS[0][0], AVRO)[:-1],
        single_object("A3CPMessage", SPINE),
    ],
)
def test_what_is_no_event(value):
    """Readers of the sessions topic are told."""
    with pytest.raises(DecodeError):
        CODEC.decode_event(value)


def test_events_without_a_registry():
    """Whoever runs the system must act: it is no record's fault."""
    event = EVENTS[0][0]
    with pytest.raises(RegistryUnavailable, match="SCHEMA_REGISTRY_URL"):
        Codec(Schemas(SCHEMA_TEXTS)).encode_event("u", event, CONFLUENT)
    registry = FakeRegistry()
    codec = Codec(Schemas(SCHEMA_TEXTS, source=registry, events_subject="x-value"))
    registry.refuses = True
    with pytest.raises(RegistryUnavailable, match="refuses"):
        codec.encode_event("u", event, CONFLUENT)
    registry.refuses = False
    assert codec.encode_event("u", event, CONFLUENT)[:5] == confluent_header(1)
    registry.down = True
    codec.encode_event("u", event, CONFLUENT)
    assert registry.subjects == [("x-value", 1)]


# --- state ------------------------------------------------------------------------------------------------------------

SESSION = Session("s1", AT_MS, AT_MS + 5, 7, b"d" * 32)
ENDED = Session("s0", 5, 4, 1, b"e" * 32, "school", 9, 10, 6, EndReason.PAUSE_TIMEOUT, 3, 99)
FULL = UserState(SESSION, (ENDED, ENDED._replace(template=None)), bytes(16), Policy(1, None, 3, "t"), AT_MS, AVRO, 70)
SMALL = UserState(None, (), b"", None, 0, JSON, -1)


@pytest.mark.parametrize("state", [FULL, SMALL, FULL._replace(policy=Policy(), closed=())])
def test_any_reader_of_messagepack_can_read_a_state(state):
    """Behind two bytes, which no other encoding begins with, it is an array of the fields in their order."""
    value = encode_state(state)
    assert decode_state(value) == state
    current, closed, recent, policy, *rest = msgspec.msgpack.decode(value[2:])
    assert (recent, len(closed), rest) == (state.recent, len(state.closed), [*state[4:]])
    assert policy == (None if state.policy is None else [*state.policy])
    assert current == (None if state.current is None else [*state.current])
    assert value[:1] not in (b"\xc3", b"\0", b"{")


def test_the_sessions_of_a_state_are_read_without_the_rest():
    """The closed ones in their order, then the current one."""
    assert session_ids(encode_state(FULL)) == ["s0", "s0", "s1"]
    assert session_ids(encode_state(SMALL)) == []


def test_how_large_a_state_can_be():
    """8 KB, with all that it keeps as long and as large as it may be: no topic is too small for it."""
    text, number = "t" * TEMPLATE_BYTES_MAX, (1 << 63) - 1
    longest = max(EndReason, key=lambda reason: len(reason.value))
    session = Session("s" * 53, 0, number, number, bytes(32), text, number, number, number, longest, number, number)
    recent = bytes(RECENT_RECORDS_MAX * FINGERPRINT_BYTES)
    policy = Policy(number, number, number, text)
    assert (
        len(encode_state(UserState(session, (session,) * RECENT_SESSIONS_MAX, recent, policy, number, AVRO, number)))
        < 8_000
    )


def test_damaged_state():
    """Cut or changed anywhere it is refused, or another state; never another error."""
    value = encode_state(FULL)
    for at in range(len(value)):
        with pytest.raises(DecodeError):
            decode_state(value[:at])
        with pytest.raises(DecodeError):
            session_ids(value[:at])
        for byte in (0, 1, 3, 127, 128, 255):
            with suppress(DecodeError):
                decode_state(value[:at] + bytes((byte,)) + value[at + 1 :])
            with suppress(DecodeError):
                session_ids(value[:at] + bytes((byte,)) + value[at + 1 :])
    for damaged in (value + b"\0", value[:10] + b"\xff" * 20, value[:2] + msgspec.msgpack.encode([*FULL[:6]])):
        with pytest.raises(DecodeError, match="is damaged; replay the raw topic"):
            decode_state(damaged)


@pytest.mark.parametrize("other", [b"\xc3\x01" + bytes(30), b"\xc1\x02" + encode_state(FULL)[2:], b"{}", b""])
def test_a_state_of_another_layout_is_refused(other):
    """That of an earlier or later release is never read as if it were of this one; what to do is told."""
    with pytest.raises(DecodeError, match=f"state begins with {other[:2].hex()}, .*; run the release that wrote it"):
        decode_state(other)
    with pytest.raises(DecodeError, match=f"state begins with {other[:2].hex()}"):
        session_ids(other)


# --- golden -----------------------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_VALUES = {
    "A3CPMessage": single_object("A3CPMessage", SPINE),
    "SessionCommand": single_object(
        "SessionCommand",
        {"schema_version": "1.0.1", "record_id": "r1", "user_id": "elias01", "timestamp": AT_MS, "command": "pause"},
    ),
    "TaggedA3CPMessage": CODEC.tag(single_object("A3CPMessage", SPINE), TAG),
    "SessionEvent": CODEC.encode_event("elias01", EVENTS[5][0], AVRO),
    "SessionState": encode_state(FULL),
}
RELEASE = "0.1.0"


@pytest.mark.parametrize("name", sorted(GOLDEN_VALUES))
def test_stored_bytes_are_still_read(name):
    """What release 0.1.0 wrote says today what it said then; and today the same bytes are written."""
    stored = bytes.fromhex((GOLDEN / f"{RELEASE}-{name}.hex").read_text("ascii"))
    match name:
        case "TaggedA3CPMessage":
            assert CODEC.decode_tagged(stored).claimed_session_id == "c"
        case "SessionEvent":
            assert CODEC.decode_event(stored).message_count == 5
        case "SessionState":
            assert decode_state(stored) == FULL
        case _:
            assert CODEC.decode(stored, 1).user_id == "elias01"
    assert stored == GOLDEN_VALUES[name]


def test_stored_json_is_still_read():
    """The same for the JSON forms."""
    lines = (GOLDEN / f"{RELEASE}.jsonl").read_bytes().splitlines()
    tagged, event = lines
    assert CODEC.decode_tagged(tagged).session_seq == 3
    assert CODEC.decode_event(event).digest == "ab" * 32
    assert tagged == CODEC.tag(FORMS[6][2].encode(), TAG)
    assert event == CODEC.encode_event("elias01", EVENTS[5][0], JSON)


def test_a_session_reopened_twice_at_one_time():
    """Each time is an event of its own, with an id of its own."""
    first, second = (CODEC.encode_event("u", Reopened("s1", AT_MS, AT_MS, revision), JSON) for revision in (0, 1))
    assert json.loads(first)["record_id"] != json.loads(second)["record_id"]


def test_commands_without_an_id_have_events_of_their_own():
    """Two notes of one moment whose sender gave neither a record_id are two events."""
    commands = [Command("u", "", AT_MS, AT_MS, bytes([n]) * 32, CommandName.NOTE) for n in (1, 2, 1)]
    events = [CODEC.encode_event("u", Noted("s1", AT_MS, AT_MS, command), AVRO) for command in commands]
    assert len({CODEC.decode_event(event).record_id for event in events}) == 2
