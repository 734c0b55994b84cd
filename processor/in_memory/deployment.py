"""Processor, exporter, store and replicas of the service over one log in memory."""

import secrets
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from processor.client.sending import Sender
from processor.codec.codec import Codec
from processor.codec.schema import SHIPPED, Schemas
from processor.codec.traces import traceparent_of
from processor.errors import BrokerUnavailable
from processor.faces.replica.context import Context
from processor.in_memory.log import KINDS, TOPICS
from processor.in_memory.replica import Replica
from processor.runtime.task import Task
from processor.runtime.worker import Observer, Worker
from processor.sessions.ports import SESSIONS, TAGGED, Source
from processor.sessions.projection.decoding import decode
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.settings.documents import schema_text
from processor.settings.model import Settings
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.testing import ManualClock, MemoryBroker, MemoryLog, MemoryProducer
from processor.view.position import STATE
from processor.view.view import View

_RECORD_BYTES_MAX: Final = 2 << 20
_TURNS_MAX: Final = 1_000


class MemoryDeployment:
    """One processor, one exporter and any number of replicas of the service over one log in memory.

    `replica()` makes a further replica. Everything a replica has (`view`, `sender`, `context`) the deployment
    has for its own, first one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Settings | None = None,
        partitions: int = 4,
        clock: ManualClock | None = None,
        observer: Observer | None = None,
        schemas: Schemas | None = None,
    ) -> None:
        """Begin with an empty log and an empty store in `folder`; the clock stands still when none is given.

        `observer`: is told how the processor is doing. Without `schemas`, those that ship are known.
        """
        place = {"store_url": f"sqlite:///{folder / 'a3cp.db'}"}
        given = settings or Settings()
        self.settings: Final = given if "store_url" in given.model_fields_set else given.model_copy(update=place)
        self.schemas: Final = schemas or Schemas({name: schema_text(name) for name in SHIPPED})
        self.codec: Final = Codec(self.schemas, strict=self.settings.strict)
        self.clock: Final = clock or ManualClock()
        self.broker: Final = MemoryBroker(self.clock, partitions=partitions)
        self.store: Final[SqlStore] = open_store(self.settings.store_url)
        self.folder: Final = folder
        self.site_key: Final = secrets.token_bytes(32)
        self.producer: Final = MemoryProducer(self.broker, TOPICS.raw, then=self.run)
        self._materializer = Materializer(self.store.writer, partial(decode, self.codec))
        self._lock = threading.RLock()
        self._worker: Worker | None = None
        self._observer: Observer = observer or _Silent()
        self._log: MemoryLog | None = None
        self._processor_is_away = False
        self._replicas: list[Replica] = []
        self._first = self.replica()

    @property
    def view(self) -> View:
        """The view of the first replica."""
        return self._first.view

    @property
    def sender(self) -> Sender:
        """The sender of the first replica."""
        return self._first.sender

    def context(self, **more: Any) -> Context:
        """Return what the routes of the first replica work with; `more` are further fields of it."""
        return self._first.context(**more)

    def replica(self) -> "Replica":
        """Return a further replica of the service, with a view of its own, caught up."""
        with self._lock:
            replica = Replica(self)
            self._replicas.append(replica)
            replica.follow()
            return replica

    def restarted(self) -> "Replica":
        """Kill the first replica and return the one that takes its place: all that it knew, it reads again."""
        with self._lock:
            self._replicas.remove(self._first)
            self._first.close()
            self._first = self.replica()
            return self._first

    @property
    def broker_is_away(self) -> bool:
        """Whether no broker answers: nothing can be sent, asked or followed."""
        return self.producer.is_away

    @broker_is_away.setter
    def broker_is_away(self, is_away: bool) -> None:
        self.producer.is_away = is_away
        self.run()

    @property
    def processor_is_away(self) -> bool:
        """Whether no processor runs. To set it kills the one that does; to unset it starts another, which restores."""
        return self._processor_is_away

    @processor_is_away.setter
    def processor_is_away(self, is_away: bool) -> None:
        with self._lock:
            self._processor_is_away = is_away
            if is_away and self._log is not None:
                self.broker.remove(self._log)
                self._log = self._worker = None
        self.run()

    def advance(self, ms: int) -> None:
        """Let time pass, and the processor and the replicas see it."""
        with self._lock:
            self.clock.time_ms += ms
            self.run()
            if self._worker is not None and not self.broker_is_away:
                for _ in range(3):  # One turn asks the time, one ends what has been silent.
                    self._worker.step()
            self.run()

    def run(self) -> None:
        """Let the processor process all there is, and the replicas read what comes of it; if they are not away."""
        with self._lock:
            if self.broker_is_away:
                return
            if not self._processor_is_away:
                self._process()
            for replica in self._replicas:
                replica.follow()

    def export(self) -> None:
        """Let the exporter store all there is."""
        with self._lock:
            stored = self.store.writer.offsets()
            records = self.outputs(stored)
            moved = {
                source: (stored.get(source), end)
                for source, end in self._ends().items()
                if source[0] != STATE and end > stored.get(source, 0)
            }
            if moved:
                self._materializer.apply(records, moved)
            for replica in self._replicas:
                replica.view.trim()

    def outputs(self, stored: Mapping[Source, int]) -> list[OutputRecord]:
        """Return the records of the output topics, from these offsets on."""
        return [
            OutputRecord(
                kind,
                record.number,
                record.position,
                record.append_ms,
                record.raw_value,
                traceparent_of(record.raw_headers),
            )
            for kind in (TAGGED, SESSIONS)
            for log in self.broker.topics[kind]
            for record in log
            if record.position >= stored.get((kind, record.number), 0)
        ]

    def ends(self) -> Mapping[Source, int]:
        """Return where the output topics end, as the broker tells it.

        Raises:
            BrokerUnavailable: it is away.
        """
        if self.broker_is_away:
            raise BrokerUnavailable("no broker answers")
        return self._ends()

    def close(self) -> None:
        """Let go of the store, and of outboxes."""
        for replica in self._replicas:
            replica.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ends(self) -> dict[Source, int]:
        return {(kind, number): len(log) for kind in KINDS for number, log in enumerate(self.broker.topics[kind])}

    def _process(self) -> None:
        if self._worker is None:
            self._log = MemoryLog(self.broker, raw=TOPICS.raw, state=TOPICS.state)
            self._worker = Worker(
                self._log,
                self._task,
                self.clock,
                self._observer,
                batch_records_max=10_000,
                punctuate_ms=self.settings.punctuate_ms,
                sleep=lambda _: None,
            )
        raw, committed = self.broker.topics[TOPICS.raw], self.broker.committed
        for _ in range(_TURNS_MAX):
            if all(committed[number] == len(log) for number, log in enumerate(raw)):
                return
            self._worker.step()
        raise AssertionError("the processor does not come to an end")

    def _task(self, partition: int) -> Task:
        return Task(
            partition,
            self.broker.partitions,
            codec=self.codec,
            rules=self.settings.rules(),
            topics=TOPICS,
            record_bytes_max=_RECORD_BYTES_MAX,
        )


class _Silent:
    """Whoever watches the worker, and says nothing."""

    def _nothing(self, *_: Any, **__: Any) -> None:
        """Note nothing."""

    beat = assigned = revoked = restoring = holds = begun = committed = lagging = failed = waiting = _nothing
