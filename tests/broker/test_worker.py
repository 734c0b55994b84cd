"""Starting, restoring and stopping where something is in the way."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from processor.broker.probe import free_ports
from processor.errors import UsageError
from processor.kafka.conf import Waits
from processor.kafka.worker.transactions import transactional_id
from tests.broker.fleet import TIMEOUT_S, Fleet, await_true, probe
from tests.contracts.worlds import KafkaWorld, Member

pytestmark = pytest.mark.broker


@pytest.fixture
def world(kafka: str, topics: str) -> Iterator[KafkaWorld]:
    made = KafkaWorld(kafka, topics)
    yield made
    made.close()


def begin(world: KafkaWorld, partition: int) -> None:
    """Commit an offset there, as whoever writes a state does."""
    writer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": world.prefix})
    writer.commit(offsets=[TopicPartition(world.names.raw, partition, 0)], asynchronous=False)
    writer.close()


@pytest.mark.parametrize("outcome", ["committed", "aborted"])
def test_a_restore_waits_for_an_open_transaction(world: KafkaWorld, outcome: str) -> None:
    """What a transaction wrote before the restore began counts if it is committed, and is not seen if it is aborted."""
    state = world.topic("state")
    begin(world, 0)
    producer = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": world.prefix})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(state, b"open", b"user", 0)
    assert producer.flush(TIMEOUT_S) == 0
    member = Member(world)
    await_true(
        "the others are restored", lambda: not member.turn() and member.restoring == {0} and len(member.owned) == 4
    )
    for _ in range(10):
        member.turn()
    assert member.restoring == {0}
    if outcome == "committed":
        producer.commit_transaction(TIMEOUT_S)
    else:
        producer.abort_transaction(TIMEOUT_S)
    member.await_restored()
    assert member.states[0] == ([(b"user", b"open")] if outcome == "committed" else [])


def test_a_restore_that_stands_still_begins_anew(world: KafkaWorld) -> None:
    """A restore that gets no further is told, and begins anew; the other partitions go on meanwhile."""
    world.patience = Waits(stuck_s=0.5)
    begin(world, 0)
    producer = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": world.prefix})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(world.topic("state"), b"open", b"user", 0)
    assert producer.flush(TIMEOUT_S) == 0
    member = Member(world)
    await_true("told twice", lambda: not member.turn() and len(world.stood_still) > 1)
    assert set(world.stood_still) == {f"{world.topic('state')}[0] stands still at 0 of 1"}
    assert member.restoring == {0}
    producer.commit_transaction(TIMEOUT_S)
    member.await_restored()
    assert member.states[0] == [(b"user", b"open")]


def test_workers_stop_with_their_supervisor(kafka: str, topics: str, tmp_path: Path) -> None:
    """When the supervisor alone is killed, none of its workers goes on unseen."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        supervisor = fleet.start("--workers", "2")
        await_true("both started", lambda: supervisor.said("started") == 2)
        children = supervisor.children()
        supervisor.signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, TIMEOUT_S)
        assert not alive
        assert supervisor.said("stopped") == 2


def test_a_worker_starts_where_one_died_as_it_committed(kafka: str, topics: str, tmp_path: Path) -> None:
    """Until that transaction is aborted, no broker says what the group has committed: it is, at once."""
    conf = {"bootstrap.servers": kafka, "transaction.timeout.ms": 900_000}
    dead = Producer({**conf, "transactional.id": transactional_id(topics, 0, 0)})
    dead.init_transactions(TIMEOUT_S)
    dead.begin_transaction()
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topics})
    offsets = [TopicPartition(f"{topics}.raw", 0, 0)]
    dead.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), TIMEOUT_S)
    with Fleet(kafka, topics, tmp_path) as fleet:
        worker = fleet.start(slot=0)
        await_true("it has started", lambda: worker.said("started"))
    consumer.close()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_worker_waits_for_a_broker(tmp_path: Path, prefix: str, workers: int) -> None:
    """Started before there is one, it waits and says so; told to stop, it stops."""
    port, metrics_port, _ = free_ports(3)  # Each worker serves its metrics at a port of its own.
    with Fleet(f"127.0.0.1:{port}", prefix, tmp_path, metrics_port=metrics_port) as fleet:
        worker = fleet.start("--workers", str(workers), **({"slot": 0} if workers == 1 else {}))
        await_true("it says so", lambda: worker.said("no broker answers"))
        if workers == 1:
            assert probe(metrics_port, "/readyz")[0] == 503
            assert probe(metrics_port, "/livez")[0] == 200
        assert worker.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_the_last_word_is_in_the_log(kafka: str, prefix: str, tmp_path: Path, workers: int) -> None:
    """Why a worker ended stands in its log as one more line in its form, with what to do."""
    with Fleet(kafka, prefix, tmp_path) as fleet:  # Nobody has made the topics.
        worker = fleet.start("--workers", str(workers))
        assert worker.process.wait(TIMEOUT_S) == UsageError.exit_code
        errors = [line for line in worker.log() if line["level"] == "error"]
        assert errors[-1] == worker.log()[-1]
        assert "a3cp topics apply" in str(errors[0]["message"])


def test_a_worker_leaves_at_once_while_no_broker_answers(tmp_path: Path, prefix: str) -> None:
    """A call of the Kafka client that waits for an answer, up to 10 s, holds up no stop."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Fleet(f"127.0.0.1:{silent.getsockname()[1]}", prefix, tmp_path) as fleet,
    ):
        worker = fleet.start()
        connection, _ = silent.accept()
        assert worker.stop() == 0
        connection.close()
        assert worker.said("no broker answers") == 0  # It did not wait for the answer.
        assert worker.said("stopped") == 1


def test_each_line_says_which_slot(kafka: str, topics: str, tmp_path: Path) -> None:
    """Two workers write into one log: which of them was assigned what is to be seen."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        worker = fleet.start("--workers", "2")
        await_true("both started", lambda: worker.said("started") == 2 and worker.said("restored") >= 4)
        lines: list[Any] = [line for line in worker.log() if line["component"] == "processor"]
        assert {line["metadata"].get("slot") for line in lines} == {0, 1}
        assert all(line["operation"] for line in worker.log())


@pytest.mark.long
def test_several_workers_stop_while_a_broker_is_silent(tmp_path: Path, prefix: str) -> None:
    """Told to stop while they still ask which slots are free, they stop."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Fleet(f"127.0.0.1:{silent.getsockname()[1]}", prefix, tmp_path) as fleet,
    ):
        worker = fleet.start("--workers", "2")
        silent.accept()[0].close()
        assert worker.stop() == 0
        assert worker.said("no broker answers") == 0  # It did not wait for the answer.
