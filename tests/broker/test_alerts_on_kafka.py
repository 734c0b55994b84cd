"""Each alert is seen in a real Prometheus when its fault is really there, and its runbook's commands are typed.

The rules are those of ops/prometheus with shorter times: an alert that waits for half an hour would have no test.
"""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor import broker
from processor.broker.probe import free_ports
from processor.kafka.topics.admin import ensure_topics
from tests.broker.audit import read_topic
from tests.broker.fleet import BASE_MS, TIMEOUT_S, Fleet, Worker, await_true, message
from tests.broker.services import Service
from tests.disk import small_disk
from tests.hooks.receiver import SECRET, Answers, Receiver

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.broker, pytest.mark.long, pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not there"),
]  # fmt: skip

OPS = Path(__file__).parents[2] / "ops"
PARTS = ("process", "canary", "export", "serve", "hooks")
SHORTER = {
    r"for: \w+": "for: 0s",
    r"\[5m:15s\]": "[5s:1s]",
    r"\[30m\]": "[5s]",
    r"> 300$": "> 5",
    r"(a3cp_canary_waiting_seconds\)) > 30": r"\1 > 5",
    r"(outbox_oldest_seconds\)) > 60": r"\1 > 3",
}  # what is shorter here


class Process(Worker):
    """Any command of `a3cp` that stays."""

    def __init__(self, command: str, environ: dict[str, str], log_file: Path, *arguments: str) -> None:
        self.command = command
        super().__init__(environ, log_file, arguments)


class Scene:
    """A deployment whose parts a test starts, and a Prometheus that asks them each second."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.ports = dict(zip(PARTS, free_ports(len(PARTS)), strict=True))
        (port,) = free_ports(1)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_S)
        rules = (OPS / "prometheus" / "alerts.yml").read_text("utf-8")
        for long, short in SHORTER.items():
            rules, count = re.subn(long, short, rules, flags=re.MULTILINE)
            assert count, long
        (fleet.folder / "alerts.yml").write_text(rules, "utf-8")
        targets = [f"127.0.0.1:{port}" for port in self.ports.values()]
        told = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [{"job_name": "a3cp", "static_configs": [{"targets": targets}]}],
        }
        (fleet.folder / "prometheus.yml").write_text(json.dumps(told), "utf-8")
        assert PROMETHEUS is not None
        with (fleet.folder / "prometheus.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    PROMETHEUS, f"--config.file={fleet.folder / 'prometheus.yml'}",
                    f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={fleet.folder / 'tsdb'}",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def start(self, command: str, *arguments: str, **environ: str) -> Process:
        """Start a part, and wait until Prometheus has asked it."""
        port = self.ports[command]
        log_file = self.fleet.folder / f"{command}-{len(self.fleet.workers)}.log"
        process = Process(
            command, {**self.fleet.environ, "A3CP_METRICS_PORT": str(port), **environ}, log_file, *arguments
        )
        self.fleet.workers.append(process)
        await_true(f"{command} is asked", lambda: self.is_up(port))
        return process

    def is_up(self, port: int) -> bool:
        """Whether Prometheus has had an answer from there."""
        query = {"query": f'up{{instance="127.0.0.1:{port}"}} == 1'}
        try:
            return bool(self.http.get("/api/v1/query", params=query).json()["data"]["result"])
        except (httpx.HTTPError, ValueError):
            return False  # It is starting.

    def firing(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that fire."""
        try:
            alerts = self.http.get("/api/v1/alerts").json()["data"]["alerts"]
        except (httpx.HTTPError, ValueError):
            return []  # It is starting.
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    def sees(self, name: str, **labels: str) -> None:
        """Wait until the alert fires, and type what its runbook says."""
        wanted = {"alertname": name, **labels}
        await_true(f"{name} fires", lambda: any(wanted.items() <= one.items() for one in self.firing()))
        look, _ = runbook(name)
        for block in re.findall(r"```sh\n(.*?)```", look, re.DOTALL):
            for line in block.splitlines():
                self.type(line.partition("#")[0])

    def does(self, name: str, **words: str) -> None:
        """Type what the alert's runbook says is to be done, with `words` in place of those in capitals."""
        _, do = runbook(name)
        for line in re.findall(r"`(a3cp [^`]+)`", do):
            self.type(re.sub(r"\b[A-Z]+\b", lambda found: words[found[0]], line))

    def type(self, line: str) -> None:
        """Type a command, and see that it is one."""
        code, said = self.fleet.a3cp(*line.split()[1:])
        assert code in {0, 1}, said
        assert "Traceback" not in said

    def is_quiet(self, name: str) -> None:
        """Wait until the alert does not fire."""
        await_true(f"{name} rests", lambda: name not in {one["alertname"] for one in self.firing()})

    def send(self, value: bytes, user: str = "maria", partition: int | None = None) -> int:
        """Append a record; return its partition."""
        producer = Producer({"bootstrap.servers": self.fleet.bootstrap})
        places: list[int] = []
        producer.produce(
            self.fleet.names.raw, value, user, -1 if partition is None else partition,
            on_delivery=lambda _, found: places.append(found.partition() or 0),
        )  # fmt: skip
        assert producer.flush(TIMEOUT_S) == 0
        return places[0]


