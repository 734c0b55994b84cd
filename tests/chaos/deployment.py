"""What runs: Kafka, workers, an exporter, two replicas of the service, and those who use it all."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from processor import broker
from processor.broker.probe import free_ports
from processor.kafka.topics.admin import ensure_topics
from tests.broker.audit import Broken
from tests.broker.exporters import Exporter
from tests.broker.fleet import Fleet, Load, Watcher, Worker
from tests.broker.services import Service
from tests.chaos.clock import Clock
from tests.chaos.customers import Carer, Customer, Speaker
from tests.chaos.disk import Disk

PREFIX: Final = "chaos"
WORKERS: Final = 2
SERVICES: Final = 2
CARERS: Final = 3
SPEAKERS: Final = 4
_ASK_TIMEOUT_S: Final = 5.0
SESSION_TIMEOUT_MS: Final = 6_000  # the least that a Kafka allows by default


class Deployment:
    """All that runs, and what keeps it running: what has ended is started again, as an orchestrator does."""

    def __init__(self, seed: int, nodes: int, folder: Path, stack: ExitStack) -> None:
        self.kafka: Final = folder / "kafka"
        stack.callback(broker.down, self.kafka)
        info = broker.up(None, self.kafka, nodes=nodes)
        self.bootstrap: Final = info.bootstrap
        self.port: Final = int(info.bootstrap.split(",")[0].rpartition(":")[2])
        conf = {"bootstrap.servers": info.bootstrap}
        ensure_topics(conf, PREFIX, partitions=4, replicas=nodes)
        self.admin: Final = AdminClient({**conf, "log_level": 0})
        self.disk: Final = Disk(folder / "disk")
        stack.callback(self.disk.unmount)
        self.clock: Final = Clock(folder / "clock")
        self.fleet: Final = stack.enter_context(
            Fleet(info.bootstrap, PREFIX, folder, session_timeout_ms=SESSION_TIMEOUT_MS)
        )
        self._service_environ = dict(self.fleet.environ)
        self.fleet.environ.update(self.clock.environ)
        place = self.disk.place
        self.exporter: Final = stack.enter_context(
            Exporter(self.fleet.environ, f"sqlite:///{place / 'store.db'}", folder / "export", place)
        )
        self.tagged: Final = stack.enter_context(Watcher(info.bootstrap, self.fleet.names.tagged))
        self.load: Final = Load(info.bootstrap, self.fleet.names.raw, seed=seed, per_pause=3)
        self.ports: Final = free_ports(SERVICES)
        self.carers: Final = [Carer(f"carer-{n}", self._from(n)) for n in range(CARERS)]
        self.speakers: Final = [Speaker(f"speaker-{n}", self._from(n)) for n in range(SPEAKERS)]
        self.workers: list[Worker] = []
        self.services: dict[int, Service] = {}  # by port
        stack.callback(self._kill_services)
        self.keep_running()

    @property
    def customers(self) -> list[Customer]:
        """All who use the service."""
        return [*self.carers, *self.speakers]

    def _from(self, number: int) -> list[int]:
        """Return the services' ports, another one first for each customer."""
        first = number % SERVICES
        return [*self.ports[first:], *self.ports[:first]]

    def keep_running(self) -> None:
        """Start what is missing.

        A worker that ends by itself says that it cannot go on, which nothing here may bring about.
        """
        for worker in self.workers:
            if (worker.process.poll() or 0) > 0:
                raise Broken(f"a worker cannot go on: {worker.log()[-1]}")
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]
        while len(self.workers) < WORKERS:
            self.workers.append(self.fleet.start())
        if self.exporter.process is not None and self.exporter.process.poll() is not None:
            self.exporter.process = None
        self.exporter.start()
        for number, port in enumerate(self.ports):
            if port not in self.services or self.services[port].process.poll() is not None:
                self.services[port] = self._service(number, port)

    def _kill_services(self) -> None:
        for service in self.services.values():
            service.kill()

    def calm_down(self) -> None:
        """Stop all workers; nobody needs their logs."""
        for worker in self.fleet.workers:
            worker.kill()
        self.fleet.workers.clear()

    def _service(self, number: int, port: int) -> Service:
        folder = self.fleet.folder
        environ = {
            **self._service_environ,
            "A3CP_STORE_URL": f"sqlite:///{folder / f'service-{number}.db'}",
            "A3CP_OUTBOX": str(self.disk.place / f"outbox-{number}.db"),
        }
        return Service(environ, folder / f"service-{number}.log", ["--port", str(port)])

    def outbox_records(self) -> int:
        """Return how many records wait in the outboxes."""
        found = 0
        for service in self.services.values():
            lines = service.http.get("/metrics").text.splitlines()
            found += sum(int(float(line.split()[1])) for line in lines if line.startswith("a3cp_outbox_records "))
        return found

    def has_all_copies(self) -> bool:
        """Whether every copy of every partition is complete; unknown counts as no."""
        try:
            topics = self.admin.list_topics(timeout=_ASK_TIMEOUT_S).topics.values()
        except KafkaException:
            return False
        return all(set(each.isrs) == set(each.replicas) for topic in topics for each in topic.partitions.values())
