"""The registry adapter and the codec against a real schema registry."""

import json
from typing import Any

import httpx
import pytest

from processor.codec import CONFLUENT, Codec, Schemas
from processor.codec.schema import REFUSAL_S
from processor.codec.wire import confluent_header
from processor.core.model import Message, Reopened, Tagged
from processor.errors import DecodeError, RegistryUnavailable, SchemaUnknown
from processor.kafka.registry import Registry
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.projection.feed import OutputRecord
from tests.broker.apicurio import Apicurio
from tests.broker.site import Site
from tests.cli.running import a3cp
from tests.strategies import SCHEMA_TEXTS, avro_body

pytestmark = [pytest.mark.broker, pytest.mark.long]

FIELDS = {
    "schema_version": "1.0.1",
    "record_id": "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56",
    "user_id": "elias01",
    "timestamp": 1_750_000_000_123,
    "performer_id": None,
    "modality": "gesture",
    "source": "gesture_classifier",
    "capture_id": None,
    "session_id": "other",
    "extra": None,
}
TAG = Tagged("sess_1", 3, 1_750_000_000_000, 0, 1_750_000_000_123, bytes(32), True)


@pytest.fixture(scope="module")
def apicurio(tmp_path_factory):
    registry = Apicurio(tmp_path_factory.mktemp("apicurio") / "log")
    registry.start()
    yield registry
    registry.kill()


