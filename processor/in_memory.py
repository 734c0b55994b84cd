"""A whole deployment in memory, for tests: processor, exporter, store, views and senders without a Kafka.

The rules, the codec, the worker, the store and the view are the real ones; only the log is in memory. What is sent is
processed at once, in the caller's thread.

with MemoryDeployment(tmp_path) as deployment, TestClient(make_app(deployment.context())) as http:
    http.post("/v1/sessions", json={"user_id": "elias01"})
"""

import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from prometheus_client import CollectorRegistry

from processor.client.sending import Sender
from processor.codec.codec import Codec
from processor.codec.schema import SHIPPED, Schemas
from processor.codec.traces import traceparent_of
from processor.erasing.looking import Places
from processor.errors import BrokerUnavailable
from processor.faces.context import Context
from processor.faces.corner import Corner
from processor.faces.meanwhile import Meanwhile
from processor.kafka.deadletters.latest import LatestLetters
from processor.kafka.deadletters.letter import DeadLetter
from processor.kafka.overview.overview import Member, Overview, PartitionProgress
from processor.kafka.stopped.erasure import HeldInTopic, held_in
from processor.observe.logs import make_logger
from processor.observe.outbox import OutboxMetrics, OutboxObserver
from processor.outbox.outbox import Outbox
from processor.outbox.queue import Queue
from processor.runtime.erased import ErasureMark, mark_of, request_of
from processor.runtime.ports import TopicRecord
from processor.runtime.task import Task
from processor.runtime.worker import Observer, Worker
from processor.sessions.decoding import decode
from processor.sessions.feed import OutputRecord
from processor.sessions.materializer import Materializer
from processor.sessions.ports import SESSIONS, TAGGED, Source
from processor.settings.documents import schema_text
from processor.settings.model import Settings, TopicNames
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.testing import ManualClock, MemoryBroker, MemoryLog, MemoryProducer, MemoryRecord
from processor.view.position import STATE
from processor.view.view import View

TOPICS: Final = TopicNames("raw", TAGGED, SESSIONS, STATE, "dlq")
_KINDS: Final = (STATE, SESSIONS, TAGGED)
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
        return {(kind, number): len(log) for kind in _KINDS for number, log in enumerate(self.broker.topics[kind])}

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


