"""Tells metrics, health and the log what an exporter that follows is doing."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from processor.errors import A3CPError, StoreUnavailable
from processor.observe.health import Health
from processor.observe.metrics import ExportMetrics
from processor.runtime.ports import Cause
from processor.sessions.forms.shapes import Seal
from processor.sessions.model import SessionRow
from processor.sessions.ports import Place
from processor.sessions.projection.feed import Standstill
from processor.sessions.projection.progress import ExportProgress

if TYPE_CHECKING:
    from processor.observe.spans import Spans  # Of an extra that few have.


class ExportObserver:
    """Tells how one exporter does; used by its thread."""

    def __init__(
        self,
        metrics: ExportMetrics,
        health: Health,
        log: FilteringBoundLogger,
        topics: Mapping[str, str],
        spans: "Spans | None",
    ) -> None:
        """`topics`: the names of `TAGGED` and `SESSIONS`. `spans`: makes those of bundles."""
        self._spans = spans
        self._metrics = metrics
        self._health = health
        self._log = log
        self._topics = topics
        self._standing: dict[tuple[str, int, Cause], Standstill] = {}
        self._stored = 0
        self._again = 0  # records that were set aside and are written
        self._told_aside = 0
        self._is_store = False  # whether the store is what did not answer last
        self._troubles: dict[str, str] = {}  # what keeps it from storing, or from writing files

    def started(self, store: str) -> None:
        """Kafka answers and the store is open; it is about to join its group."""
        self._log.info("started", operation="start", store=store, topics=list(self._topics.values()))

    def followed(self, progress: ExportProgress) -> None:
        """It stored what there was, or there was nothing."""
        self._health.beat()
        self._health.assigned(())
        for kind in ("messages", "events", "unreadable"):
            self._metrics.records(kind, getattr(progress, kind))
        if progress.left is not None:
            self._metrics.lag(progress.left)
        for row in progress.aside[self._told_aside :]:
            self._log.warning("set aside", operation="store", position=self._position(row.place), reason=row.error)
        self._told_aside = len(progress.aside)
        if progress.again > self._again:
            self._log.info("read again", operation="store", records=progress.again - self._again)
            self._again = progress.again
        self._tell_standing({(place.topic, place.partition, place.cause): place for place in progress.standing})
        stored = progress.messages + progress.events + progress.unreadable
        # That there was nothing to store says nothing of a store that could not be written.
        if stored != self._stored or progress.left == 0 or not self._is_store:
            self._stored = stored
            self._answers("store")

    def not_followed(self, error: A3CPError) -> None:
        """The topics, the store or the schema registry does not answer; it is tried again."""
        self._health.beat()
        self._is_store = isinstance(error, StoreUnavailable)
        self._is_away("store", error)

    def writing(self, session: SessionRow) -> AbstractContextManager[None]:
        """See `FilesReport`."""
        return nullcontext() if self._spans is None else self._spans.bundle(session)

    def wrote(self, outcomes: Mapping[str, int]) -> None:
        """It wrote what files were due; `outcomes`: of all its bundles so far."""
        for outcome, total in outcomes.items():
            self._metrics.bundles(outcome, total)
        self._answers("write")

    def sealed(self, seal: Seal) -> None:
        """See `FilesReport`. The line is a copy of the seal, where nobody rewrites files."""
        self._log.info("sealed", operation="seal", day=seal.day, leaves=seal.leaves, root=seal.root, chain=seal.chain)
        self.sealed_until(seal.day)
        self._answers("seal")

    def sealed_until(self, day: str) -> None:
        """See `FilesReport`."""
        self._metrics.sealed(day)

    def not_sealed(self, error: A3CPError) -> None:
        """See `FilesReport`."""
        self._is_away("seal", error)

    def set_aside(self, name: str, why: A3CPError) -> None:
        """The bundle of a session, or the training data of a date, cannot be written; it is tried again later."""
        self._log.warning("set aside", operation="write", name=name, reason=str(why))

    def is_well(self, name: str) -> None:
        """What was set aside is written."""
        self._log.info("no longer set aside", operation="write", name=name)

    def not_wrote(self, error: A3CPError) -> None:
        """The target cannot be written; it is tried again."""
        self._is_away("write", error)

    def _tell_standing(self, now: dict[tuple[str, int, Cause], Standstill]) -> None:
        """Tell which partitions stand still, once for each place and reason, and which go on."""
        for (topic, partition, cause), place in now.items():
            if self._standing.get((topic, partition, cause)) == place:
                continue
            position = self._position(place[:3])
            remedy = f"; {place.remedy}" if place.remedy else ""
            self._metrics.waiting(self._topics[topic], partition, cause.value, True)
            self._health.waiting(partition, f"{topic} {cause}", f"waits at {position}: {place.why}{remedy}")
            tell = self._log.error if cause is Cause.UNREADABLE else self._log.warning  # No time mends the former.
            tell("stands still", operation="store", cause=cause.value, position=position, reason=place.why,
                 remedy=place.remedy)  # fmt: skip
        for topic, partition, cause in self._standing.keys() - now.keys():
            self._metrics.waiting(self._topics[topic], partition, cause.value, False)
            self._health.waiting(partition, f"{topic} {cause}", None)
            self._log.info("goes on", operation="store", cause=cause.value, topic=topic, partition=partition)
        self._standing = now

    def _position(self, place: Place) -> str:
        return f"{self._topics[place[0]]}[{place[1]}]@{place[2]}"

    def _is_away(self, operation: str, error: A3CPError) -> None:
        if self._troubles.get(operation) != str(error):  # Only what is new is told.
            self._troubles[operation] = str(error)
            self._health.away("; ".join(self._troubles.values()))  # First: who reads the log may ask for it at once.
            self._log.warning("trying again", operation=operation, reason=str(error))

    def _answers(self, operation: str) -> None:
        if self._troubles.pop(operation, None) is not None:
            self._log.info("it goes on", operation=operation)
            self._health.away("; ".join(self._troubles.values()) or None)
