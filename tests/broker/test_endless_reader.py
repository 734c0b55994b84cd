"""`EndlessReader`: it reads what is committed, from where it was told, through all that may happen."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # Its stub forgets it.

from processor import broker
from processor.broker.probe import free_ports
from processor.errors import A3CPError, BrokerUnavailable, Fatal, RecordsGone, UsageError
from processor.kafka.reading.endless import EndlessReader, ReadingThread
from processor.kafka.topics.admin import ensure_topics
from processor.runtime.ports import TopicRecord
from tests.broker.damage import Damage, damage
from tests.broker.fleet import TIMEOUT_S, await_true

pytestmark = pytest.mark.broker


def write(kafka: str, topic: str, partition: int, *values: str, commit: bool | None = None) -> Producer:
    """Append records; in a transaction that is ended so, or plainly when `commit` is None."""
    conf = {} if commit is None else {"transactional.id": f"{topic}-{time.monotonic_ns()}"}
    producer = Producer({"bootstrap.servers": kafka, **conf})
    if commit is not None:
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
    told: list[KafkaError | None] = []
    for value in values:
        producer.produce(
            topic, value, b"key", partition, headers=[("trace", b"7")], on_delivery=lambda error, _: told.append(error)
        )
    producer.flush(TIMEOUT_S)
    assert not any(told)
    if commit is True:
        producer.commit_transaction(TIMEOUT_S)
    elif commit is False:
        producer.abort_transaction(TIMEOUT_S)
    return producer


def records_of(reader: EndlessReader, count: int) -> list[TopicRecord]:
    """Return the next `count` records, with what follows them at once."""
    found: list[TopicRecord] = []
    deadline_s = time.monotonic() + TIMEOUT_S
    while len(found) < count and time.monotonic() < deadline_s:
        found += reader.poll(0.1)
    return found + reader.poll(0.3)


def values_of(reader: EndlessReader, count: int) -> list[str]:
    """Return their values in order."""
    return sorted((record.value or b"").decode() for record in records_of(reader, count))


def troubles_of(reader: EndlessReader, expected: type[A3CPError]) -> A3CPError:
    """Return the next error of that class."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s:
        try:
            reader.poll(0.1)
        except expected as error:
            return error
    raise AssertionError(f"no {expected.__name__}")


def test_from_now_on(kafka: str, topics: str) -> None:
    """All partitions of both topics; what was there before, and what is aborted, is not read. Markers are passed."""
    tagged, sessions = f"{topics}.tagged", f"{topics}.sessions"
    write(kafka, tagged, 0, "before")
    with EndlessReader({"bootstrap.servers": kafka}, [tagged, sessions]) as reader:
        write(kafka, tagged, 0, "a", commit=True)
        write(kafka, tagged, 3, "b", commit=False)
        write(kafka, sessions, 2, "c", commit=True)
        assert values_of(reader, 2) == ["a", "c"]
        ends = dict(reader.ends())
        await_true("all is passed", lambda: reader.poll(0.1) == [] and reader.positions() == ends)
        assert ends[tagged, 0] == 3  # before, a, its marker
        assert ends[tagged, 3] == 2
        assert len(ends) == 8


def test_a_record_is_whole(kafka: str, topics: str) -> None:
    """Place, time, key, value and headers."""
    topic = f"{topics}.tagged"
    with EndlessReader({"bootstrap.servers": kafka}, [topic]) as reader:
        began_ms = time.time() * 1000 - 60_000
        write(kafka, topic, 1, "a")
        (record,) = records_of(reader, 1)
    assert record._replace(timestamp_ms=0) == (topic, 1, 0, 0, b"key", b"a", [("trace", b"7")])
    assert record.timestamp_ms > began_ms
    assert record.position == f"{topic}[1]@0"


def test_from_the_beginning_and_from_offsets(kafka: str, topics: str) -> None:
    """Partitions that are not named begin where the others do."""
    topic = f"{topics}.tagged"
    for partition in range(2):
        write(kafka, topic, partition, *(f"{partition}{number}" for number in range(3)))
    conf = {"bootstrap.servers": kafka}
    with EndlessReader(conf, [topic], from_beginning=True) as reader:
        assert values_of(reader, 6) == ["00", "01", "02", "10", "11", "12"]
    with EndlessReader(conf, [topic], from_beginning=True, offsets={(topic, 1): 2}) as reader:
        assert values_of(reader, 4) == ["00", "01", "02", "12"]
    with EndlessReader(conf, [topic], offsets={(topic, 1): 1}) as reader:
        assert values_of(reader, 2) == ["11", "12"]


