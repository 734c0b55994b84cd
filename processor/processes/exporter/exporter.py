"""An exporter: one loop that polls the output topics, stores what came, writes the files that are due, and reports."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from prometheus_client import CollectorRegistry

from processor.bundles.renderer import renderer
from processor.errors import (
    A3CPError,
    BrokerUnavailable,
    OwnershipLost,
    RegistryUnavailable,
    StoreMoved,
    StoreUnavailable,
)
from processor.kafka.answering import await_broker
from processor.kafka.reading.feed import KafkaFeed
from processor.observe.disk import DiskMetrics
from processor.observe.exporter import ExportObserver
from processor.observe.health import Health, HealthServer
from processor.observe.logs import log_of
from processor.observe.metrics import ExportMetrics
from processor.processes.collecting import tune_garbage_collection
from processor.processes.exporter.decoders import Decoders
from processor.processes.exporter.files import Files
from processor.runtime.backoff import backoff_s
from processor.runtime.ports import Clock
from processor.runtime.questions import in_background
from processor.sessions.ports import Source, Store
from processor.sessions.projection.again import Again
from processor.sessions.projection.feed import Feed
from processor.sessions.projection.following import Following
from processor.sessions.projection.materializer import Applied, Decode, Materializer
from processor.sessions.projection.progress import ExportProgress
from processor.sessions.projection.waiting import Waiting
from processor.settings.model import Settings
from processor.wiring import SystemClock, spans_of

_BACKOFF_FIRST_S: Final = 0.2  # before another attempt, when something does not answer
_BACKOFF_MAX_S: Final = 10.0
GIVE_UP_S: Final = 60.0  # for an export with an end; one that follows never gives up
OTHERS_ASKED_S: Final = 0.5  # how often the store is asked how far other exporters are
LAG_ASKED_S: Final = 5.0  # how often one that follows looks how far behind it is
_LIVE_S: Final = 600.0  # A session of millions of messages takes minutes to write.
_AWAY: Final = (BrokerUnavailable, OwnershipLost, StoreMoved, StoreUnavailable, RegistryUnavailable)


class Report(Protocol):
    """Is told how an exporter is doing."""

    def followed(self, progress: ExportProgress) -> None:
        """It stored what came, or nothing came."""

    def not_followed(self, error: A3CPError) -> None:
        """The topics, the store or the schema registry does not answer. It is tried again."""


class FileWriter(Protocol):
    """Writes files while an exporter follows."""

    def note(self, session_ids: Sequence[str]) -> None:
        """Take note that events tell of these sessions; they are in the store."""

    def write_some(self, *, caught_up: bool) -> None:
        """Write what is due, for a bounded time.

        `caught_up`: whether the store has what the topics had some seconds ago.
        """


class Exporter:
    """One exporter: it stores what it reads, until it is stopped or at its end. Used by one thread."""

    def __init__(
        self,
        join: Callable[[], Feed],
        store: Store,
        decode: Decode,
        report: Report,
        stopped: threading.Event,
        *,
        files: FileWriter | None = None,
        give_up_s: float | None = None,
        clock: Clock | None = None,
        start: Callable[[Callable[[], None]], object] = in_background,
    ) -> None:
        """Prepare to export; nothing is read yet.

        Args:
            join: joins the group.
            store, decode: where records go, and what they say.
            report: told after each turn of the loop, and of each trouble.
            stopped: set when it is to stop.
            files: what it writes while it follows.
            give_up_s: how long to try without progress. Then an error is raised; an export with an end leaves the
                partitions that stand still. None: for ever.
            clock: tells how long something has lasted.
            start: runs a question to the schema registry in a thread.
        """
        self._join = join
        self._store = store
        self._report = report
        self._stopped = stopped
        self._files = files
        self._give_up_s = give_up_s
        self._materializer = Materializer(store.writer, decode)
        self._clock = clock = clock or SystemClock()
        self._waiting = Waiting(self._materializer.read, clock, start=start)
        self._again = Again(store.reader, self._materializer, self._waiting, clock)
        self._progress = ExportProgress()
        self._ends: Mapping[Source, int] | None = None  # where an export with an end ends
        self._seen_ends: Mapping[Source, int] | None = None  # when it last looked how much is left
        self._is_caught_up = False  # whether the store has all that there was then
        self._worked_s = self._moved_s = self._clock.monotonic_s()
        self._look_s = 0.0

    def run(self, *, to_end: bool) -> ExportProgress:
        """Export until stopped; with `to_end`, until the store holds all that was committed when this began.

        Partitions that stand still longer than all others take are left, and are in `ExportProgress.standing`.

        Raises:
            UsageError: the store was filled from other topics.
            A3CPError: something did not answer for `give_up_s`.
        """
        failures = 0  # in a row
        self._worked_s = self._moved_s = self._clock.monotonic_s()
        while not self._stopped.is_set():
            before = self._progress
            try:
                with contextlib.closing(self._join()) as feed:
                    self._follow(feed, to_end=to_end)
                break
            except _AWAY as error:
                self._materializer.forget()
                self._report.not_followed(error)
                if self._is_too_long_since(self._worked_s):
                    raise
                failures = 1 if self._progress != before else failures + 1
                self._stopped.wait(backoff_s(failures, first_s=_BACKOFF_FIRST_S, max_s=_BACKOFF_MAX_S))
        return self._progress

    def _follow(self, feed: Feed, *, to_end: bool) -> None:
        """Take turns as one member of the group: poll, store, write files for a while, report."""
        self._waiting.forget()
        following = Following(feed, self._store.writer, self._materializer, self._waiting, self._clock)
        following.check()
        self._read_again(feed)
        if to_end and self._ends is None:
            self._ends = feed.ends()
        is_over = False
        while not is_over and not self._stopped.is_set():
            records = following.poll()
            applied = following.store(records)
            self._note(applied, following)
            if self._ends is not None:
                is_over = self._is_at_end(following, self._ends, has_moved=applied is not None)
            else:
                self._look_around(feed, following)
            if self._files is not None:
                self._files.note(() if applied is None else applied.told)
                self._files.write_some(caught_up=self._is_caught_up)
            self._report.followed(self._progress)

    def _note(self, applied: Applied | None, following: Following) -> None:
        self._worked_s = self._clock.monotonic_s()
        if applied is not None:
            self._moved_s = self._worked_s
            self._progress = self._progress.stored(applied)
            if applied.aside:
                self._again.soon()
        self._progress = self._progress._replace(standing=tuple(following.standing()))

    def _is_at_end(self, following: Following, ends: Mapping[Source, int], *, has_moved: bool) -> bool:
        """Return whether nothing is left, or only partitions that have stood still for too long."""
        others = not has_moved and self._is_time_to_look(OTHERS_ASKED_S)  # They may be further.
        left = following.left(ends, with_others=others)
        self._progress = self._progress._replace(left=sum(left.values()))
        still = {(place.topic, place.partition) for place in self._progress.standing}
        return left.keys() <= still and (not left or self._is_too_long_since(self._moved_s))

    def _look_around(self, feed: Feed, following: Following) -> None:
        """Now and then, read again what was set aside, and look how much is left."""
        if not self._is_time_to_look(LAG_ASKED_S):
            return
        if self._again.is_due and (self._progress.waiting or self._progress.unreadable):
            self._read_again(feed)
        following.recognise()  # Topics made anew have nothing to write until they are as long as they were.
        ends = feed.ends()
        self._is_caught_up = self._seen_ends is not None and not following.left(self._seen_ends, with_others=True)
        self._seen_ends = ends
        left = following.left(ends, with_others=True)
        self._progress = self._progress._replace(left=sum(left.values()))

    def _read_again(self, feed: Feed) -> None:
        self._progress = self._progress.read_again(self._again.read(feed))

    def _is_time_to_look(self, every_s: float) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s <= self._look_s:
            return False
        self._look_s = now_s + every_s
        return True

    def _is_too_long_since(self, moment_s: float) -> bool:
        return self._give_up_s is not None and self._clock.monotonic_s() - moment_s > self._give_up_s


def export_topics(
    settings: Settings, store: Store, files: Files, report: Report, stopped: threading.Event, *, to_end: bool
) -> ExportProgress:
    """Store what the output topics hold, up to their ends or until `stopped`; then write the files that are still due.

    Raises:
        TargetUnavailable: the files cannot be written.
        A3CPError: as `Exporter.run`.
    """
    topics = settings.topics()
    store.writer.follow(f"{topics.tagged} and {topics.sessions}")
    store.writer.note_reader(renderer())

    def join() -> KafkaFeed:
        return KafkaFeed(
            settings.kafka_conf(),
            tagged=topics.tagged,
            sessions=topics.sessions,
            group_id=f"{settings.group_id}-export-{store.identity}",
            session_timeout_ms=settings.session_timeout_ms,
        )

    tune_garbage_collection()
    with contextlib.closing(Decoders(settings)) as decoders:
        exporter = Exporter(
            join,
            store,
            decoders.decode,
            report,
            stopped,
            files=None if to_end else files,
            give_up_s=GIVE_UP_S if to_end else None,
        )
        progress = exporter.run(to_end=to_end)
    store.close()  # With its cache: what follows asks little of it.
    files.finish()
    return progress


def await_kafka(settings: Settings, report: Report, stopped: threading.Event, *, to_end: bool) -> bool:
    """Wait until Kafka answers; return False when `stopped` before. Raises as `await_broker`."""
    return await_broker(
        settings.kafka_conf(),
        stopped=stopped.is_set,
        on_trouble=report.not_followed,
        give_up_s=GIVE_UP_S if to_end else None,
    )


@contextlib.contextmanager
def export_observer(
    settings: Settings, metrics_port: int | None, places: Mapping[str, Path] = MappingProxyType({})
) -> Iterator[ExportObserver]:
    """Yield the observer of an exporter that follows: it writes the log and serves pages at `metrics_port`.

    By default that is the settings' port; 0: no pages. `places`: what is kept on this machine's disks, and where.

    Raises:
        UsageError: it cannot listen there.
    """
    log = log_of("exporter", settings)
    registry = CollectorRegistry()
    health = Health(live_s=_LIVE_S)
    DiskMetrics(registry, places)
    port = settings.metrics_port if metrics_port is None else metrics_port
    server = HealthServer(settings.metrics_host, port, health, registry) if port else contextlib.nullcontext()
    with spans_of("exporter", settings, log) as spans, server:
        yield ExportObserver(ExportMetrics(registry), health, log, settings.topics().outputs, spans)
