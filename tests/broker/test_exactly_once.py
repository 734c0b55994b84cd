"""Exactly once, whatever dies: workers are killed and frozen, the broker is restarted; the audit proves the rest."""

import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from processor import broker
from processor.broker.probe import free_ports
from processor.kafka.topics.admin import ensure_topics
from tests.broker.fleet import Fleet, Load, Watcher, await_true, day, probe, produce

pytestmark = pytest.mark.broker

USERS = 300


@pytest.mark.parametrize(
    ("workers", "kills", "count"),
    [
        (1, 1, 4_000),
        pytest.param(1, 3, 12_000, marks=pytest.mark.long),
        pytest.param(2, 3, 12_000, marks=pytest.mark.long),
    ],
)
def test_killed_at_random_moments(
    kafka: str, topics: str, tmp_path: Path, workers: int, kills: int, count: int
) -> None:
    """Kill -9 in the middle of transactions, again and again: nothing is lost and nothing doubled."""
    chance = random.Random(workers)
    with Fleet(kafka, topics, tmp_path, batch_records_max=30) as fleet, Watcher(kafka, fleet.names.tagged) as tagged:
        produce(kafka, fleet.names.raw, day(seed=workers, count=count, users=USERS))
        for kill in range(1, kills + 1):
            worker = fleet.start("--workers", str(workers))
            tagged.await_count(kill * count // (kills + 2) + chance.randrange(count // 10))
            worker.kill()
        fleet.start("--workers", str(workers))
        assert fleet.audit().tagged > 0.9 * count


@pytest.mark.long
def test_a_killed_worker_is_started_again(kafka: str, topics: str, tmp_path: Path) -> None:
    """The supervisor of several workers replaces one that was killed."""
    with Fleet(kafka, topics, tmp_path, metrics_port=free_ports(3)[0]) as fleet, Load(kafka, fleet.names.raw):
        supervisor = fleet.start("--workers", "2")
        await_true("both started", lambda: supervisor.said("started") == 2)
        children = supervisor.children()
        children[0].kill()
        await_true("a third started", lambda: supervisor.said("started") == 3)
        with Watcher(kafka, fleet.names.tagged) as tagged:
            tagged.await_count(tagged.look(1.0) + 1_000)
        assert supervisor.stop() == 0
        assert not any(child.is_running() for child in children)
    with Fleet(kafka, topics, tmp_path) as last:
        last.start()
        assert last.audit().tagged > 1_000


@pytest.mark.long
def test_a_frozen_worker_is_fenced(kafka: str, topics: str, tmp_path: Path) -> None:
    """A worker stopped for longer than its session (SIGSTOP) and woken again writes nothing that another wrote."""
    with Fleet(kafka, topics, tmp_path, batch_records_max=30) as fleet:
        with Load(kafka, fleet.names.raw), Watcher(kafka, fleet.names.tagged) as tagged:
            workers = [fleet.start(), fleet.start()]
            await_true("both started", lambda: all(worker.said("restored") for worker in workers))
            for frozen in workers:
                tagged.await_count(tagged.look() + 500)
                before = dict(tagged.counts)
                frozen.signal(signal.SIGSTOP)
                await_true("the other has taken over all partitions", partial(tagged.has_grown, before))
                frozen.signal(signal.SIGCONT)
        found = fleet.audit()
        assert found.tagged > 1_000
        assert all(worker.process.poll() is None for worker in workers)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a broker of this test alone, which it may stop and start."""
    folder = tmp_path / "kafka"
    broker.up(None, folder)
    yield folder
    broker.down(folder)


@pytest.mark.long
def test_the_broker_is_restarted(own_kafka: Path, prefix: str, tmp_path: Path) -> None:
    """A broker that goes away stops progress, not the workers; readiness says so, and work goes on where it stopped."""
    running = broker.status(own_kafka)
    assert running is not None
    port = int(running.bootstrap.rpartition(":")[2])
    ensure_topics({"bootstrap.servers": running.bootstrap}, prefix, partitions=4)
    (metrics_port,) = free_ports(1)
    broker.down(own_kafka)
    with Fleet(running.bootstrap, prefix, tmp_path, batch_records_max=200, metrics_port=metrics_port) as fleet:
        worker = fleet.start(slot=0)  # Before there is a broker.
        await_true("not ready", lambda: probe(metrics_port, "/readyz")[0] == 503)
        broker.up(port, own_kafka)
        with Load(running.bootstrap, fleet.names.raw), Watcher(running.bootstrap, fleet.names.tagged) as tagged:
            tagged.await_count(1_000)
            await_true("ready", lambda: probe(metrics_port, "/readyz")[0] == 200)
            broker.down(own_kafka)
            await_true("not ready", lambda: probe(metrics_port, "/readyz")[0] == 503)
            assert probe(metrics_port, "/livez")[0] == 200
            broker.up(port, own_kafka)
            tagged.await_count(tagged.count + 2_000)
        await_true("ready again", lambda: probe(metrics_port, "/readyz")[0] == 200)
        assert fleet.audit().tagged > 3_000
        broker.down(own_kafka)  # Again, with nothing to do.
        await_true("not ready", lambda: probe(metrics_port, "/readyz")[0] == 503)
        broker.up(port, own_kafka)
        await_true("ready again", lambda: probe(metrics_port, "/readyz")[0] == 200)
        assert probe(metrics_port, "/livez")[0] == 200
        assert worker.stop() == 0
