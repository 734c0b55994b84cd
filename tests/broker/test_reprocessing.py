"""Replay: the same raw topic, a new group and new outputs give the same tagged bytes, live and from a backlog."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.core.model import Rules
from processor.kafka.topics.admin import ensure_topics
from tests.broker.audit import make_codec, read_kafka, read_topic
from tests.broker.fleet import Fleet, await_true, day, message, produce

pytestmark = pytest.mark.broker

GAP_MS = 1_000
QUIET_MS = 500
RULES = Rules(gap_ms=GAP_MS, quiet_ms=QUIET_MS)
USERS = 30
ROUNDS = 3


@pytest.mark.long
def test_live_and_replayed(kafka: str, topics: str, tmp_path: Path) -> None:
    """Live, the clock ends sessions and messages reopen them; from the backlog it does not: the same tagged bytes."""
    settings = {"gap_ms": GAP_MS, "quiet_ms": QUIET_MS}
    with Fleet(kafka, topics, tmp_path, **settings) as fleet:
        fleet.start()
        _live(fleet)
        live = fleet.audit(RULES)
    prefix = f"{topics}-again"
    ensure_topics({"bootstrap.servers": kafka}, prefix, partitions=4)
    (tmp_path / "again").mkdir()
    before = [len(rows) for rows in read_kafka(kafka, fleet.names).raw]
    with Fleet(kafka, prefix, tmp_path / "again", raw_topic=fleet.names.raw, **settings) as again:
        again.start()
        replayed = again.audit(RULES)
        names = again.names
    first, second = read_kafka(kafka, fleet.names), read_kafka(kafka, names)
    for partition in range(4):
        assert [row.value for row in first.tagged[partition]] == [row.value for row in second.tagged[partition]]
    assert [len(rows) for rows in second.raw] == before, "a replay writes nothing to what it reads"
    assert live.reopened >= ROUNDS * (USERS // 2)
    assert live.rerouted > 0
    assert replayed.reopened == 0


@pytest.mark.long
def test_offsets_that_were_set_back_tag_nothing_twice(kafka: str, topics: str, tmp_path: Path) -> None:
    """As operations.md says: what comes again is skipped, warned of with its position, and the rest is tagged."""
    produce(kafka, topics + ".raw", day(5, 2_000, USERS))
    with Fleet(kafka, topics, tmp_path) as fleet:
        worker = fleet.start()
        found = fleet.audit()
        worker.stop()
        begin = [TopicPartition(fleet.names.raw, partition, 0) for partition in range(4)]
        admin = AdminClient({"bootstrap.servers": kafka})
        moved = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(topics, begin)])
        moved[topics].result(60)
        again = fleet.start()
        fleet.await_processed()
        produce(kafka, fleet.names.raw, iter([("user-0", message("user-0", time.time_ns() // 1_000_000))]))
        after = fleet.audit()
        warned = [line for line in again.log() if str(line["message"]).startswith("records came again")]
        again.stop()
    assert after.tagged == found.tagged + 1
    told: list[Any] = [line["metadata"] for line in warned]
    assert sum(line["records"] for line in told) == 2_000
    assert {line["up_to"].split("@")[0] for line in told} == {
        f"{fleet.names.raw}[{partition}]" for partition in range(4)
    }


def _live(fleet: Fleet) -> None:
    """Say something now and then, slowly enough for the clock to end sessions, some of them too early."""
    misplaced = Producer({"bootstrap.servers": fleet.bootstrap})
    misplaced.produce(fleet.names.raw, message("stray", time.time_ns() // 1_000_000), None, 0)
    misplaced.produce(fleet.names.raw, message("stray", time.time_ns() // 1_000_000, number=1), None, 1)
    assert misplaced.flush(60) == 0
    people = [f"user-{number}" for number in range(USERS)]
    numbers = iter(range(10_000))
    for _ in range(ROUNDS):
        now_ms = time.time_ns() // 1_000_000
        _say_until_ended(fleet, people, now_ms, numbers)
        _say_until_ended(fleet, people[: USERS // 2], now_ms + GAP_MS - 1, numbers)  # It takes their ends back.


def _say_until_ended(fleet: Fleet, people: Sequence[str], at_ms: int, numbers: Iterator[int]) -> None:
    """Let each say something at `at_ms`, and wait until the clock has ended their sessions after it."""
    said = [(user, message(user, at_ms, number=next(numbers))) for user in people]
    produce(fleet.bootstrap, fleet.names.raw, iter(said))
    decode = make_codec().decode_event

    def ended() -> bool:
        rows = (row for part in read_topic(fleet.bootstrap, fleet.names.sessions) for row in part)
        views = [decode(row.value or b"") for row in rows]
        return set(people) <= {view.user_id for view in views if view.kind == "ended" and view.end_time == at_ms}

    await_true("the clock ends them", ended)