class MemoryTopics:
    """What an erasure reads and changes of the topics of a `deployment`: a `Log`."""

    topics: Final = TOPICS

    def __init__(self, deployment: MemoryDeployment) -> None:
        self._deployment = deployment
        self._broker = deployment.broker

    def held(self, topic: str, person: str, others: set[bytes]) -> list[HeldInTopic]:
        """See `ErasureLog`."""
        logs = self._broker.topics[topic]
        return held_in((_topic_record(topic, record) for log in logs for record in log), person, others)

    def done(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """See `ErasureLog`."""
        return {number: self._broker.committed[number] for number in partitions}

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """See `ErasureLog`."""
        return {topic: {"retention.ms": "604800000", "segment.ms": "3600000"} for topic in TOPICS}

    def forget(self, states: Mapping[int, frozenset[bytes]]) -> None:
        """See `ErasureLog`."""
        for number, keys in states.items():
            for key in keys:
                if not self._deployment.processor_is_away:
                    request = request_of(key.decode(), record_id=str(uuid4()), now_ms=self._deployment.clock.now_ms())
                    self._broker.append((TOPICS.raw, request, key, number, None))
                    continue
                for each in (key, mark_of(ErasureMark(key, self._broker.committed[number]))):
                    self._broker.append((STATE, None, each, number, None))
        self._deployment.run()


class MemoryCorner:
    """What a `deployment` tells of its log: a `Broker` of the operators' corner."""

    def __init__(self, deployment: MemoryDeployment) -> None:
        self._deployment = deployment
        self._broker = deployment.broker

    def overview(self) -> Overview:
        """See `Broker`."""
        self._deployment.ends()
        is_away = self._deployment.processor_is_away
        numbers = tuple(range(self._broker.partitions))
        progress = tuple(
            PartitionProgress(number, done, end, end - done, slot, is_away)
            for number in numbers
            for done, end in [(self._broker.committed[number], len(self._broker.topics[TOPICS.raw][number]))]
            for slot in [None if is_away else 0]
        )
        workers = () if is_away else (Member(self._deployment.settings.group_id, 0, "memory", numbers),)
        return Overview((), workers, progress, ())

    def letters(self) -> Sequence[DeadLetter]:
        """See `Broker`."""
        letters = LatestLetters()
        for record in chain.from_iterable(self._broker.topics[TOPICS.dlq]):
            letters.take(_topic_record(TOPICS.dlq, record))
        return letters.letters()

    def appended_ms(self, spans: Mapping[tuple[str, int], tuple[int, int]]) -> Mapping[tuple[str, int], int]:
        """See `Broker`."""
        topics = self._broker.topics
        return {place: topics[place[0]][place[1]][first].append_ms for place, (first, _) in spans.items()}


class Replica:
    """One replica of the service: a view that follows the log by itself, and a sender."""

    def __init__(self, deployment: MemoryDeployment) -> None:
        """Begin to follow the log of `deployment`."""
        self._deployment = deployment
        self.view: Final = View(
            deployment.codec,
            deployment.store.reader,
            partitions=deployment.broker.partitions,
            cluster_id="memory",
            now_ms=deployment.clock.now_ms,
        )
        self.outbox: Final = self._open_outbox()
        self.sender: Final = Sender(
            self.outbox or deployment.producer, deployment.schemas, source="a3cp_serve", now_ms=deployment.clock.now_ms
        )
        self.is_behind = False
        self._next: dict[Source, int] = {}
        self.view.begin(deployment.ends(), deployment.ends, starts=self._begin())

    def follow(self) -> None:
        """Read what is new in the log; nothing while the replica is told to be behind (`is_behind`)."""
        if self.is_behind:
            return
        for kind in _KINDS:
            records = [
                _topic_record(kind, record)
                for number, log in enumerate(self._deployment.broker.topics[kind])
                for record in log[self._next.get((kind, number), 0) :]
            ]
            self._next.update({(kind, record.partition): record.offset + 1 for record in records})
            if records:
                self.view.take(kind, records)
        self.view.at(self._next)

    def _begin(self) -> dict[Source, int]:
        """Set where to read from, as the service does; return where that begins which reads need."""
        wanted = self.view.starts()
        floors = {}
        for kind in (TAGGED, SESSIONS):
            for number, log in enumerate(self._deployment.broker.topics[kind]):
                since = next((record.position for record in log if record.append_ms >= wanted.since_ms), len(log))
                floor = floors[kind, number] = wanted.stored.get((kind, number), since)
                self._next[kind, number] = min(floor, since) if kind == SESSIONS else floor
        return floors

    def close(self) -> None:
        """Stop: what is not delivered stays in the outbox."""
        if self.outbox is not None:
            self.outbox.close()

    def _open_outbox(self) -> Outbox | None:
        settings, deployment = self._deployment.settings, self._deployment
        self._meanwhile: Meanwhile | None = None
        if settings.outbox is None:
            return None
        outbox = Outbox(
            lambda: deployment.producer,
            Queue(Path(settings.outbox)),
            watcher=OutboxObserver(make_logger("outbox"), OutboxMetrics(CollectorRegistry())),
            bytes_max=settings.outbox_bytes_max,
            age_ms_max=settings.outbox_age_max_ms,
            now_ms=deployment.clock.now_ms,
        )
        outbox.start()
        self._meanwhile = Meanwhile(
            self.view, outbox, codec=deployment.codec, rules=settings.rules(), now_ms=deployment.clock.now_ms
        )
        return outbox

    def context(self, **more: Any) -> Context:
        """Return what routes work with; `more` are further fields of it."""
        deployment = self._deployment
        outbox = deployment.settings.outbox
        given = {
            "view": self.view,
            "sender": self.sender,
            "settings": deployment.settings,
            "now_ms": deployment.clock.now_ms,
            "store": deployment.store.reader,
            "meanwhile": self._meanwhile,
            "site_key": deployment.site_key,
            "corner": Corner(
                MemoryCorner(deployment),
                settings=deployment.settings,
                topics=TOPICS,
                store=deployment.store.reader,
                outbox=None if self.outbox is None else self.outbox.standing,
                positions=lambda: self._next,
                ends=deployment.ends,
                away=lambda: (),
                now_ms=deployment.clock.now_ms,
                fresh_s=0,
            ),
            "places": Places(
                MemoryTopics(deployment), deployment.store, more.get("profiles"), Path(outbox) if outbox else None
            ),
        }
        return Context(**{**given, **more})


class _Silent:
    """Whoever watches the worker, and says nothing."""

    def _nothing(self, *_: Any, **__: Any) -> None:
        """Note nothing."""

    beat = assigned = revoked = restoring = holds = begun = committed = lagging = failed = waiting = _nothing


def _topic_record(kind: str, record: MemoryRecord) -> TopicRecord:
    number, offset, key, value, append_ms, headers = record
    return TopicRecord(kind, number, offset, append_ms, key, value, headers or ())
