"""Hypothesis strategies for messages and commands, conforming and odd, in every encoding; shared by all tests."""

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from hypothesis import strategies as st

from processor.codec import SHIPPED, Codec, Schemas
from processor.codec.avroschema import fingerprint, parse
from processor.codec.isotime import format_time
from processor.codec.wire import avro_header, confluent_header
from processor.core.model import (
    Command,
    CommandName,
    Ended,
    EndReason,
    Flag,
    Noted,
    Paused,
    Policy,
    RejectCode,
    Rejected,
    Reopened,
    Resumed,
    Session,
    Started,
    StartReason,
    Tagged,
    Unchanged,
    UserState,
)
from processor.errors import DecodeError, RegistryUnavailable

ROOT = Path(__file__).parents[1]
SCHEMA_TEXTS = {name: (ROOT / "schemas" / "avro" / f"{name}.avsc").read_text("utf-8") for name in SHIPPED}
TIME_MS_MAX = 253_402_300_799_999


class FakeRegistry:
    """A schema registry in memory. `down` makes it unavailable, `refuses` makes it refuse what is new."""

    def __init__(self, *texts: str) -> None:
        self.texts: dict[int, str] = dict(enumerate(texts, 1))
        self.subjects: list[tuple[str, int]] = []
        self.down = False
        self.refuses = False
        self.asked = 0

    def schema_text(self, schema_id: int) -> str | None:
        self.asked += 1
        if self.down:
            raise RegistryUnavailable("registry does not answer")
        return self.texts.get(schema_id)

    def register(self, subject: str, text: str) -> int:
        if self.down:
            raise RegistryUnavailable("registry does not answer")
        if self.refuses:
            raise DecodeError("registry refuses the schema")
        schema_id = next((known for known, other in self.texts.items() if other == text), len(self.texts) + 1)
        self.texts[schema_id] = text
        self.subjects.append((subject, schema_id))
        return schema_id


def make_codec(*registered: str, strict: bool = False) -> Codec:
    """Return a codec with the shipped schemas, and a registry that knows `registered` as ids 1, 2, …"""
    return Codec(Schemas(SCHEMA_TEXTS, source=FakeRegistry(*registered)), strict=strict)


@cache
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


def avro_body(text: str, fields: dict[str, Any]) -> bytes:
    """Return `fields` in Avro binary, by another implementation than ours."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _parsed(text), fields)
    return out.getvalue()


def single_object(name: str, fields: dict[str, Any]) -> bytes:
    """Return `fields` as the shipped record `name` in Avro single-object encoding."""
    text = SCHEMA_TEXTS[name]
    return avro_header(fingerprint(parse(text))) + avro_body(text, fields)


def confluent(name: str, fields: dict[str, Any], schema_id: int = 1) -> bytes:
    """Return `fields` as the shipped record `name` in Confluent framing."""
    return confluent_header(schema_id) + avro_body(SCHEMA_TEXTS[name], fields)


def framed(user_id: str, schema_id: int = 1) -> bytes:
    """Return a user's conforming message in Confluent framing, under any id."""
    fields = {
        "schema_version": "1.0.1",
        "record_id": "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56",
        "user_id": user_id,
        "timestamp": 1_750_000_000_000,
        "source": "gesture_classifier",
    }
    return confluent("A3CPMessage", fields, schema_id)


texts = st.text(max_size=12)
session_ids = st.integers(0, (1 << 128) - 1).map(lambda number: f"sess_20250615_123456_{number:032x}") | st.text(
    min_size=1, max_size=20
)
user_ids = st.integers(0, 999).map(lambda number: f"user{number}") | st.text(min_size=1, max_size=60).filter(
    lambda text: bool(text.strip())
)
times_ms = st.integers(0, TIME_MS_MAX) | st.integers(1_700_000_000_000, 1_800_000_000_000)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
extras = st.dictionaries(
    texts
    | st.sampled_from(
        ["aligned_messages", "session_notes", "user", "claimed_session_id", "session_seq", "session_flags"]
    ),
    json_values | st.just([{"user_id": "x", "session_id": "y"}]),
    max_size=4,
).filter(lambda extra: not set(extra) & {"user_id", "timestamp", "record_id", "source", "session_id", "command"})


