"""An exporter of whose partitions one stands still: it tells which, stores the others, and goes on by itself."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from processor import broker
from processor.broker.probe import free_ports
from processor.kafka.topics.admin import ensure_topics
from processor.runtime.partitioner import partition_of
from tests.broker.audit import read_topic
from tests.broker.damage import Damage, damage
from tests.broker.exporters import Exporter, ends_of
from tests.broker.fleet import BASE_MS, TIMEOUT_S, Fleet, await_true, message, names_of, probe
from tests.registry_server import Registering, Server, serving
from tests.sessions.outputs import message as told
from tests.sessions.outputs import processed
from tests.strategies import framed

pytestmark = [pytest.mark.broker, pytest.mark.long]

USERS = [next(f"u{n}" for n in range(99) if partition_of(f"u{n}".encode(), 4) == partition) for partition in range(4)]
SOON = "from processor.processes.exporter import exporter\nexporter.GIVE_UP_S = 2.0"
RAW = (1, 2, 3)  # ids of the schemas that messages of the first partitions are written with


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Registering(*RAW)) as running:
        yield running


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A broker whose files may be damaged: its address and its folder."""
    folder = tmp_path_factory.mktemp("damaged")
    yield broker.up(None, folder).bootstrap, folder
    broker.down(folder)


def export_once(exporter: Exporter, address: str) -> tuple[int, str]:
    """Export up to the end into the store at `address`, with little patience; return the exit code and all it says."""
    program = [sys.executable, "-c", f"{SOON}\nfrom processor.cli.app import main; main()"]
    command = [*program, "export", "--store", address]
    done = subprocess.run(command, env=exporter.environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_schema_that_the_registry_does_not_give(kafka: str, topics: str, tmp_path: Path, server: Server) -> None:
    """It holds its partition back at the first record that needs it, whether the registry fails or is slow."""
    names, answers = names_of(topics), server.answer
    assert isinstance(answers, Registering)
    producer = Producer({"bootstrap.servers": kafka})
    for partition, user in enumerate(USERS):
        producer.produce(names.raw, message(user, BASE_MS), user, partition)
    for partition, schema_id in enumerate(RAW):
        for _ in range(3):
            producer.produce(names.raw, framed(USERS[partition], schema_id), USERS[partition], partition)
    assert producer.flush(TIMEOUT_S) == 0
    environ = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "A3CP_TOPIC_PREFIX": topics, "SCHEMA_REGISTRY_URL": server.url}
    with Fleet(kafka, topics, tmp_path) as fleet:
        fleet.environ["SCHEMA_REGISTRY_URL"] = server.url
        worker = fleet.start(slot=0)
        await_true("tagged", lambda: [len(rows) for rows in read_topic(kafka, names.tagged)] == [4, 4, 4, 1])
        assert worker.stop() == 0
    first = [rows[1].offset if len(rows) > 1 else -1 for rows in read_topic(kafka, names.tagged)]
    ends = ends_of(kafka, topics)
    answers.fails, answers.drips = {answers.tagged_id(RAW[0])}, {answers.tagged_id(RAW[1])}
    places = {("tagged", number): first[number] for number in (0, 1)}
    (port,) = free_ports(1)
    with Exporter(environ, f"sqlite:///{tmp_path}/store.db", tmp_path / "export") as exporter:
        exporter.start("--metrics-port", str(port))
        await_true("the others are stored", lambda: exporter.held() == ends | places)
        waits = [f"waits at {names.tagged}[{number}]@{offset}: " for (_, number), offset in places.items()]
        await_true("told", lambda: all(place in probe(port, "/readyz")[1] for place in waits))
        assert probe(port, "/livez")[0] == 200
        for number in (0, 1):
            labels = f'cause="registry",partition="{number}",topic="{names.tagged}"'
            assert f"a3cp_export_partition_waiting{{{labels}}} 1.0" in probe(port, "/metrics")[1]
        code, said = export_once(exporter, f"sqlite:///{tmp_path}/once.db")
        assert code == 1, said
        for (_, number), offset in places.items():
            assert f"stands still: {names.tagged}[{number}]@{offset}: schema registry does not answer" in said
        assert "Traceback" not in said
        answers.fails, answers.drips = set(), set()
        await_true("all is stored", lambda: exporter.held() == ends)
        await_true("it is ready", lambda: probe(port, "/readyz")[0] == 200)
        assert export_once(exporter, f"sqlite:///{tmp_path}/once.db")[0] == 0


def test_a_batch_that_cannot_be_read(own: tuple[str, Path], tmp_path: Path) -> None:
    """Its partition waits there, in either topic; the others are stored, and all is once the batch is mended."""
    kafka, folder = own
    ensure_topics({"bootstrap.servers": kafka}, "standing")
    by_source = defaultdict(list)
    for record in processed([told(f"user-{n % 9}", n * 1000, source="ui", transcript=f"word{n}") for n in range(90)]):
        by_source[record[:2]].append(record)
    for (topic, partition), records in by_source.items():
        for batch in (records[:3], records[3:5], records[5:]):
            producer = Producer({"bootstrap.servers": kafka, "linger.ms": 300})
            for record in batch:
                producer.produce(f"standing.{topic}", record.value, b"key", partition)
            assert producer.flush(TIMEOUT_S) == 0
    ends = {source: end for source, end in ends_of(kafka, "standing").items() if end}
    places = {("tagged", 1): Damage.CONTENT, ("sessions", 0): Damage.FORMAT}
    damages = [damage(folder, f"standing.{topic}", number, 3, how) for (topic, number), how in places.items()]
    environ = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "A3CP_TOPIC_PREFIX": "standing"}
    (port,) = free_ports(1)
    with Exporter(environ, f"sqlite:///{tmp_path}/store.db", tmp_path / "export") as exporter:
        exporter.start("--metrics-port", str(port))
        stored = ends | dict.fromkeys(places, 3)
        await_true("the others are stored", lambda: exporter.held() == stored)
        waits = [f"waits at standing.{topic}[{number}]@3: the batch cannot be read" for topic, number in places]
        await_true("told", lambda: all(place in probe(port, "/readyz")[1] for place in waits))
        for topic, number in places:
            labels = f'cause="unreadable",partition="{number}",topic="standing.{topic}"'
            assert f"a3cp_export_partition_waiting{{{labels}}} 1.0" in probe(port, "/metrics")[1]
        code, said = export_once(exporter, f"sqlite:///{tmp_path}/once.db")
        assert code == 1, said
        for topic, number in places:
            assert f"stands still: standing.{topic}[{number}]@3: the batch cannot be read" in said
        assert "Traceback" not in said
        for done in damages:
            done.mend()
        await_true("all is stored", lambda: exporter.held() == ends)
        await_true("it is ready", lambda: probe(port, "/readyz")[0] == 200)
        assert export_once(exporter, f"sqlite:///{tmp_path}/once.db")[0] == 0
        assert exporter.store.reader.totals().messages == len(by_source["tagged", 0]) + len(by_source["tagged", 1])