def runbook(name: str) -> tuple[str, str]:
    """Return what a runbook says is to be looked at, and what is to be done."""
    look, _, do = (OPS / "runbooks" / f"{name}.md").read_text("utf-8").split("## Look")[1].partition("## Do")
    return look, do


@pytest.fixture
def scene(kafka: str, topics: str, tmp_path: Path) -> Iterator[Scene]:
    with Fleet(kafka, topics, tmp_path) as fleet:
        fleet.environ["A3CP_STORE_URL"] = f"sqlite:///{tmp_path / 'a3cp.db'}"  # for what runbooks say
        made = Scene(fleet)
        yield made
        made.process.kill()
        made.process.wait()
        made.http.close()


@contextmanager
def open_transaction(scene: Scene, topic: str, partition: int) -> Iterator[None]:
    """A producer has sent something, and neither commits nor aborts."""
    conf = {"transactional.id": f"{topic}-{time.monotonic_ns()}", "transaction.timeout.ms": 600_000}
    producer = Producer({"bootstrap.servers": scene.fleet.bootstrap, **conf})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(topic, b"{}", b"nobody", partition)
    producer.flush(TIMEOUT_S)
    yield
    producer.abort_transaction(TIMEOUT_S)


def test_a_processor_that_is_stopped(scene: Scene) -> None:
    """The canary waits."""
    worker = scene.start("process")
    scene.start("canary", "--every", "0.5")
    scene.is_quiet("A3CPCanaryLate")
    worker.signal(signal.SIGSTOP)
    scene.sees("A3CPCanaryLate")
    worker.signal(signal.SIGCONT)
    scene.is_quiet("A3CPCanaryLate")


def test_an_open_transaction(scene: Scene) -> None:
    """It hides messages, so there is no progress either; both end with it."""
    scene.start("process")
    partition = scene.send(message("maria", BASE_MS))
    await_true("it is tagged", lambda: any(read_topic(scene.fleet.bootstrap, scene.fleet.names.tagged)))
    with open_transaction(scene, scene.fleet.names.raw, partition):
        scene.send(message("maria", BASE_MS + 1))
        scene.sees("A3CPOpenTransaction", partition=str(partition))
        scene.sees("A3CPNoProgress", partition=str(partition))
    scene.is_quiet("A3CPOpenTransaction")
    scene.is_quiet("A3CPNoProgress")


def test_a_registry_that_does_not_answer(scene: Scene) -> None:
    """The partition of the message that needs it stands still."""
    (nowhere,) = free_ports(1)
    scene.start("process", SCHEMA_REGISTRY_URL=f"http://127.0.0.1:{nowhere}")
    scene.send(b"\x00\x00\x00\x00\x07...", partition=1)
    scene.sees("A3CPPartitionWaiting", partition="1", cause="registry")


def test_messages_that_were_removed_unread(scene: Scene) -> None:
    """The worker that comes back tells it."""
    worker = scene.start("process")
    partition = scene.send(message("maria", BASE_MS))
    scene.fleet.await_processed()
    assert worker.stop() == 0
    scene.send(message("maria", BASE_MS + 1))
    place = TopicPartition(scene.fleet.names.raw, partition, 2)
    admin = AdminClient({"bootstrap.servers": scene.fleet.bootstrap})  # A future of one that is gone never comes.
    admin.delete_records([place])[place].result(TIMEOUT_S)
    scene.send(message("maria", BASE_MS + 2))
    scene.start("process")
    scene.sees("A3CPInputLost", partition=str(partition), alarm="lost_input")


def test_an_exporter_that_is_gone(scene: Scene) -> None:
    """Its metric is gone with it."""
    exporter = scene.start("export", "--follow")
    scene.is_quiet("A3CPExporterBehind")
    exporter.kill()
    scene.sees("A3CPExporterBehind")


def test_an_exporter_that_cannot_store(scene: Scene, tmp_path: Path) -> None:
    """The disk of its store is full: it is behind, until there is room."""
    with small_disk(tmp_path / "disk") as disk:
        scene.start("export", "--follow", A3CP_STORE_URL=f"sqlite:///{disk.place / 'a3cp.db'}")
        scene.start("process")
        scene.is_quiet("A3CPExporterBehind")
        other = disk.place / "other"
        other.write_bytes(bytes(shutil.disk_usage(disk.place).free))
        for number in range(200):
            scene.send(message("maria", BASE_MS + number, number=number))
        scene.sees("A3CPExporterBehind")
        disk.change("size=100m")
        scene.is_quiet("A3CPExporterBehind")


