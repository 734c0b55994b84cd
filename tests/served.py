"""A service on a port of this machine: on a log in memory, or the real thing on a Kafka."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from processor.broker.probe import free_ports
from processor.faces.app import make_app
from processor.faces.middleware.shell import Shell
from processor.in_memory import MemoryDeployment
from processor.kafka.reading.reader import Reader
from processor.processes.service.inprocess import serving
from processor.settings.model import Settings
from processor.testing import RunningClock
from processor.wiring import profiles_of


class Served(Protocol):
    """A service, and the log that it stands on."""

    @property
    def url(self) -> str:
        """Where it is."""

    def log(self) -> bytes:
        """Return the keys and values of all records of all topics."""


class InMemory(NamedTuple):
    """A service on a log in memory."""

    url: str
    deployment: MemoryDeployment

    def log(self) -> bytes:
        """See `Served`."""
        partitions = chain.from_iterable(self.deployment.broker.topics.values())
        return b"\n".join(
            part for record in chain.from_iterable(partitions) for part in (record.raw_key, record.raw_value) if part
        )


class OnKafka(NamedTuple):
    """`a3cp serve` and `a3cp process`."""

    url: str
    kafka: str
    prefix: str
    restart: Callable[[], None]  # kills both, and starts them again where they were

    def log(self) -> bytes:
        """See `Served`."""
        parts: list[bytes] = []
        for name in ("raw", "tagged", "sessions", "state", "dlq"):
            with Reader({"bootstrap.servers": self.kafka}, f"{self.prefix}.{name}") as reader:
                parts += (part for record in reader.read_all() for part in (record.key, record.value) if part)
        return b"\n".join(parts)


@contextmanager
def served(
    folder: Path, settings: Settings | None = None, shell: Shell | None = None, **more: Any
) -> Iterator[InMemory]:
    """Serve a deployment in memory that has its store in `folder`; `more` are further fields of its context."""
    with MemoryDeployment(folder, settings=settings, clock=RunningClock()) as deployment, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        context = deployment.context(**{"profiles": profiles_of(deployment.settings, b"site key"), **more})
        with serving(make_app(context, shell), listening):
            yield InMemory(f"http://127.0.0.1:{listening.getsockname()[1]}", deployment)


@contextmanager
def served_on_kafka(kafka: str, prefix: str, folder: Path, **settings: str) -> Iterator[OnKafka]:
    """Run a processor and a service, with these settings, on the topics that begin with `prefix`."""
    from tests.broker.fleet import Fleet
    from tests.processes.services import Service

    with Fleet(kafka, prefix, folder, **settings) as fleet, ExitStack() as lives:

        def start(port: int) -> Service:
            fleet.start()
            return lives.enter_context(Service(folder, {**fleet.environ, "A3CP_SERVE_PORT": str(port)}))

        def restart() -> None:
            fleet.workers[-1].kill()
            lives.close()
            start(port)

        (port,) = free_ports(1)
        service = start(port)
        service.wait_until_ready()
        yield OnKafka(service.url, kafka, prefix, restart)