def test_partitions_that_come_later(kafka: str, topics: str) -> None:
    """They are noticed, and read from their own beginning."""
    topic = f"{topics}.dlq"
    with EndlessReader({"bootstrap.servers": kafka}, [topic]) as reader:
        admin = AdminClient({"bootstrap.servers": kafka})
        for future in admin.create_partitions([NewPartitions(topic, 6)]).values():
            future.result(TIMEOUT_S)
        await_true("six are known", lambda: len(admin.list_topics(topic).topics[topic].partitions) == 6)
        write(kafka, topic, 5, "new")
        write(kafka, topic, 0, "old")
        assert values_of(reader, 2) == ["new", "old"]
        assert len(reader.ends()) == 6


def test_records_that_are_gone(kafka: str, topics: str) -> None:
    """What retention took before it was read is told once; what is left is read. So it is with an offset too high."""
    topic = f"{topics}.tagged"
    write(kafka, topic, 0, "a", "b", "c")
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.delete_records([TopicPartition(topic, 0, 2)]).values():
        future.result(TIMEOUT_S)
    with EndlessReader({"bootstrap.servers": kafka}, [topic], offsets={(topic, 0): 0, (topic, 1): 99}) as reader:
        told = {str(troubles_of(reader, RecordsGone)).partition(";")[0] for _ in range(2)}
        assert told == {f"{topic}[{p}]@{o} is not there any more" for p, o in ((0, 0), (1, 99))}
        write(kafka, topic, 1, "d")
        assert values_of(reader, 2) == ["c", "d"]
        assert reader.positions()[topic, 1] == 1


def test_what_there_is_not(kafka: str, prefix: str) -> None:
    """No topic, no broker: said at once, with what to do."""
    with pytest.raises(UsageError, match=rf"no topic {prefix}.tagged; make the topics"):
        EndlessReader({"bootstrap.servers": kafka}, [f"{prefix}.tagged"])
    with pytest.raises(BrokerUnavailable, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        EndlessReader({"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}, ["t"])


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Starts a broker of its own, again at the same address; its folder is `tmp_path`."""
    (port,) = free_ports(1)
    yield lambda: broker.up(port, tmp_path).bootstrap
    broker.down(tmp_path)


@pytest.mark.long
def test_a_broker_that_goes_and_a_batch_that_cannot_be_read(own: Callable[[], str], tmp_path: Path) -> None:
    """Both are told to whoever follows in a thread; the other partitions go on, and in the end nothing is missing."""
    kafka = own()
    conf = {"bootstrap.servers": kafka, "log_level": "0"}
    ensure_topics(conf, "t")
    taken: list[TopicRecord] = []
    troubles: list[A3CPError] = []
    following = ReadingThread(EndlessReader(conf, ["t.tagged"]), taken.extend, troubles.append)

    def values() -> list[bytes]:
        return sorted(record.value or b"" for record in taken)

    try:
        write(kafka, "t.tagged", 0, "a")
        await_true("it comes", lambda: values() == [b"a"])
        broker.down(tmp_path)
        await_true("it is told", lambda: any(isinstance(error, BrokerUnavailable) for error in troubles))
        own()
        write(kafka, "t.tagged", 1, "b")
        await_true("it goes on", lambda: values() == [b"a", b"b"])
        following.close()

        write(kafka, "t.tagged", 0, "c" * 50)
        damaged = damage(tmp_path, "t.tagged", 0, 1, Damage.FORMAT)
        following = ReadingThread(
            EndlessReader(conf, ["t.tagged"], offsets={("t.tagged", 0): 1}), taken.extend, troubles.append
        )
        await_true("the batch is told", lambda: any(isinstance(error, Fatal) for error in troubles))
        assert "t.tagged[0]@1 cannot be read: " in str(next(e for e in troubles if isinstance(e, Fatal)))
        write(kafka, "t.tagged", 1, "d")
        await_true("the other goes on", lambda: values() == [b"a", b"b", b"d"])
        damaged.mend()
        await_true("it is read", lambda: values() == [b"a", b"b", b"c" * 50, b"d"])
    finally:
        following.close()
