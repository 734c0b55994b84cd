"""The service within a program that uses it: on a Unix socket that only this user may open, so on no port.

`Sessions("kafka://…")` and `Sessions("memory://")` come here. They ask it as they ask a service elsewhere: one set of
rules, answers and errors for all.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import uvicorn
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from processor.client.connecting import connected
from processor.client.service.exchange import Service
from processor.errors import Fatal
from processor.faces.app import make_app
from processor.faces.middleware.shell import Shell
from processor.faces.replica.context import Context
from processor.in_memory import MemoryDeployment
from processor.observe.logs import make_logger
from processor.observe.serving import ServeMetrics
from processor.processes.service.replica import Replica
from processor.processes.service.sockets import SERVER
from processor.profiles import Pseudonyms, open_profiles
from processor.settings.model import Settings
from processor.testing import RunningClock

App: TypeAlias = Callable[..., Any]
"""An ASGI application."""

_LOOK_EVERY_S: Final = 0.01
_STOPS_WITHIN_S: Final = 5


class InProcess:
    """A service in this process, from its first `start` to `stop`; for one caller at a time."""

    def __init__(self, make: Callable[[], AbstractContextManager[App]]) -> None:
        """`make` makes the application; what it needs lives until the service stops."""
        self._make = make
        self._lives = ExitStack()
        self._service: Service | None = None

    def start(self) -> Service:
        """Return the service once it answers."""
        if self._service is not None:
            return self._service
        with ExitStack() as lives:
            app = lives.enter_context(self._make())
            path = str(Path(lives.enter_context(TemporaryDirectory(prefix="a3cp-"))) / "http")
            listening = lives.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(path)
            lives.enter_context(serving(app, listening))
            self._lives = lives.pop_all()
        self._service = Service("http://localhost", {}, path)
        return self._service

    def stop(self) -> None:
        """Stop it."""
        self._service = None
        self._lives.close()


def on_kafka(servers: str | None) -> InProcess:
    """Return a service on a Kafka: `servers`, or that of the settings. While that is away, it says so.

    Raises:
        UsageError: a setting is wrong, or no Kafka is named and the embedded one does not run.
    """
    settings = connected(None, servers, None, None)
    return InProcess(lambda: _replica(settings))


@contextmanager
def _replica(settings: Settings) -> Iterator[App]:
    log, metrics = _log(), ServeMetrics(CollectorRegistry())

    def ready(context: Context) -> None:
        app.state.context = context

    replica = Replica(settings, log, metrics, bundles_root=None, ready=ready)
    app = make_app(None, Shell(log=log, metrics=metrics, troubles=replica.troubles, incomplete=replica.incomplete))
    replica.start()
    try:
        yield app
    finally:
        replica.stop(_STOPS_WITHIN_S)


def in_memory() -> InProcess:
    """Return a service on a log in memory, with the real rules; what it holds is gone when it stops."""
    return InProcess(_memory)


@contextmanager
def _memory() -> Iterator[App]:
    with (
        TemporaryDirectory(prefix="a3cp-") as folder,
        MemoryDeployment(Path(folder), clock=RunningClock()) as deployment,
    ):
        profiles = open_profiles(f"sqlite:///{folder}/profiles.db", Pseudonyms(token_bytes()), None)
        with closing(profiles):
            yield make_app(deployment.context(profiles=profiles), Shell(log=_log()))


def _log() -> FilteringBoundLogger:
    """Return the log of a service whose requests are nobody else's business."""
    return make_logger("serve", level="warning")


@contextmanager
def serving(app: App, listening: socket.socket) -> Iterator[None]:
    """Serve `app` in a thread."""
    config = uvicorn.Config(app, timeout_graceful_shutdown=_STOPS_WITHIN_S, **SERVER)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), name="a3cp-service", daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(_LOOK_EVERY_S)
            if not thread.is_alive():
                raise Fatal("the service in this process did not start")
        yield
    finally:
        server.should_exit = True
        thread.join()
