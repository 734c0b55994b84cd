"""The Python producer against a real Kafka."""

import json
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from processor.client import NoOutcome, Outcome, SessionClient
from processor.codec.wire import confluent_header
from processor.errors import (
    A3CPError,
    BrokerUnavailable,
    DecodeError,
    InvalidMessage,
    RegistryUnavailable,
    UsageError,
)
from processor.kafka.reading.reader import Reader
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord
from processor.settings.documents import schema_text
from tests.broker.fleet import Fleet
from tests.registry_server import Answering, serving
from tests.strategies import avro_body

pytestmark = pytest.mark.broker


def message(user_id: str = "elias01", **fields: Any) -> dict[str, Any]:
    spine = {"schema_version": "1.0.1", "record_id": str(uuid.uuid4()), "user_id": user_id}
    return {**spine, "timestamp": "2025-06-15T12:34:56.789Z", "source": "ui", **fields}


def records(kafka: str, topic: str) -> list[TopicRecord]:
    with Reader({"bootstrap.servers": kafka}, topic) as reader:
        return list(reader.read_all())


def test_messages_lie_where_java_puts_them(kafka: str, topics: str) -> None:
    """Key is the user id, partition its murmur2, order of one user the order of the calls, bytes as they were given."""
    users = [f"user-{number}" for number in range(20)]
    raw_bytes = b' {"user_id":"user-0", "timestamp":"2025-06-15T12:34:56.789Z"}'
    with SessionClient(kafka, topic_prefix=topics) as client:
        for number in range(3):
            for user in users:
                client.send(message(user, sequence_id=number, text="ä"))
        client.send(raw_bytes)
        client.send(b"anything at all", user_id="user-1")
    found = records(kafka, f"{topics}.raw")
    assert len(found) == 62
    for record in found:
        assert record.key is not None
        assert record.partition == partition_of(record.key, 4)
    first = [json.loads(r.value)["sequence_id"] for r in found if r.key == b"user-7" and r.value]
    assert first == [0, 1, 2]
    assert raw_bytes in [record.value for record in found]
    assert "ä".encode() in (found[0].value or b"")


def test_our_partitions_are_librdkafkas_murmur2(kafka: str, topics: str) -> None:
    """The partition we choose is the one that Java-compatible producers choose for the same key."""
    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2"})
    keys = [f"key-{number}-{'ü' * (number % 5)}".encode() for number in range(200)] + [b"\xff\x00"]
    for key in keys:
        producer.produce(f"{topics}.raw", b"x", key)
    producer.flush(60)
    found = {record.key: record.partition for record in records(kafka, f"{topics}.raw")}
    assert found == {key: partition_of(key, 4) for key in keys}


def test_what_could_not_be_tagged_is_refused_at_its_source(kafka: str, topics: str) -> None:
    """A sender learns at once what is wrong, instead of finding it among the dead letters."""
    with SessionClient(kafka, topic_prefix=topics) as client:
        with pytest.raises(InvalidMessage, match="user_id is missing"):
            client.send({"timestamp": "2025-06-15T12:34:56.789Z"})
        with pytest.raises(InvalidMessage, match="timestamp is missing"):
            client.send({"user_id": "u"})
        with pytest.raises(DecodeError):
            client.send(b"{broken")
        with pytest.raises(UsageError, match="cannot be written as JSON"):
            client.send(message(value=float("nan")))
        with pytest.raises(InvalidMessage, match="user_id begins or ends with a blank"):
            client.send(message("elias01 "))
        with pytest.raises(InvalidMessage, match="user_id holds characters that cannot be seen"):
            client.send(b"anything", user_id="eli\u200bas")
        with pytest.raises(InvalidMessage, match=r"does not conform: timestamp .*\(timestamp_without_zone\)"):
            client.send(message(timestamp="2025-06-15T12:34:56"), strict=True)
        with pytest.raises(InvalidMessage, match="record_id_not_uuid"):
            client.send(message(record_id="r"), user_id="elias01", strict=True)
    assert records(kafka, f"{topics}.raw") == []


