"""A replica of the service over a log in memory."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry

from processor.client.sending import Sender
from processor.erasing.looking import Places
from processor.faces.replica.context import Context
from processor.faces.replica.corner import Corner
from processor.faces.replica.meanwhile import Meanwhile
from processor.in_memory.corner import MemoryCorner
from processor.in_memory.erasing import MemoryTopics
from processor.in_memory.log import KINDS, TOPICS, topic_record
from processor.observe.logs import make_logger
from processor.observe.outbox import OutboxMetrics, OutboxObserver
from processor.outbox.outbox import Outbox
from processor.outbox.queue import Queue
from processor.sessions.ports import SESSIONS, TAGGED, Source
from processor.view.view import View

if TYPE_CHECKING:
    from processor.in_memory.deployment import MemoryDeployment


class Replica:
    """One replica of the service: a view that follows the log by itself, and a sender."""

    def __init__(self, deployment: "MemoryDeployment") -> None:
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
        for kind in KINDS:
            records = [
                topic_record(kind, record)
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