def test_a_service_whose_kafka_goes(scene: Scene, tmp_path: Path) -> None:
    """It keeps what it is told."""
    own = tmp_path / "kafka"
    bootstrap = broker.up(None, own).bootstrap
    try:
        ensure_topics({"bootstrap.servers": bootstrap}, "a3cp", partitions=1)
        apart = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "A3CP_OUTBOX": str(tmp_path / "outbox.db")}
        environ = {**scene.fleet.environ, **apart, "A3CP_TOPIC_PREFIX": "a3cp"}
        service = Service(environ, tmp_path / "serve.log", ["--port", str(scene.ports["serve"])])
        scene.fleet.workers.append(service)
        http = service.ready()
    finally:
        broker.down(own)
    said = {"user_id": "maria", "timestamp": "2026-01-01T00:00:00.000Z", "source": "ui"}
    await_true("it is told", lambda: http.post("/v1/messages", json=said).status_code == 202)
    scene.sees("A3CPOutboxNotEmpty")


def test_a_disk_that_is_nearly_full(scene: Scene, tmp_path: Path) -> None:
    """The exporter's root is on a disk of its own."""
    with small_disk(tmp_path / "disk") as disk:
        scene.start("export", "--follow", "--to", str(disk.place / "bundles"))
        scene.is_quiet("A3CPDiskFull")
        (disk.place / "other").write_bytes(bytes(1_000_000))
        scene.sees("A3CPDiskFull", place="bundles")
        scene.does("A3CPDiskFull")


def test_an_exporter_that_cannot_seal(scene: Scene, tmp_path: Path) -> None:
    """A file is where its seals belong; it seals once the file is gone."""
    root = tmp_path / "bundles"
    root.mkdir()
    (root / "seals").touch()
    scene.start("process")
    scene.send(message("maria", BASE_MS))
    exporter = scene.start("export", "--follow", "--to", str(root), "--seal")
    scene.sees("A3CPNotSealed")
    (root / "seals").unlink()
    scene.is_quiet("A3CPNotSealed")
    await_true("there is a bundle", lambda: any(root.glob("*/sess_*/manifest.json")))
    exporter.stop()  # It seals as well.
    scene.does("A3CPNotSealed", ROOT=str(root))


def test_a_restore_that_does_not_end(scene: Scene) -> None:
    """A state topic with an open transaction is not read to its end."""
    with open_transaction(scene, scene.fleet.names.state, 3):
        scene.start("process")
        scene.sees("A3CPRestoreSlow", partition="3")
    scene.is_quiet("A3CPRestoreSlow")


def test_a_record_that_is_no_message(scene: Scene) -> None:
    """It is a dead letter."""
    scene.start("process")
    scene.is_quiet("A3CPDeadLetters")
    scene.send(b"{broken")
    scene.sees("A3CPDeadLetters", stage="decode")
    scene.does("A3CPDeadLetters")


def test_a_receiver_that_refuses(scene: Scene, tmp_path: Path) -> None:
    """What it was told is a dead letter too."""
    with Receiver(lambda _: Answers(404)) as receiver:
        hook = {"url": receiver.url, "secret": "HOOK_SECRET", "at": ["start"], "patience_ms": 0}
        (tmp_path / "templates.json").write_text(json.dumps({"play": {"title": "Play", "hooks": {"all": hook}}}))
        scene.fleet.environ.update(HOOK_SECRET=SECRET, A3CP_TEMPLATES_FILE=str(tmp_path / "templates.json"))
        scene.start("process")
        scene.start("hooks")
        scene.is_quiet("A3CPHooksRefused")
        code, said = scene.fleet.a3cp("session", "start", "maria", "--template", "play")
        assert code == 0, said
        scene.sees("A3CPHooksRefused", template="play", hook="all")
        receiver.answer = lambda _: Answers(200)
        told = len(receiver.came)
        scene.does("A3CPHooksRefused")
        assert len(receiver.came) == told + 1


def test_a_clock_that_is_ahead(scene: Scene) -> None:
    """All its messages are from tomorrow."""
    assert scene.fleet.a3cp("export")[0] == 0  # The runbook looks into a store.
    scene.start("process")
    scene.is_quiet("A3CPClockSkew")
    tomorrow_ms = int(time.time() * 1000) + 86_400_000
    for number in range(5):
        scene.send(message("maria", tomorrow_ms + number, number=number))
        time.sleep(1)  # A rate needs several looks.
    scene.sees("A3CPClockSkew")