def odd_or(usual: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    """Return what is usual, null, or any text."""
    return usual | st.none() | texts


@st.composite
def spines(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the fields of a message as an Avro record has them: conforming for the most part."""
    return {
        "schema_version": draw(st.sampled_from(["1.0.1", "1.0.1", "2.11.0", "x", ""])),
        "record_id": draw(st.uuids().map(str) | texts),
        "user_id": draw(user_ids),
        "timestamp": draw(times_ms),
        "performer_id": draw(odd_or(st.just("carer01"))),
        "modality": draw(odd_or(st.sampled_from(["gesture", "audio", "speech", "image", "multimodal"]))),
        "source": draw(odd_or(st.sampled_from(["gesture_classifier", "ui", "user_profile_store"]))),
        "capture_id": draw(odd_or(st.uuids().map(str))),
        "session_id": draw(st.none() | st.just(" ") | session_ids),
        "extra": draw(st.none() | extras.map(json.dumps) | texts | st.text(min_size=60, max_size=200)),
    }


avro_messages = spines().map(lambda fields: single_object("A3CPMessage", fields))
confluent_messages = spines().map(lambda fields: confluent("A3CPMessage", fields))


@st.composite
def json_objects(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a message as JSON values, in any order of fields."""
    fields = draw(spines())
    del fields["extra"]
    fields["timestamp"] = format_time(fields["timestamp"])
    left_out = draw(st.sets(st.sampled_from(sorted(set(fields) - {"user_id", "timestamp"}))))
    items = [(key, field) for key, field in fields.items() if key not in left_out]
    items += draw(extras).items()
    return dict(draw(st.permutations(items)))


@st.composite
def json_messages(draw: st.DrawFn) -> bytes:
    """Draw a message as JSON text in several styles of writing."""
    fields = draw(json_objects())
    text = json.dumps(
        fields,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, 1])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")])),
    )
    # Without ensure_ascii, Python writes surrogates that no UTF-8 has; none were drawn.
    return (draw(st.sampled_from(["", "", " ", "\n\t"])) + text + draw(st.sampled_from(["", "", " ", "\r\n"]))).encode()


messages = st.one_of(avro_messages, confluent_messages, json_messages())
digests = st.binary(min_size=32, max_size=32)


@st.composite
def tags(draw: st.DrawFn, claims: st.SearchStrategy[str] | None = None) -> Tagged:
    """Draw a tag: of a session, or of none."""
    flags = draw(st.integers(0, 63))
    at_ms = draw(times_ms)
    if draw(st.integers(0, 5)) == 0:
        return Tagged(None, 0, 0, flags | Flag.NO_SESSION, at_ms, bytes(32), False)
    ids = session_ids if claims is None else session_ids | claims
    return Tagged(draw(ids), draw(st.integers(1, 1 << 40)), draw(times_ms), flags, at_ms, bytes(32), True)


optional_texts = st.none() | texts
commands = st.builds(
    Command,
    user_id=user_ids,
    record_id=texts,
    timestamp_ms=times_ms,
    append_ms=times_ms,
    content_hash=digests,
    name=st.sampled_from(CommandName),
    session_id=optional_texts,
    performer_id=optional_texts,
    encoding=st.integers(1, 3),
    force_new=st.booleans(),
    template=optional_texts,
    is_training_data=st.booleans(),
    session_notes=optional_texts,
    training_intent_label=optional_texts,
    details=st.none() | st.dictionaries(texts, json_values, max_size=2).map(json.dumps),
)
maybe_commands = st.none() | commands
counts = st.integers(0, 1 << 40)
session_events = st.one_of(
    st.builds(
        Started, session_ids, times_ms, st.sampled_from(StartReason), st.none() | session_ids, times_ms, maybe_commands
    ),
    st.builds(Reopened, session_ids, times_ms, times_ms, st.integers(0, 9)),
    st.builds(Paused, session_ids, times_ms, times_ms, commands),
    st.builds(Resumed, session_ids, times_ms, times_ms, counts, commands),
    st.builds(
        Ended,
        session_ids,
        times_ms,
        times_ms,
        st.sampled_from(EndReason),
        st.integers(0, 1000),
        counts,
        digests,
        counts,
        times_ms,
        maybe_commands,
    ),
    st.builds(Noted, session_ids, times_ms, times_ms, commands),
    st.builds(Unchanged, session_ids, times_ms, times_ms, st.sampled_from(["already_active", "not_paused"]), commands),
    st.builds(Rejected, st.none() | session_ids, times_ms, st.sampled_from(RejectCode), commands),
)
sessions = st.builds(
    Session,
    session_ids,
    times_ms,
    times_ms,
    counts,
    digests,
    optional_texts,
    st.none() | times_ms,
    counts,
    st.none() | times_ms,
    st.none() | st.sampled_from(EndReason),
    st.integers(0, 1000),
    times_ms,
)
policies = st.builds(
    Policy,
    *[st.none() | st.integers(1, TIME_MS_MAX)] * 3,
    st.none() | texts,
)
states = st.builds(
    UserState,
    st.none() | sessions,
    st.lists(sessions, max_size=3).map(tuple),
    st.binary(max_size=256),
    st.none() | policies,
    times_ms,
    st.integers(0, 3),
    st.integers(-1, (1 << 63) - 1),
)
