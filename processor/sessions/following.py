"""Follows the output topics into the store, up to their ends or on and on, whatever stops answering meanwhile."""

import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Final, NamedTuple

from processor.errors import (
    A3CPError,
    BrokerUnavailable,
    OwnershipLost,
    RegistryUnavailable,
    StoreMoved,
    StoreUnavailable,
    UsageError,
)
from processor.runtime.backoff import backoff_s
from processor.runtime.identities import Identities
from processor.runtime.ports import Assigned
from processor.sessions.decoding import RecordWaits
from processor.sessions.materializer import Materializer
from processor.sessions.model import UnreadableRow
from processor.sessions.ports import Feed, OutputRecord, Source, Standing, Store
from processor.sessions.waiting import Waiting

BATCH_RECORDS_MAX: Final = 30_000  # in one transaction: of many sessions side by side, each is written once in it
POLL_TIMEOUT_S: Final = 0.2
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MAX_S: Final = 10.0
GIVE_UP_S: Final = 60.0  # for an export with an end; one that follows never gives up
OTHERS_ASKED_S: Final = 0.5  # how often the store is asked how far other exporters are
LAG_ASKED_S: Final = 5.0  # how often one that follows looks how far behind it is
AGAIN_RECORDS: Final = 2_500  # that were set aside are read again in one transaction
AGAIN_MIN_S: Final = 10.0  # before one that follows reads again what was set aside; twice as long each time
AGAIN_MAX_S: Final = 600.0
ASIDE_MAX: Final = 10  # told of one by one
_NEW_STORE: Final = "export into a new store with --store, or name the right Kafka with --bootstrap"


class Progress(NamedTuple):
    """How far an export is."""

    messages: int = 0  # written by this run
    events: int = 0
    unreadable: int = 0  # set aside by this run
    left: int | None = None  # offsets up to the end, when it was last looked at: at most as many records
    again: int = 0  # set aside before, and written by this run
    waiting: int = 0  # set aside before, and still in the topics, but not to be read
    aside: tuple[UnreadableRow, ...] = ()  # the first of those that this run set aside
    standing: tuple[Standing, ...] = ()  # partitions that stand still at the moment


