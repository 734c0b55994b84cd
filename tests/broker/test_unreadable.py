"""A batch that cannot be read: the other partitions go on, it is told where it is, and once it can be, it is read."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from processor import broker
from processor.broker.probe import free_ports
from processor.kafka.topics.admin import ensure_topics
from processor.runtime.partitioner import partition_of
from tests.broker.damage import Damage, damage
from tests.broker.fleet import BASE_MS, TIMEOUT_S, Fleet, Watcher, await_true, message, probe

pytestmark = [pytest.mark.broker, pytest.mark.long]

RECORD_BYTES = 500_000
RECORDS = {"gzip": 80, "snappy": 40, "lz4": 80, "zstd": 80}  # snappy packs to a twentieth at best
USERS = [next(f"u{n}" for n in range(99) if partition_of(b"u%d" % n, 4) == partition) for partition in range(4)]
STOP_S = 30.0  # After that an orchestrator kills it.
PREFIX = "unreadable"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A broker whose files may be damaged: its address and its folder."""
    folder = tmp_path_factory.mktemp("damaged")
    yield broker.up(None, folder).bootstrap, folder
    broker.down(folder)


def produce(kafka: str, topic: str, partition: int, *values: bytes, **conf: str | int) -> None:
    """Append the values as one batch."""
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 500, "batch.size": 2**31 - 1, **conf})
    delivered: list[object] = []
    for value in values:
        producer.produce(topic, value, b"u", partition, on_delivery=lambda error, _: delivered.append(error))
    assert producer.flush(TIMEOUT_S) == 0
    assert set(delivered) == {None}


def large(kafka: str, topic: str, partition: int, codec: str) -> None:
    """Append a batch that the topic takes and that unpacks to many times as much."""
    values = [message(USERS[partition], BASE_MS + 1, number=n, text="0" * RECORD_BYTES) for n in range(RECORDS[codec])]
    conf: dict[str, str | int] = {"compression.type": codec, "linger.ms": 1_500, "message.max.bytes": 10**9}
    produce(kafka, topic, partition, *values, **conf, **{"queue.buffering.max.kbytes": 2**20})


def test_what_unpacks_to_much_is_read(kafka: str, topics: str, tmp_path: Path) -> None:
    """Each codec's large batch is tagged, and the audit reads it too."""
    with Fleet(kafka, topics, tmp_path) as fleet, Watcher(kafka, fleet.names.tagged) as watcher:
        for partition, codec in enumerate(RECORDS):
            large(kafka, fleet.names.raw, partition, codec)
        fleet.start()
        watcher.await_count(sum(RECORDS.values()))
        code, said = fleet.a3cp("audit")
    assert code == 0, said
    assert f"{sum(RECORDS.values())} tagged, 0 dead letters" in said


def test_one_that_cannot_be_read(own: tuple[str, Path], tmp_path: Path) -> None:
    """Damaged, of an unknown format, too large for a limit that was set: told alike, and read once it can be."""
    kafka, folder = own
    ensure_topics({"bootstrap.servers": kafka}, PREFIX)
    (port,) = free_ports(1)
    limit = {"A3CP_KAFKA__RECEIVE_MESSAGE_MAX_BYTES": "20000000", "A3CP_KAFKA__FETCH_MAX_BYTES": "1000000"}
    fleet = Fleet(kafka, PREFIX, tmp_path, metrics_port=port)
    with fleet, Watcher(kafka, fleet.names.tagged) as watcher:
        raw = fleet.names.raw
        for partition in range(4):
            produce(kafka, raw, partition, *(message(USERS[partition], BASE_MS, number=n) for n in range(3)))
            if partition == 3:
                large(kafka, raw, partition, "zstd")
            else:
                produce(kafka, raw, partition, *(message(USERS[partition], BASE_MS + 1, number=n) for n in range(9)))
            produce(kafka, raw, partition, message(USERS[partition], BASE_MS + 2))
        damages = [damage(folder, raw, 1, 3, Damage.CONTENT), damage(folder, raw, 2, 3, Damage.FORMAT)]
        fleet.environ |= limit
        worker = fleet.start()
        waiting = [f"{raw}[{partition}]@3" for partition in (1, 2, 3)]
        await_true("told", lambda: all(place in probe(port, "/readyz")[1] for place in waiting))
        await_true("the others go on", lambda: "a3cp_messages_tagged_total 22.0" in probe(port, "/metrics")[1])
        status, reasons = probe(port, "/readyz")
        assert status == 503
        assert f"{raw}[0]" not in reasons
        assert "restoring" not in reasons
        assert probe(port, "/livez")[0] == 200
        metrics = probe(port, "/metrics")[1]
        for partition in (1, 2, 3):
            assert f'a3cp_partition_waiting{{cause="unreadable",partition="{partition}"}} 1.0' in metrics
            (lag,) = (line for line in metrics.splitlines() if f'lag_offsets{{partition="{partition}"}}' in line)
            assert float(lag.split()[-1]) > 9, lag
        told = [line["metadata"] for line in worker.log() if line["level"] == "error"]
        assert {line["position"] for line in told} == set(waiting)  # type: ignore[index]
        assert not worker.said("starting again from the log")
        code, said = fleet.a3cp("audit")
        assert code == 1
        assert f"{raw}[1]@3 cannot be read" in said
        code, said = fleet.a3cp("export", "--store", f"sqlite:///{tmp_path}/store.db")
        assert code == 0, said
        began_s = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began_s < STOP_S
        for done in damages:
            done.mend()
        for name in limit:
            del fleet.environ[name]
        last = fleet.start()
        watcher.await_count(4 * 4 + 3 * 9 + RECORDS["zstd"])
        await_true("ready", lambda: probe(port, "/readyz")[0] == 200)
        code, said = fleet.a3cp("audit")
        assert code == 0, said
        assert last.stop() == 0


def test_a_state_that_cannot_be_read(own: tuple[str, Path], tmp_path: Path) -> None:
    """Its partition is not restored and says why, the others go on; once it can be read, nothing of it is lost."""
    kafka, folder = own
    ensure_topics({"bootstrap.servers": kafka}, "restored")
    (port,) = free_ports(1)
    fleet = Fleet(kafka, "restored", tmp_path, metrics_port=port)
    with fleet, Watcher(kafka, fleet.names.tagged) as watcher:
        for partition, user in enumerate(USERS):
            produce(kafka, fleet.names.raw, partition, message(user, BASE_MS))
        worker = fleet.start()
        watcher.await_count(4)
        assert worker.stop() == 0
        done = damage(folder, fleet.names.state, 1, 0, Damage.CONTENT)
        for partition, user in enumerate(USERS):
            produce(kafka, fleet.names.raw, partition, message(user, BASE_MS + 1, number=1))
        worker = fleet.start()
        watcher.await_count(7)
        await_true("told", lambda: f"waits at {fleet.names.state}[1]@0" in probe(port, "/readyz")[1])
        assert probe(port, "/livez")[0] == 200
        done.mend()
        watcher.await_count(8)
        await_true("ready", lambda: probe(port, "/readyz")[0] == 200)
        code, said = fleet.a3cp("audit")
        assert code == 0, said
        assert worker.stop() == 0
