"""What keeps a worker from going on is told, with where and what to do."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # Its stub forgets it.

from processor.errors import UsageError
from processor.kafka.audit import KafkaTopics
from processor.kafka.conf import Waits
from processor.kafka.worker.other_groups import refuse_another_group
from processor.runtime.ports import Alarm, Cause
from tests.broker.audit import read_topic
from tests.broker.fleet import TIMEOUT_S, Fleet, await_true, day, produce
from tests.broker.made_anew import make_anew
from tests.contracts.worlds import KafkaWorld, Member

pytestmark = pytest.mark.broker


@pytest.fixture
def world(kafka: str, topics: str) -> Iterator[KafkaWorld]:
    made = KafkaWorld(kafka, topics)
    yield made
    made.close()


def test_an_open_transaction_of_a_producer_is_told(world: KafkaWorld) -> None:
    """With the first offset that waits and how many do; short ones are everyday, and the end of it is told too."""
    world.patience = Waits(hidden_s=1.0, calm_s=2.0)
    world.produce(2, b"a")
    member = Member(world)
    member.run_until("caught up", lambda: all(member.log.caught_up(p) for p in range(4)))
    commit = world.hide(2, b"b", b"c")
    place = 2, Cause.OPEN_TRANSACTION
    member.run_until("it is told", lambda: member.log.lag() and place in world.waits)
    position, why, remedy = world.waits[place]
    assert (position, why) == (f"{world.names.raw}[2]@1", "2 offsets wait behind a producer's open transaction")
    assert f"describe-producers --topic {world.names.raw} --partition 2" in remedy
    assert set(world.waits) == {place}
    commit()
    member.run_until("it goes on", lambda: member.log.lag() and not world.waits)
    assert world.values("tagged", 2) == [b"a", b"b", b"c"]


def remove(world: KafkaWorld, partition: int, before: int) -> None:
    """Remove raw records as retention or an operator does."""
    place = TopicPartition(world.names.raw, partition, before)
    admin = AdminClient({"bootstrap.servers": world.bootstrap})
    admin.delete_records([place])[place].result(TIMEOUT_S)


def move(world: KafkaWorld, partition: int, offset: int) -> None:
    """Set the group's offset, as kafka-consumer-groups does while no worker runs."""
    consumer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": world.prefix})
    consumer.commit(offsets=[TopicPartition(world.names.raw, partition, offset)], asynchronous=False)
    consumer.close()


def gone(world: KafkaWorld, partition: int) -> tuple[int | None, tuple[int, int] | None]:
    """Return what an audit learns: where the log began for the group, and which offsets were lost later."""
    names = world.names
    conf = {"bootstrap.servers": world.bootstrap}
    topics = KafkaTopics(conf, [names.tagged, names.raw], raw=names.raw, group_id=world.prefix)
    return topics.late().get(partition), topics.lost().get(partition)


def caught_up(member: Member, partition: int) -> None:
    member.run_until("caught up", lambda: member.log.caught_up(partition))


def tagged_before(world: KafkaWorld, partition: int, *values: bytes) -> None:
    """Let a first worker tag `values`, and stop it."""
    world.produce(partition, *values)
    member = Member(world)
    caught_up(member, partition)
    member.log.close()


LOST = "offsets 1 to 2 were removed before they were read: by retention, or by hand"


def test_input_that_was_removed_while_no_worker_ran_is_told(world: KafkaWorld) -> None:
    """How much and where; the rest is read; each later owner tells it again, and counts it no second time."""
    tagged_before(world, 1, b"a")
    world.produce(1, b"b", b"c", b"d")
    remove(world, 1, 3)
    member = Member(world)
    caught_up(member, 1)
    assert world.alarms == {(1, Alarm.LOST_INPUT): (LOST, 2)}
    assert world.values("tagged", 1) == [b"a", b"d"]
    member.log.close()
    world.alarms.clear()
    caught_up(Member(world), 1)
    assert world.alarms == {(1, Alarm.LOST_INPUT): (LOST, 0)}