class Clock:
    """Seconds that pass when told."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(apicurio, monkeypatch):
    monkeypatch.setattr("processor.kafka.registry.CALL_S", 60.0)  # A registry on a slow machine is no fault.
    return Registry(apicurio.url)


def codec_on(registry: Registry, prefix: str, clock: Clock | None = None) -> Codec:
    schemas = Schemas(
        SCHEMA_TEXTS,
        source=registry,
        monotonic_s=clock or Clock(),
        tagged_subject=f"{prefix}.tagged-value",
        events_subject=f"{prefix}.sessions-value",
    )
    return Codec(schemas)


def evolved() -> str:
    """The shipped message with two fields more, one of them in between."""
    schema = json.loads(SCHEMA_TEXTS["A3CPMessage"])
    schema["fields"].insert(4, {"name": "device", "type": {"type": "map", "values": "double"}, "default": {}})
    schema["fields"].append({"name": "late", "type": ["null", "int"], "default": None})
    return json.dumps(schema)


@pytest.mark.parametrize("text", [SCHEMA_TEXTS["A3CPMessage"], evolved()], ids=["shipped", "evolved"])
def test_a_confluent_framed_message_end_to_end(registry, prefix, text):
    """Tagged under its own registered schema, read back from the registry by a reader that knows nothing, stripped."""
    schema_id = registry.register(f"{prefix}.raw-value", text)
    assert registry.register(f"{prefix}.raw-value", text) == schema_id
    value = confluent_header(schema_id) + avro_body(text, {**FIELDS, "device": {"a": 1.5}, "late": 7})
    codec = codec_on(registry, prefix)
    message = codec.decode(value, 5)
    assert isinstance(message, Message)
    assert (message.user_id, message.encoding, message.flags) == ("elias01", CONFLUENT, 0)
    tagged = codec.tag(value, TAG)
    tagged_id = int.from_bytes(tagged[1:5], "big")
    assert tagged_id != schema_id
    assert registry.register(f"{prefix}.tagged-value", str(registry.schema_text(tagged_id))) == tagged_id

    reader = codec_on(registry, prefix)
    view = reader.decode_tagged(tagged)
    assert (view.session_id, view.session_seq, view.claimed_session_id) == ("sess_1", 3, "other")
    assert reader.strip(tagged) == value
    event = codec.encode_event("elias01", Reopened("sess_1", 1, 2, 0), CONFLUENT)
    assert reader.decode_event(event).kind == "reopened"


def test_two_message_schemas_follow_each_other(registry, prefix):
    """Both forms of a topic that evolved are tagged, and strip tells them apart."""
    codec = codec_on(registry, prefix)
    for text in (SCHEMA_TEXTS["A3CPMessage"], evolved()):
        schema_id = registry.register(f"{prefix}.raw-value", text)
        value = confluent_header(schema_id) + avro_body(text, {**FIELDS, "device": {}, "late": None})
        codec.decode(value, 1)
        assert codec.strip(codec.tag(value, TAG)) == value


def test_an_unknown_id_is_asked_for_again(registry, apicurio, clock, prefix):
    """An unknown id is a dead letter; once somebody registers it, messages with it are tagged."""

    def named(name: str) -> str:  # New content gets the next id.
        return evolved().replace('"a3cp"', json.dumps(f"{name}_{prefix}".replace("-", "_")))

    next_id = registry.register(f"{prefix}.raw-value", named("first")) + 1
    value = confluent_header(next_id) + avro_body(evolved(), {**FIELDS, "device": {}, "late": None})
    codec = codec_on(registry, prefix, clock)
    with pytest.raises(DecodeError, match=f"schema id {next_id}, which the registry does not know; register"):
        codec.decode(value, 1)
    assert registry.register(f"{prefix}.other-value", named("second")) == next_id
    with pytest.raises(DecodeError):
        codec.decode(value, 1)
    clock.now_s += REFUSAL_S
    assert codec.decode(value, 1).user_id == "elias01"


def test_a_schema_of_another_kind_is_refused(registry, apicurio, prefix):
    """JSON Schema and Protobuf have ids too."""
    name = prefix.replace("-", "_")
    body = {"schema": f'syntax = "proto3"; message {name} {{ string a = 1; }}', "schemaType": "PROTOBUF"}
    answer = httpx.post(f"{apicurio.url}/subjects/{prefix}-other/versions", json=body, timeout=60)
    schema_id = answer.json()["id"]
    with pytest.raises(DecodeError, match="which is a Protobuf schema"):
        codec_on(registry, prefix).decode(confluent_header(schema_id) + b"x", 1)


def test_a_schema_that_refers_to_others_is_refused(registry, apicurio, prefix):
    """The text alone does not define its types; what to do instead is said."""
    name = prefix.replace("-", "_")
    part = {"type": "record", "name": f"Part_{name}", "namespace": "x", "fields": [{"name": "a", "type": "int"}]}
    registry.register(f"{prefix}-part", json.dumps(part))
    whole = json.loads(SCHEMA_TEXTS["A3CPMessage"])
    whole["fields"].append({"name": "part", "type": f"x.Part_{name}"})
    references = [{"name": f"x.Part_{name}", "subject": f"{prefix}-part", "version": 1}]
    body = {"schema": json.dumps(whole), "references": references}
    answer = httpx.post(f"{apicurio.url}/subjects/{prefix}-whole/versions", json=body, timeout=60)
    schema_id = answer.json()["id"]
    with pytest.raises(DecodeError, match=r"refers to other schemas .* register one schema that defines all its types"):
        codec_on(registry, prefix).decode(confluent_header(schema_id) + b"x", 1)


def test_an_incompatible_schema_is_refused(registry, apicurio, prefix):
    """The registry's rule counts: what it refuses is the record's fault."""
    subject = f"{prefix}.raw-value"
    registry.register(subject, SCHEMA_TEXTS["A3CPMessage"])
    answer = httpx.put(f"{apicurio.url}/config/{subject}", json={"compatibility": "FULL"}, timeout=60)
    assert answer.status_code == 200
    changed = SCHEMA_TEXTS["A3CPMessage"].replace(
        '{"name": "user_id", "type": "string"', '{"name": "who", "type": "int"'
    )
    with pytest.raises(DecodeError, match=r"refuses a schema under .* \(status 409\)"):
        registry.register(subject, changed)


def test_a_registry_that_goes_and_comes_back(registry, apicurio, prefix):
    """While it is away nothing is guessed; what was known goes on; afterwards all does."""
    codec = codec_on(registry, prefix)
    schema_id = registry.register(f"{prefix}.raw-value", SCHEMA_TEXTS["A3CPMessage"])
    value = confluent_header(schema_id) + avro_body(SCHEMA_TEXTS["A3CPMessage"], FIELDS)
    codec.decode(value, 1)
    unseen = confluent_header(schema_id + 1000) + value[5:]
    apicurio.kill()
    try:
        with pytest.raises(RegistryUnavailable, match="does not answer"):
            codec.decode(unseen, 1)
        with pytest.raises(RegistryUnavailable, match="does not answer"):
            codec.encode_event("elias01", Reopened("sess_1", 1, 2, 0), CONFLUENT)
        assert codec.strip(codec.tag(value, TAG)) == value
    finally:
        apicurio.start()
    with pytest.raises(SchemaUnknown):
        codec.decode(unseen, 1)
    assert codec.encode_event("elias01", Reopened("sess_1", 1, 2, 0), CONFLUENT)[:1] == b"\0"


def test_an_exporter_without_the_registry(registry, apicurio, kafka, topics, tmp_path):
    """It says so with its exit code and names the records; the next run with the registry reads them again."""
    site = Site(kafka, topics, tmp_path)
    codec = codec_on(registry, topics)
    schema_id = registry.register(f"{topics}.raw-value", SCHEMA_TEXTS["A3CPMessage"])
    value = confluent_header(schema_id) + avro_body(SCHEMA_TEXTS["A3CPMessage"], FIELDS)
    event = codec.encode_event("elias01", Reopened("sess_1", 1, 2, 0), CONFLUENT)
    tagged = [codec.tag(value, TAG._replace(seq=seq)) for seq in (1, 2, 3)]
    site.produce([OutputRecord(TAGGED, 1, n, 0, each) for n, each in enumerate(tagged)])
    site.produce([OutputRecord(SESSIONS, 1, 0, 0, event), OutputRecord(TAGGED, 2, 0, 0, b"\0nonsense")])
    command = ["export", "--store", f"sqlite:///{tmp_path / 'store.db'}", "--json"]

    def export(**environ: str) -> tuple[int, dict[str, Any]]:
        done = a3cp(*command, environ=site.environ | environ)
        return done.returncode, json.loads(done.stdout)

    code, told = export()
    assert (code, told["written"]) == (1, {"messages": 0, "events": 0, "unreadable": 5})
    assert told["set_aside"][0]["position"] == f"{topics}.sessions[1]@0"
    assert told["set_aside"][0]["reason"].endswith("no schema registry is configured; set SCHEMA_REGISTRY_URL")
    code, told = export(SCHEMA_REGISTRY_URL=apicurio.url)
    assert (code, told["read_again"], told["held"]["messages"], told["held"]["events"]) == (1, 4, 3, 1)
    assert [each["position"] for each in told["set_aside"]] == [f"{topics}.tagged[2]@0"]
    assert export(SCHEMA_REGISTRY_URL=apicurio.url)[1]["held"] == told["held"]