class Following:
    """One exporter: what it reads, it writes, until it is stopped or done."""

    def __init__(
        self,
        feed_of: Callable[[], Feed],
        store: Store,
        materializer: Materializer,
        *,
        stopped: Callable[[], bool],
        wait: Callable[[float], object],
        on_progress: Callable[[Progress], None],
        on_trouble: Callable[[A3CPError], None],
        give_up_s: float | None,
    ) -> None:
        """Prepare to follow; nothing is read yet.

        Args:
            feed_of: joins the group; store, materializer: where the records go, and how.
            stopped: whether to stop; wait: waits for some seconds, or until it is to stop.
            on_progress: told after each batch and each empty poll.
            on_trouble: told what does not answer, before the next attempt.
            give_up_s: how long to try without progress before the trouble is raised, or an export with an end leaves
                the partitions that stand still as they are; None for ever.
        """
        self._feed_of = feed_of
        self._store = store
        self._materializer = materializer
        self._stopped = stopped
        self._wait = wait
        self._on_progress = on_progress
        self._on_trouble = on_trouble
        self._give_up_s = give_up_s
        self._progress = Progress()
        self._ends: Mapping[Source, int] | None = None
        self._recognised: Identities = {}
        self._again_s = AGAIN_MIN_S / 2
        self._again_at_s = 0.0
        self._worked_s = self._moved_s = time.monotonic()
        self._waiting = Waiting(materializer.read)

    def run(self, *, to_end: bool) -> Progress:
        """Follow until stopped; with `to_end`, until the store holds all that was committed when this began.

        What stands still longer than all else takes is left; `Progress.standing` tells it.

        Raises:
            UsageError: the store holds what was in other topics than these.
            A3CPError: what did not answer for `give_up_s`.
        """
        failures = 0  # in a row
        self._worked_s = self._moved_s = time.monotonic()
        while not self._stopped():
            before = self._progress
            try:
                self._follow_a_while(to_end=to_end)
                return self._progress
            except (BrokerUnavailable, OwnershipLost, StoreMoved, StoreUnavailable, RegistryUnavailable) as error:
                self._materializer.forget()
                self._on_trouble(error)
                if self._give_up_s is not None and time.monotonic() - self._worked_s > self._give_up_s:
                    raise
                failures = 1 if self._progress != before else failures + 1
                self._wait(backoff_s(failures, first_s=_BACKOFF_FIRST_S, max_s=_BACKOFF_MAX_S))
        return self._progress

    def _follow_a_while(self, *, to_end: bool) -> None:
        feed = self._feed_of()
        self._waiting.forget()
        try:
            self._check(feed)
            self._read_again(feed)
            if to_end and self._ends is None:
                self._ends = feed.ends()
            self._follow(feed)
        finally:
            feed.close()

    def _follow(self, feed: Feed) -> None:
        held: dict[Source, int] = {}  # next offsets in the store, of the assigned partitions that it has
        owned: frozenset[int] = frozenset()
        look_at_s = 0.0
        while not self._stopped():
            records = feed.poll(BATCH_RECORDS_MAX, POLL_TIMEOUT_S)
            for change in feed.assignments():
                self._materializer.forget()
                self._waiting.forget()
                if isinstance(change, Assigned):
                    self._recognise(feed)
                    owned |= change.partitions
                else:
                    owned -= change.partitions
                stored = self._store.offsets()
                held = {source: offset for source, offset in stored.items() if source[1] in owned}
            self._waiting.look(feed)
            moved = self._write(feed, records, held, owned)
            is_over = False
            self._worked_s = now_s = time.monotonic()
            if moved:
                self._moved_s = now_s
            self._progress = self._progress._replace(standing=(*self._waiting.standing(), *feed.unreadable()))
            if self._ends is None:
                if now_s > look_at_s:
                    look_at_s = now_s + LAG_ASKED_S
                    if now_s > self._again_at_s and (self._progress.waiting or self._progress.unreadable):
                        self._read_again(feed)
                    self._recognise(feed)  # Topics made anew have nothing to write until they are as long as they were.
                    self._note_left(feed.ends(), {**self._store.offsets(), **held})
            else:
                known: Mapping[Source, int] = held
                if not moved and now_s > look_at_s:  # Other exporters may be further.
                    look_at_s = now_s + OTHERS_ASKED_S
                    known = {**self._store.offsets(), **held}
                self._note_left(self._ends, known)
                is_over = self._progress.left == 0 or self._gives_up(self._ends, known)
            self._on_progress(self._progress)
            if is_over:
                return

    def _write(
        self, feed: Feed, records: Sequence[OutputRecord], held: dict[Source, int], owned: frozenset[int]
    ) -> bool:
        """Write `records` and how far they are; return whether there was anything to write."""
        new: Sequence[OutputRecord] = [
            record
            for record in records
            if record.partition in owned and record.offset >= held.get((record.topic, record.partition), 0)
        ]
        while True:
            new = self._waiting.ready(feed, new)
            positions = {
                source: (held.get(source), position)
                for source, position in feed.positions().items()
                if source[1] in owned and held.get(source, 0) < position
            }
            if not positions:
                return False
            self._recognise(feed)  # After the poll: what it returned is of these topics, or of none.
            try:
                applied = self._materializer.apply(new, positions)
                break
            except RecordWaits as error:  # Each time one partition less is left.
                self._waiting.hold_back(feed, new, error)
        if applied.aside:
            self._again_s = AGAIN_MIN_S
            self._again_at_s = time.monotonic() + AGAIN_MIN_S
        stored = {source: position for source, (_, position) in positions.items()}
        held.update(stored)
        feed.stored(stored)
        done = self._progress
        self._progress = done._replace(
            messages=done.messages + applied.messages,
            events=done.events + applied.events,
            unreadable=done.unreadable + applied.unreadable,
            aside=(*done.aside, *applied.aside)[:ASIDE_MAX],
        )
        return True

    def _note_left(self, ends: Mapping[Source, int], held: Mapping[Source, int]) -> None:
        left = sum(max(0, end - held.get(source, 0)) for source, end in ends.items())
        self._progress = self._progress._replace(left=left)

    def _gives_up(self, ends: Mapping[Source, int], held: Mapping[Source, int]) -> bool:
        """Return whether all that is left stands still, and has done so for long enough."""
        if self._give_up_s is None or time.monotonic() - self._moved_s <= self._give_up_s:
            return False
        still = {(place.topic, place.partition) for place in self._progress.standing}
        return all(source in still or held.get(source, 0) >= end for source, end in ends.items())

    def _check(self, feed: Feed) -> None:
        """Check that what the store holds is what these topics held.

        Raises:
            UsageError: it is not: another cluster, topics that were made anew, or a backup that was restored.
        """
        self._recognise(feed)
        ends = feed.ends()
        for source, offset in self._store.offsets().items():
            if offset > (end := ends.get(source, 0)):
                raise UsageError(
                    f"the store has read {_place(source)} up to {offset}, and this Kafka ends at {end}: it lost "
                    "records, as when it was restored from a backup",
                    remedy=_NEW_STORE,
                )
        last = self._store.last_records()
        for record in feed.read([(*source, offset) for source, (offset, _) in last.items()]):
            source = record.topic, record.partition
            offset, held_ms = last[source]
            if record.append_ms != held_ms:
                raise UsageError(
                    f"the store holds another record of {_place(source)}@{offset} than this Kafka: records were lost, "
                    "as when it was restored from a backup, and others have come since",
                    remedy=_NEW_STORE,
                )

    def _read_again(self, feed: Feed) -> None:
        """Read what was set aside once more: what can be read now comes into its session."""
        again = waiting = 0
        aside = self._store.unreadable()
        while rows := {row.place: row.content_hash for row in islice(aside, AGAIN_RECORDS)}:
            found = feed.read(rows)
            records = [record for record in found if sha256(record.value or b"").digest() == rows[record[:3]]]
            try:
                applied = self._materializer.apply_again(records)
            except RegistryUnavailable:  # What needs no schema that is not known goes on.
                waiting += len(records)
            else:
                again += applied.messages + applied.events
                waiting += applied.unreadable
        self._again_s = AGAIN_MIN_S if again else min(2 * self._again_s, AGAIN_MAX_S)
        self._again_at_s = time.monotonic() + self._again_s
        self._progress = self._progress._replace(again=self._progress.again + again, waiting=waiting)

    def _recognise(self, feed: Feed) -> None:
        now = feed.identities()
        if now != self._recognised:
            self._store.recognise(now)
            self._recognised = now


def _place(source: Source) -> str:
    topic, partition = source
    return f"{topic}[{partition}]"
