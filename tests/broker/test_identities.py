"""The ids of cluster and topics on a real Kafka, and the worker that refuses others."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.errors import UsageError
from processor.kafka.identities import identities
from processor.runtime.identities import CLUSTER, differing
from tests.broker.fleet import Fleet, await_true, day, produce
from tests.broker.made_anew import make_anew
from tests.contracts.worlds import PARTITIONS, KafkaWorld, Member

pytestmark = pytest.mark.broker


@pytest.fixture
def world(kafka: str, topics: str) -> Iterator[KafkaWorld]:
    made = KafkaWorld(kafka, topics)
    yield made
    made.close()


def committed(world: KafkaWorld) -> list[TopicPartition]:
    """Return what the group has committed, by partition."""
    reader = Consumer({"bootstrap.servers": world.bootstrap, "group.id": world.prefix})
    try:
        return reader.committed([TopicPartition(world.names.raw, n) for n in range(PARTITIONS)], timeout=60)
    finally:
        reader.close()


def commit(world: KafkaWorld, text: str) -> None:
    """Commit beside the group's offsets what is not its own text, as another tool would; no member may be there."""
    places = [TopicPartition(tp.topic, tp.partition, tp.offset, text) for tp in committed(world) if tp.offset >= 0]
    writer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": world.prefix})
    writer.commit(offsets=places, asynchronous=False)
    writer.close()


def work(world: KafkaWorld) -> None:
    """Let a member process a record of each partition, commit and leave."""
    for partition in range(PARTITIONS):
        world.produce(partition, b"a")
    member = Member(world)
    member.tag(member.await_records(PARTITIONS))
    member.log.commit()
    member.log.close()


def test_a_topic_made_anew_is_another(kafka: str, topics: str) -> None:
    """Ids stay as long as the topic does; one that was deleted and made again under its name has another id."""
    admin = AdminClient({"bootstrap.servers": kafka})
    names = {role: f"{topics}.{role}" for role in ("raw", "state", "nowhere")}
    before = identities(admin, names)
    assert before.keys() == {CLUSTER, "raw", "state"}
    assert identities(admin, names) == before
    make_anew(kafka, topics, "raw")
    assert differing(before, identities(admin, names)) == ["raw"]


def test_commits_say_what_they_belong_to(world: KafkaWorld) -> None:
    """Beside each offset are the ids of cluster and topics, and a successor on the same topics goes on."""
    work(world)
    names = {role: world.topic(role) for role in ("raw", "state", "tagged", "sessions")}
    ids = identities(AdminClient({"bootstrap.servers": world.bootstrap}), names)
    for place in committed(world):
        assert place.metadata == " ".join(["a3cp", *(f"{role}={each}" for role, each in ids.items())])
    world.produce(1, b"b")
    assert [record.value() for record in Member(world).await_records(1)] == [b"b"]


@pytest.mark.parametrize("word", ["state", "tagged", "sessions"])
def test_a_successor_refuses_topics_made_anew(world: KafkaWorld, word: str) -> None:
    """No record is polled."""
    work(world)
    make_anew(world.bootstrap, world.prefix, word)
    with pytest.raises(UsageError, match=f"{word}: deleted and made anew since") as refused:
        Member(world).await_records(1)
    assert "Topics made anew" in refused.value.remedy


@pytest.mark.parametrize("count", [0, 1, 3], ids=["empty", "as many", "more"])
def test_a_successor_refuses_raw_made_anew(world: KafkaWorld, count: int) -> None:
    """Whatever the new topic holds, no record is polled, though Kafka forgets the group's offsets with the old one."""
    work(world)
    make_anew(world.bootstrap, world.prefix, "raw")
    for partition in range(PARTITIONS):
        world.produce(partition, *[b"new"] * count)
    with pytest.raises(UsageError, match=r"no offsets of .*raw there") as refused:
        Member(world).await_records(1)
    assert "Topics made anew" in refused.value.remedy


def test_a_rebalance_finds_topics_made_anew(world: KafkaWorld) -> None:
    """A member that joins, or gets more partitions, compares before it reads."""
    for partition in range(PARTITIONS):
        world.produce(partition, b"a")
    first = Member(world)
    first.tag(first.await_records(PARTITIONS))
    first.log.commit()
    make_anew(world.bootstrap, world.prefix, "sessions")
    second = Member(world)
    with pytest.raises(UsageError, match="sessions: deleted and made anew since"):
        await_true("refused", lambda: [first.turn(), second.turn()] == [])


@pytest.mark.parametrize("text", ["", "of another program", "a3cp", "a3cp cluster", "a3cp new=1"])
def test_what_says_nothing_refuses_nobody(world: KafkaWorld, text: str) -> None:
    """Offsets that an older release, or Kafka's own tool, has written are taken, and the next commit says whose."""
    work(world)
    commit(world, text)
    work(world)
    assert {str(place.metadata).split("=")[0] for place in committed(world)} == {"a3cp cluster"}


def test_offsets_of_another_cluster_are_refused(world: KafkaWorld) -> None:
    """A tool that mirrors topics copies offsets with their texts; the states were of another log."""
    work(world)
    commit(world, "a3cp cluster=there raw=this")
    with pytest.raises(UsageError, match="worked in the Kafka cluster there, and this one is"):
        Member(world).await_records(1)


def test_an_audit_refuses_topics_made_anew(kafka: str, topics: str, tmp_path: Path) -> None:
    """It proves nothing of a log that is gone: however many records the new topic holds, it is never called sound."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        produce(kafka, fleet.names.raw, day(1, 50, 8))
        worker = fleet.start()
        fleet.await_processed()
        assert worker.stop() == 0
        assert fleet.a3cp("audit")[0] == 0
        for word in ("state", "tagged", "sessions"):
            make_anew(kafka, topics, word)
            code, said = fleet.a3cp("audit")
            assert code == UsageError.exit_code
            assert re.search(rf"{word}\b.*: deleted and made anew since", said)


def test_an_audit_finds_raw_made_anew(kafka: str, topics: str, tmp_path: Path) -> None:
    """Kafka forgets the group's offsets with the old topic: what was tagged comes from no record."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        produce(kafka, fleet.names.raw, day(1, 50, 8))
        worker = fleet.start()
        fleet.await_processed()
        assert worker.stop() == 0
        make_anew(kafka, topics, "raw")
        produce(kafka, fleet.names.raw, day(2, 100, 8))
        assert fleet.a3cp("audit")[0] == 1


def test_a_worker_refuses_and_is_told_to_go_on(kafka: str, topics: str, tmp_path: Path) -> None:
    """Losing the state topic ends the worker with exit code 2; offsets set by Kafka's own tool make it go on."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        produce(kafka, fleet.names.raw, day(1, 200, 8))
        worker = fleet.start()
        fleet.await_processed()
        assert worker.stop() == 0
        make_anew(kafka, topics, "state")
        refused = fleet.start()
        assert refused.process.wait(60) == 2
        assert f"{topics}.state: deleted and made anew since" in refused.log_file.read_text()
        commit(KafkaWorld(kafka, topics), "")
        produce(kafka, fleet.names.raw, day(2, 200, 8))
        accepted = fleet.start()
        fleet.await_processed()
        assert accepted.stop() == 0
