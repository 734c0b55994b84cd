"""Whatever comes: the partition moves on, the next good message is tagged, the bad one says why it was set aside."""

import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from processor.codec.headers import REROUTED, UNREADABLE
from processor.kafka.audit import KafkaTopics
from processor.kafka.deadletters.letter import read_letters
from processor.kafka.deadletters.retrying import put_back, topic_to_fill
from processor.kafka.reading.reader import Reader
from processor.runtime.partitioner import partition_of
from tests.broker.any_header import send_with_header
from tests.broker.audit import Row, make_codec, read_kafka
from tests.broker.bad_input import BAD
from tests.broker.fleet import BASE_MS, Fleet, await_true, message, names_of

pytestmark = pytest.mark.broker

GOOD = "good"


@pytest.mark.long
def test_all_bad_input(kafka: str, topics: str, tmp_path: Path) -> None:
    """Each of the table, under a key that is no text, each followed by a good message in the same partition."""
    # Idempotent, since a batch that is retried must not land behind the next: records are known by their offsets.
    producer = Producer({"bootstrap.servers": kafka, "message.max.bytes": 2 << 20, "enable.idempotence": True})
    with Fleet(kafka, topics, tmp_path) as fleet:
        for number, (value, _) in enumerate(BAD.values()):
            producer.produce(fleet.names.raw, value, b"\xff\xfe", 0)
            producer.produce(fleet.names.raw, message(GOOD, BASE_MS + number, number=number), b"\xff\xfe", 0)
        assert producer.flush(60) == 0  # The offsets of the table are taken before another producer sends.
        _send_compressed(kafka, fleet.names.raw)
        producer.produce(fleet.names.raw, message(GOOD, BASE_MS + 99, number=99), GOOD.encode(), 0)
        assert producer.flush(60) == 0
        fleet.start()
        fleet.await_processed()
        found = read_kafka(kafka, fleet.names)
    reasons = {_offset(row): dict(row.headers) for rows in found.dlq for row in rows}
    for number, (name, (_, says)) in enumerate(BAD.items()):
        offset = 2 * number
        if says is None:
            assert offset not in reasons, (name, reasons.get(offset, {}).get("a3cp-dlq-message"))
        else:
            reason = reasons[offset]["a3cp-dlq-message"].decode()
            assert says in reason, name
            assert ";" in reason, f"{name}: a reason without a remedy: {reason}"
            sys.stdout.write(f"{name}: {reason}\n")
        assert offset + 1 not in reasons, f"the good message after {name}"
    decode = make_codec().decode_tagged
    views = [decode(row.value or b"") for rows in found.tagged for row in rows]
    assert [view.session_seq for view in views if view.user_id == GOOD] == list(range(1, len(BAD) + 2))
    sizes = {headers["a3cp-dlq-stage"]: headers for headers in reasons.values()}
    assert "size" in {stage.decode() for stage in sizes}
    assert max(len(row.value or b"") for rows in found.state for row in rows) < 8_000


def _send_compressed(kafka: str, topic: str) -> None:
    """Send what is within the input's limit only because it is compressed, far beyond that of the outputs."""
    producer = Producer({"bootstrap.servers": kafka, "compression.type": "gzip", "message.max.bytes": 20 << 20})
    for value in (message("ann", BASE_MS, text=" " * (5 << 20)), b" " * (9 << 20)):
        producer.produce(topic, value, b"ann", 0)
    assert producer.flush(60) == 0


def _offset(row: Row) -> int:
    headers = dict(row.headers)
    return int(headers["a3cp-dlq-offset"]) if headers["a3cp-dlq-partition"] == b"0" else -1


def test_good_and_bad_under_audit(kafka: str, topics: str, tmp_path: Path) -> None:
    """With the smaller ones of the table in every partition, the audit finds each tagged or dead-lettered once."""
    producer = Producer({"bootstrap.servers": kafka})
    with Fleet(kafka, topics, tmp_path) as fleet:
        for number, (value, _) in enumerate(BAD.values()):
            if len(value or b"") < 1_000:
                producer.produce(fleet.names.raw, value, f"user-{number}".encode(), number % 4)
        assert producer.flush(60) == 0
        fleet.start()
        found = fleet.audit()
    assert found.dead > 10
    assert found.rerouted > 0


def test_a_header_name_that_is_no_text(kafka: str, topics: str, tmp_path: Path) -> None:
    """Tagged, set aside or sent on: such a record stops neither the partition nor those that read what became of it."""
    names = names_of(topics)
    right = partition_of(b"ann", 4)
    send_with_header(kafka, names.raw, 0, b"h\xff", *[b"{}"] * 50)
    send_with_header(kafka, names.raw, right, b"h\xff", message("ann", BASE_MS))
    send_with_header(kafka, names.raw, (right + 1) % 4, b"\xfe", message("ann", BASE_MS + 1, number=1))
    send_with_header(kafka, names.dlq, 1, b"h\xff", b"foreign")
    with Fleet(kafka, topics, tmp_path) as fleet:
        fleet.start()
        fleet.await_processed()
        found = read_kafka(kafka, names)
    letters, (foreign,) = found.dlq[:2]
    assert [next(iter(letter.headers))[0] for letter in letters] == [UNREADABLE] * 50
    assert "user_id is missing" in dict(letters[0].headers)["a3cp-dlq-message"].decode()
    assert sum(map(len, found.tagged)) == 2
    assert {name for row in found.raw[right] for name, _ in row.headers} == {UNREADABLE, REROUTED}
    conf = {"bootstrap.servers": kafka}
    with Reader(conf, names.dlq) as reader:
        assert [each.stage for each in read_letters(reader)] == ["validate"] * 50 + ["unknown"]
    audited = KafkaTopics(conf, [names.dlq])
    assert [tuple(record.headers) for record in audited.read(names.dlq, 1)] == [foreign.headers]


def test_records_without_an_append_time(kafka: str, topics: str, tmp_path: Path) -> None:
    """Where somebody lets producers stamp raw, the time -1 is a dead letter that says so; retried, it is tagged."""
    conf = {"bootstrap.servers": kafka}
    names = names_of(topics)
    admin = AdminClient({**conf})

    def stamp(kind: str) -> None:
        entry = ConfigEntry("message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, names.raw, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(60)
        await_true(f"the broker stamps by {kind}", lambda: stamped() == kind)

    def stamped() -> str:
        (told,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, names.raw)]).values()
        return str(told.result(60)["message.timestamp.type"].value)

    right = partition_of(b"ann", 4)
    stamp("CreateTime")
    producer = Producer(conf)
    for number in range(3):
        producer.produce(names.raw, message("ann", BASE_MS + number, number=number), b"ann", right, timestamp=-1)
    assert producer.flush(60) == 0
    stamp("LogAppendTime")
    producer.produce(names.raw, message("ann", BASE_MS + 3, number=3), b"ann", right)
    assert producer.flush(60) == 0
    with Fleet(kafka, topics, tmp_path) as fleet:
        fleet.start()
        assert fleet.audit().dead == 3
        raw = topic_to_fill(conf, names.raw)
        with Reader(conf, names.dlq) as reader:
            letters = read_letters(reader)
        assert {(letter.stage, letter.appended_ms) for letter in letters} == {("validate", None)}
        assert all("append time (its timestamp is -1)" in letter.why for letter in letters)
        assert sum(len(done) for done in put_back(conf, letters, raw=raw, dlq=names.dlq, group_id=topics)) == 3
        fleet.await_processed()
        assert sum(map(len, read_kafka(kafka, names).tagged)) == 4