def test_input_that_is_removed_under_a_running_worker_is_told(world: KafkaWorld) -> None:
    """Here it waited behind an open transaction."""
    world.produce(1, b"a")
    member = Member(world)
    caught_up(member, 1)
    commit = world.hide(1, b"b")
    world.produce(1, b"c", b"d")
    remove(world, 1, 3)
    commit()
    member.run_until("it goes on", lambda: world.values("tagged", 1) == [b"a", b"d"])
    assert world.alarms == {(1, Alarm.LOST_INPUT): (LOST, 2)}
    caught_up(member, 1)
    assert member.log.lag()[1] == 0


def test_a_log_whose_beginning_is_gone_is_told_to_a_new_group(world: KafkaWorld) -> None:
    """It never had more to read, so nothing counts as lost; but it stays known, also beside what is lost later."""
    world.produce(1, b"a", b"b")
    remove(world, 1, 1)
    member = Member(world)
    caught_up(member, 1)
    why = "it begins at 1; what was before was never read"
    assert world.alarms == {(1, Alarm.LATE_BEGINNING): (why, 0)}
    assert gone(world, 1) == (1, None)
    member.log.close()
    world.produce(1, b"c", b"d")
    remove(world, 1, 3)
    caught_up(Member(world), 1)
    late, lost = gone(world, 1)
    assert (late, lost is not None and lost[1]) == (1, 3)


def test_offsets_that_somebody_set_are_told(world: KafkaWorld) -> None:
    """Until the worker has committed its own."""
    tagged_before(world, 1, b"a", b"b", b"c")
    move(world, 1, 2)
    world.produce(1, b"d")
    member = Member(world)
    member.run_until("it goes on", lambda: world.values("tagged", 1)[-1] == b"d")
    (((partition, alarm), (why, _)),) = world.alarms.items()
    assert (partition, alarm) == (1, Alarm.OFFSETS_SET)
    assert why.startswith("the group's offset, 2, was set by somebody else")
    member.log.close()
    world.alarms.clear()
    caught_up(Member(world), 1)
    assert not world.alarms


def test_an_offset_beyond_the_end_stands_still(world: KafkaWorld) -> None:
    """What comes up to there would never be read; the other partitions go on."""
    tagged_before(world, 1, b"a")
    move(world, 1, 10)
    member = Member(world)
    world.produce(0, b"b")
    member.run_until("others go on", lambda: world.values("tagged", 0) == [b"b"])
    assert set(world.waits) == {(1, Cause.OFFSETS)}
    assert world.waits[1, Cause.OFFSETS][1] == "the group's offset is 10, and the log ends at 1"
    world.produce(1, b"c")
    for _ in range(5):
        assert not member.turn()
    assert world.values("tagged", 1) == [b"a"]
    assert 1 not in member.log.lag()


def test_another_group_that_tags_the_same_is_told(world: KafkaWorld) -> None:
    """Both began on fresh topics, so neither was refused: both tell it, and a third one does not begin."""
    other = KafkaWorld(world.bootstrap, world.prefix)
    world.patience = other.patience = Waits(other_groups_s=0.2)
    other.group_id = f"{world.prefix}-2"
    reader = Consumer({"bootstrap.servers": world.bootstrap, "group.id": f"{world.prefix}-reader", "client.id": "r-0"})
    reader.subscribe([world.names.raw])  # It tags nothing.
    try:
        member, second = Member(world), Member(other)
        ready = lambda: all(each.log.caught_up(p) for each in (member, second) for p in range(4))  # noqa: E731
        member.run_until("both read", ready, second)
        for each in (member, second):
            each.log.lag()
        assert not world.alarms | other.alarms
        world.produce(1, b"a")

        def told() -> bool:
            return all(each.log.lag() for each in (member, second)) and len(world.alarms) == len(other.alarms) == 4

        member.run_until("both tell it", told, second)
        for ours, theirs in ((world, other.group_id), (other, world.group_id)):
            why = f"group {theirs} tags messages into {world.names.tagged} too, so they are there twice"
            assert ours.alarms == {(partition, Alarm.ANOTHER_GROUP): (why, 0) for partition in range(4)}
        conf = {"bootstrap.servers": world.bootstrap}
        with pytest.raises(UsageError, match=f"group {world.prefix}.* tags messages into {world.names.tagged} too"):
            refuse_another_group(conf, f"{world.prefix}-3", world.names.tagged)
        second.log.close()
        refuse_another_group(conf, world.group_id, world.names.tagged)
        refuse_another_group(conf, f"{world.prefix}-3", world.names.raw)
    finally:
        reader.close()
        other.close()