def test_what_does_not_conform_is_sent_unless_strict(kafka: str, topics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the processor would tag it, or with A3CP_STRICT not; `strict=False` sends it even then."""
    odd = message(record_id="r")
    with SessionClient(kafka, topic_prefix=topics) as client:
        client.send(odd)
    monkeypatch.setenv("A3CP_STRICT", "1")
    with SessionClient(kafka, topic_prefix=topics) as client:
        with pytest.raises(InvalidMessage, match="record_id_not_uuid"):
            client.send(odd)
        client.send(odd, strict=False)
        client.send(message())
    assert len(records(kafka, f"{topics}.raw")) == 3


def test_a_schema_of_the_registry(kafka: str, topics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Confluent-framed message is read with the registry's schema, asked for once; nothing is registered there."""
    asked = []

    def answer(to: Answering) -> None:
        asked.append(to.path)
        known = to.path == "/schemas/ids/7"
        told = {"schema": schema_text("A3CPMessage")} if known else {"error_code": 40403, "message": "not found"}
        to.give(200 if known else 404, json.dumps(told).encode())

    value = confluent_header(7) + avro_body(schema_text("A3CPMessage"), message(timestamp=1_750_000_000_123))
    with serving(answer) as server:
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", server.url)
        with SessionClient(kafka, topic_prefix=topics) as client:
            client.send(value)
            client.send(value)
            with pytest.raises(DecodeError, match="schema id 8, which the registry does not know"):
                client.send(confluent_header(8) + value[5:])
    assert asked == ["/schemas/ids/7", "/schemas/ids/8"]
    assert [(record.key, record.value) for record in records(kafka, f"{topics}.raw")] == [(b"elias01", value)] * 2
    with SessionClient(kafka, topic_prefix=topics) as client, pytest.raises(RegistryUnavailable):
        client.send(value)
    monkeypatch.delenv("SCHEMA_REGISTRY_URL")
    with SessionClient(kafka, topic_prefix=topics) as client, pytest.raises(DecodeError, match="SCHEMA_REGISTRY_URL"):
        client.send(value)


def test_what_is_not_delivered_is_told(kafka: str, topics: str) -> None:
    """A message too large for the topic: its callback is told, or else the end of the block raises."""
    told: list[A3CPError | None] = []
    with SessionClient(kafka, topic_prefix=topics) as client:
        client.send(message(text="x" * 1_500_000), on_done=told.append)
        client.send(message(), on_done=told.append)
        client.flush()
    assert isinstance(told[0], UsageError)
    assert told[1] is None

    def send_too_large() -> None:
        with SessionClient(kafka, topic_prefix=topics) as client:
            client.send(message(text="x" * 1_500_000))

    with pytest.raises(UsageError, match=r"1 record was not delivered: .* larger than the topic takes"):
        send_too_large()


def test_a_command_without_a_processor(kafka: str, topics: str) -> None:
    """Nobody answers: a clear error after the time-out, and the command is in the log for later."""
    with SessionClient(kafka, topic_prefix=topics) as client:
        with pytest.raises(NoOutcome, match=r"no outcome within 0.5 s; see that a3cp process runs"):
            client.command("elias01", "start", performer_id="carer01", timeout_s=0.5)
        with pytest.raises(UsageError, match="the command is unknown"):
            client.command("elias01", "dance")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="needs context as an object"):
            client.command("elias01", "context", context="kitchen")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"the command start takes no force_now; do you mean force_new\?"):
            client.command("elias01", "start", force_now=True)  # type: ignore[call-arg]
        with pytest.raises(UsageError, match="the command start takes no x; it takes force_new, template, is_training"):
            client.command("elias01", "start", x=1)  # type: ignore[call-arg]
        with pytest.raises(UsageError, match="the command end takes no force_new; it takes no arguments of its own"):
            client.command("elias01", "end", force_new=True)
        for ids in ({"user_id": "elias01 "}, {"performer_id": "ca\u200brer"}, {"session_id": "\tsess_1"}):
            with pytest.raises(UsageError, match=f"{next(iter(ids))} (begins or ends with a blank|holds characters)"):
                client.command(**{"user_id": "elias01", "name": "end", **ids})  # type: ignore[arg-type]
    (record,) = records(kafka, f"{topics}.raw")
    sent = json.loads(record.value or b"")
    assert (sent["command"], sent["performer_id"], sent["source"]) == ("start", "carer01", "session_client")
    assert "session_id" not in sent


def test_hundreds_of_commands_at_a_time(kafka: str, topics: str, tmp_path: Path) -> None:
    """From many threads by one client: each is answered with what came of it, not of another."""
    users = [f"user{number}" for number in range(200)]
    with Fleet(kafka, topics, tmp_path) as fleet, SessionClient(kafka, topic_prefix=topics) as client:
        fleet.start()

        def ask(user: str) -> tuple[Future[Outcome], ...]:
            started, noted = client.submit(user, "start"), client.submit(user, "note", note=f"of {user}")
            return started, noted, client.submit(user, "end", session_id=f"sess_of_nobody_{user}")

        with ThreadPoolExecutor(8) as threads:
            asked = list(threads.map(ask, users))
        found = {user: [future.result() for future in futures] for user, futures in zip(users, asked, strict=True)}
    for user, (started, noted, refused) in found.items():
        assert (started.kind, started.event.user_id) == ("started", user)
        assert (noted.kind, noted.session_id, noted.event.session_notes) == ("note", started.session_id, f"of {user}")
        assert (refused.accepted, refused.reason, refused.event.user_id) == (False, "not_found", user)
    assert len({outcomes[0].session_id for outcomes in found.values()}) == len(users)


def test_clear_errors(kafka: str, prefix: str) -> None:
    """No topics, no broker: what is missing and what to do."""
    with pytest.raises(UsageError, match=rf"no topic {prefix}.raw; make the topics with a3cp topics apply"):
        SessionClient(kafka, topic_prefix=prefix)
    with pytest.raises(BrokerUnavailable, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        SessionClient("127.0.0.1:1", topic_prefix=prefix)
    with pytest.raises(UsageError, match=r'No such configuration property: "no.such.property"'):
        SessionClient(kafka, kafka={"no.such.property": "1"})
