"""Records in the wrong partition (rule R13): each is tagged once, in the partition of its user."""

from pathlib import Path

import pytest
from confluent_kafka import Producer

from processor.runtime.partitioner import partition_of
from tests.broker.audit import make_codec, read_topic
from tests.broker.fleet import Fleet, day

pytestmark = pytest.mark.broker

COUNT = 600


def test_misplaced_records(kafka: str, topics: str, tmp_path: Path) -> None:
    """A producer that knows nothing of keys, one with keys of its own, and librdkafka's default partitioner (CRC32)."""
    producer = Producer(
        {"bootstrap.servers": kafka, "partitioner": "consistent_random", "sticky.partitioning.linger.ms": 0}
    )
    with Fleet(kafka, topics, tmp_path) as fleet:
        for number, (user, value) in enumerate(day(seed=1, count=COUNT, users=30)):
            producer.produce(fleet.names.raw, value, (None, b"k%d" % number, user.encode())[number % 3])
        assert producer.flush(60) == 0
        fleet.start()
        found = fleet.audit()
        decode = make_codec().decode_tagged
        for partition, rows in enumerate(read_topic(kafka, fleet.names.tagged)):
            for row in rows:
                assert partition_of(decode(row.value or b"").user_id.encode(), 4) == partition
    assert found.rerouted > COUNT / 2
