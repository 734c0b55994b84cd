"""Hooks over a log in memory, with receivers that are real."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from processor.codec.traces import traceparent_of
from processor.errors import WebhookFailed
from processor.hooks.due import Delivery, hooked
from processor.in_memory import MemoryDeployment
from processor.observe.health import Health
from processor.observe.hooks import HooksMetrics, HooksObserver
from processor.observe.logs import make_logger
from processor.processes.hooks.hooking import Hooks
from processor.processes.hooks.telling import Telling
from processor.runtime.ports import Assigned, Revoked
from processor.sessions.ports import SESSIONS, TAGGED, Source
from processor.sessions.projection.feed import OutputRecord, Standstill
from processor.settings.model import Settings
from processor.settings.templates import Template
from tests.hooks.receiver import SECRET, Receiver
from tests.patience import PATIENCE_S

DUE_MAX = 100


def hook_of(receiver: Receiver, **fields: Any) -> dict[str, Any]:
    return {"url": receiver.url, "secret": "SECRET", "timeout_ms": 20_000, "patience_ms": 20_000, **fields}


def deployment_with(folder: Path, hooks: Mapping[str, Mapping[str, Any]]) -> MemoryDeployment:
    """Return a deployment whose template `play` has these hooks."""
    templates = {"play": Template.model_validate({"hooks": hooks})}
    return MemoryDeployment(folder, settings=Settings(store_url=f"sqlite:///{folder / 'a3cp.db'}", templates=templates))


class LogFeed:
    """The `Feed` over the log of a deployment; what it commits outlives it."""

    def __init__(self, deployment: MemoryDeployment, committed: dict[Source, int], chunk: int = 10_000) -> None:
        self._topics = deployment.broker.topics
        self._sources = [
            (kind, number) for kind in (SESSIONS, TAGGED) for number in range(deployment.broker.partitions)
        ]
        self._committed = committed
        self._chunk = chunk
        self._positions: dict[Source, int] = {}
        self.held: set[Source] = set()
        self.standing: list[Standstill] = []
        self._changes: list[Assigned | Revoked] = []
        self.assign_anew()

    def assign_anew(self) -> None:
        """Give the member all partitions, as after another one has left."""
        everything = frozenset(number for _, number in self._sources)
        self._changes = [Revoked(everything, lost=True), Assigned(everything)]

    def poll(self, records_max: int, timeout_s: float) -> Sequence[OutputRecord]:
        del records_max
        records = []
        for source in self._positions.keys() - self.held:
            kind, number = source
            for record in self._topics[kind][number][self._positions[source] :][: self._chunk]:
                trace = traceparent_of(record.raw_headers)
                records.append(OutputRecord(kind, number, record.position, record.append_ms, record.raw_value, trace))
                self._positions[source] = record.position + 1
        if not records:
            time.sleep(timeout_s / 10)
        return records

    def assignments(self) -> Sequence[Assigned | Revoked]:
        changes, self._changes = self._changes, []
        return changes

    def begin(self, starts: Mapping[Source, int]) -> None:
        self._positions = {source: starts.get(source, 0) for source in self._sources}

    def positions(self) -> Mapping[Source, int]:
        return self._positions

    def hold_back(self, source: Source, offset: int) -> None:
        self._positions[source] = offset
        self.held.add(source)

    def go_on(self, source: Source) -> None:
        self.held.discard(source)

    def ends(self) -> Mapping[Source, int]:
        return {(kind, number): len(self._topics[kind][number]) for kind, number in self._sources}

    def stored(self, offsets: Mapping[Source, int]) -> None:
        self._committed.update(offsets)

    def close(self) -> None:
        pass

    def unreadable(self) -> Sequence[Standstill]:
        return self.standing

    identities = read = None  # Nobody asks here.


class Running:
    """A process of hooks, while it runs."""

    def __init__(self, deployment: MemoryDeployment, committed: dict[Source, int], chunk: int) -> None:
        self.registry, self.health = CollectorRegistry(), Health()
        self.dead: list[tuple[Delivery, bytes, WebhookFailed]] = []
        self.stopped = threading.Event()
        hooks = hooked(deployment.settings.templates)
        log = make_logger("hooks", log_format="json")
        self._hooks = Hooks(
            hooks,
            Telling(hooks, dict.fromkeys(hooks, SECRET), deployment.context, self.stopped),
            view=lambda: deployment.view,
            bury=lambda *letter: self.dead.append(letter),
            observer=HooksObserver(HooksMetrics(self.registry), self.health, log, hooks),
            stopped=self.stopped,
            codec=deployment.codec,
            committed=lambda _: dict(committed),
            due_max=DUE_MAX,
        )
        self.feed = LogFeed(deployment, committed, chunk)
        self._thread = threading.Thread(target=self._hooks.run, args=(lambda: self.feed,))
        self._thread.start()

    def stop(self) -> None:
        self.stopped.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@contextmanager
def running(
    deployment: MemoryDeployment, committed: dict[Source, int] | None = None, *, chunk: int = 10_000
) -> Iterator[Running]:
    """Run a process of hooks; `committed` is how far the group has come."""
    process = Running(deployment, {} if committed is None else committed, chunk)
    try:
        yield process
    finally:
        process.stop()
