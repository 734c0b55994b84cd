"""A group that has no offsets where there are states must not begin again."""

import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from processor.errors import BrokerUnavailable, UsageError
from processor.kafka.committed.lost_offsets import refuse_lost_offsets
from processor.kafka.stopped.growing import Growing
from processor.settings.sources import load
from processor.wiring import log_conf

pytestmark = pytest.mark.broker


def _check(kafka: str, group: str, prefix: str) -> None:
    """Ask as `a3cp process` does: again while a broker that just made the topics does not answer for them yet."""
    deadline_s = time.monotonic() + 30
    while True:
        try:
            conf = {"bootstrap.servers": kafka}
            refuse_lost_offsets(conf, group, raw=f"{prefix}.raw", state=f"{prefix}.state", partitions=4)
        except BrokerUnavailable:
            if time.monotonic() > deadline_s:
                raise
        else:
            return


def test_states_without_offsets_are_refused(kafka, topics):
    """Empty topics are fine; a state in partition 2 wants an offset of partition 2, and is content with it."""
    _check(kafka, f"{topics}-a", topics)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(f"{topics}.state", b"a state", b"user", 2)
    assert producer.flush(60) == 0
    with pytest.raises(UsageError, match=r"partitions \[2\].* a second time"):
        _check(kafka, f"{topics}-b", topics)
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": f"{topics}-b"})
    consumer.commit(offsets=[TopicPartition(f"{topics}.raw", 1, 0)], asynchronous=False)
    with pytest.raises(UsageError, match=r"partitions \[2\]"):
        _check(kafka, f"{topics}-b", topics)
    consumer.commit(offsets=[TopicPartition(f"{topics}.raw", 2, 0)], asynchronous=False)
    consumer.close()
    _check(kafka, f"{topics}-b", topics)


def test_what_was_aborted_is_no_state(kafka, topics):
    """A first transaction that was aborted leaves offsets behind in the states' topic, and no state."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topics}-aborted"})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(f"{topics}.state", b"a state", b"user", 3)
    assert producer.flush(60) == 0
    producer.abort_transaction(60)
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "unused", "isolation.level": "read_committed"})
    while reader.get_watermark_offsets(TopicPartition(f"{topics}.state", 3), timeout=60)[1] == 0:
        time.sleep(0.05)  # The marker is written a little later.
    reader.close()
    _check(kafka, f"{topics}-c", topics)


def test_a_growth_without_its_marks_is_told(kafka, topics, tmp_path):
    """Interrupted before the new partitions had offsets, with its marks overwritten, it looks as if all were done."""
    settings = load(
        {"KAFKA_BOOTSTRAP_SERVERS": kafka, "A3CP_TOPIC_PREFIX": topics, "A3CP_GROUP_ID": f"{topics}-grown"}, tmp_path
    ).settings
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(f"{topics}.state", b"a state", b"user", 2)
    assert producer.flush(60) == 0
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": settings.group_id})
    places = [TopicPartition(f"{topics}.raw", partition, 0) for partition in range(4)]
    consumer.commit(offsets=places[:2], asynchronous=False)
    growing = Growing(log_conf(settings, 0, 0), settings.topics(), 4)
    assert growing.is_done
    with pytest.raises(UsageError, match=r"4 partitions already, but .* in partitions \[2\].*--to-earliest"):
        growing.require_offsets()
    consumer.commit(offsets=places, asynchronous=False)
    Growing(log_conf(settings, 0, 0), settings.topics(), 4).require_offsets()