def test_more_partitions_are_told_and_left_alone(world: KafkaWorld) -> None:
    """Users' states are where the old number put them: what comes to new ones is not read, the others go on."""
    world.patience = Waits(survey_s=0.5)
    member = Member(world)
    member.run_until("caught up", lambda: all(member.log.caught_up(p) for p in range(4)))
    admin = AdminClient({"bootstrap.servers": world.bootstrap})
    admin.create_partitions([NewPartitions(world.names.raw, 6)])[world.names.raw].result(TIMEOUT_S)
    member.run_until("it is told", lambda: member.log.lag() and len(world.waits) == 2)
    assert set(world.waits) == {(4, Cause.PARTITIONS), (5, Cause.PARTITIONS)}
    _, why, remedy = world.waits[4, Cause.PARTITIONS]
    assert why.startswith(f"{world.names.raw} has 6 partitions now, and users' states are in 4")
    assert "topics grow --partitions 8" in remedy
    topics = admin.list_topics
    await_true("they are there", lambda: len(topics(world.names.raw).topics[world.names.raw].partitions) == 6)
    world.produce(4, b"never")
    world.produce(0, b"a")
    other = Member(world)  # A rebalance, in which the new ones are given out.
    member.run_until("shared", lambda: len(member.owned) < 4 and other.owned and not other.restoring, other)
    assert member.owned | other.owned == set(range(4))
    member.run_until("the others go on", lambda: world.values("tagged", 0) == [b"a"], other)


def test_a_topic_that_is_made_anew_under_a_running_worker_is_told(world: KafkaWorld) -> None:
    """Nothing of the new one is read: its first records would be skipped, or mixed with the states of the old one."""
    world.patience = Waits(survey_s=0.2)
    member = Member(world)
    member.run_until("caught up", lambda: all(member.log.caught_up(p) for p in range(4)))
    make_anew(world.bootstrap, world.prefix, "tagged")
    member.run_until("it is told", lambda: member.log.lag() is not None and len(world.waits) == 4)
    assert {cause for _, cause in world.waits} == {Cause.TOPIC}
    _, why, remedy = world.waits[0, Cause.TOPIC]
    assert why.startswith(f"{world.names.tagged} was deleted and made anew")
    assert "Topics made anew" in remedy
    world.produce(0, b"a")
    for _ in range(10):
        assert not member.turn()
    assert not member.log.caught_up(0)


def test_raw_that_is_made_anew_under_a_running_worker_is_not_read_on(kafka: str, topics: str, tmp_path: Path) -> None:
    """Whether a look or the rebalance that follows sees it: it is told, and from then on nothing is tagged."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        worker = fleet.start()
        produce(kafka, fleet.names.raw, day(1, 50, 8))
        fleet.await_processed()
        make_anew(kafka, topics, "raw")

        def told() -> bool:
            return "Topics made anew" in worker.log_file.read_text()

        await_true("it is told", told)
        before = sum(map(len, read_topic(kafka, fleet.names.tagged)))
        produce(kafka, fleet.names.raw, day(2, 200, 8))
        time.sleep(1)  # In which it would tag all of them.
        assert worker.stop() in (0, UsageError.exit_code)
        assert sum(map(len, read_topic(kafka, fleet.names.tagged))) == before
