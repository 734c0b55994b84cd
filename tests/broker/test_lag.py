"""Kafka's own tools show lag 0 when all is done: what is committed lies behind transaction markers too."""

import os
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka.conf import Waits
from processor.kafka.offsets import LATEST, log_offsets
from processor.runtime.partitioner import partition_of
from processor.store import open_store
from tests.broker.audit import read_topic
from tests.broker.fleet import BASE_MS, TIMEOUT_S, Fleet, await_true, message
from tests.cli.running import a3cp
from tests.contracts.worlds import KafkaWorld, Member

pytestmark = pytest.mark.broker

USERS = [f"user-{number}" for number in range(12)]


def upstream(kafka: str, topic: str, name: str) -> None:
    """Send in transactions, one of them aborted, and a record into a wrong partition."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": name})
    producer.init_transactions(TIMEOUT_S)
    for turn in range(3):
        producer.begin_transaction()
        for user in USERS:
            wrong = turn == 2 and user == USERS[0]
            partition = (partition_of(user.encode(), 4) + wrong) % 4
            producer.produce(topic, message(user, BASE_MS + turn, number=turn), user.encode(), partition)
        if turn == 1:
            producer.flush(TIMEOUT_S)  # librdkafka's abort is fatal while the broker does not know the partitions yet.
            producer.abort_transaction(TIMEOUT_S)
        else:
            producer.commit_transaction(TIMEOUT_S)


def behind(kafka: str, group_id: str, *topics: str) -> dict[str, int]:
    """Return what `kafka-consumer-groups.sh` calls LAG, where it is not 0."""
    places = [(topic, partition) for topic in topics for partition in range(4)]
    ends = log_offsets(AdminClient({"bootstrap.servers": kafka}), places, LATEST, IsolationLevel.READ_UNCOMMITTED)
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group_id})
    found = consumer.committed([TopicPartition(*place) for place in places], timeout=TIMEOUT_S)
    consumer.close()
    lag = {f"{tp.topic}[{tp.partition}]": ends[tp.topic, tp.partition] - max(0, tp.offset) for tp in found}
    return {place: offsets for place, offsets in lag.items() if offsets}


def test_lag_is_zero_when_all_is_done(kafka: str, topics: str, tmp_path: Path) -> None:
    """Behind upstream's transactions and our copies of misplaced records; and the exporter's group on the outputs."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        upstream(kafka, fleet.names.raw, topics)
        worker = fleet.start()
        fleet.await_processed()
        await_true("no lag", lambda: not behind(kafka, topics, fleet.names.raw))
        assert worker.stop() == 0
        assert not behind(kafka, topics, fleet.names.raw)
        environ = {**os.environ, **fleet.environ, "A3CP_STORE_URL": f"sqlite:///{tmp_path}/store.db"}
        assert "24 messages" in a3cp("export", environ=environ).stdout
        with closing(open_store(environ["A3CP_STORE_URL"], must_exist=True)) as store:
            group_id = f"{topics}-export-{store.identity}"
        await_true("no lag", lambda: not behind(kafka, group_id, fleet.names.tagged, fleet.names.sessions))


def test_nothing_is_committed_twice(kafka: str, topics: str) -> None:
    """Once the markers are passed, an idle worker makes no transactions: the coordinator's log stays as it is."""
    world = KafkaWorld(kafka, topics)
    world.patience = Waits(settle_s=0.0)

    def transactions() -> int:
        log = read_topic(kafka, "__transaction_state")
        return sum(world.prefix.encode() in (row.key or b"") for rows in log for row in rows)

    upstream(kafka, world.topic("raw"), topics)
    member = Member(world)
    member.tag(member.await_records(2 * len(USERS)))
    member.log.commit()

    def is_settled() -> bool:
        member.turn()
        member.log.settle()
        return not behind(kafka, world.prefix, world.topic("raw"))

    await_true("settled", is_settled)
    before = transactions()
    assert before > 0
    for _ in range(20):
        member.turn()
        member.log.settle()
    assert transactions() == before
    world.close()
