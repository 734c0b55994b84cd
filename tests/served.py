"""A service on a port of this machine, on a log in memory."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from processor.faces.app import make_app
from processor.in_memory import MemoryDeployment
from processor.processes.inprocess import serving
from processor.testing import RunningClock


class Served(NamedTuple):
    """A service, and what it stands on."""

    url: str
    deployment: MemoryDeployment

    def log(self) -> bytes:
        """Return all that is in the topics, one record after the other."""
        return b"\n".join(
            record.raw_value or b""
            for topic in self.deployment.broker.topics.values()
            for partition in topic
            for record in partition
        )


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Serve a deployment in memory that has its store in `folder`."""
    with MemoryDeployment(folder, clock=RunningClock()) as deployment, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        with serving(make_app(deployment.context()), listening):
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", deployment)
