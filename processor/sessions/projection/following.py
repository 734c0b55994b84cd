"""Follows the output topics as one member of the exporters' group: what is polled is stored once, in its order."""

from collections.abc import Mapping, Sequence
from typing import Final

from processor.errors import UsageError
from processor.runtime.identities import Identities
from processor.runtime.ports import Assigned, Clock
from processor.sessions.ports import SessionWriter, Source
from processor.sessions.projection.decoding import RecordWaits
from processor.sessions.projection.feed import Feed, OutputRecord, Standstill
from processor.sessions.projection.materializer import Applied, Materializer
from processor.sessions.projection.waiting import Waiting

BATCH_RECORDS_MAX: Final = 30_000  # in one transaction: of many sessions side by side, each is written once in it
POLL_TIMEOUT_S: Final = 0.2
CHECK_AGAIN_S: Final = 30.0  # before a batch that could not be read is compared again
_NEW_STORE: Final = "export into a new store with --store, or name the right Kafka with --bootstrap"
_NOT_COMPARED: Final = "the record that was stored last cannot be compared with this Kafka's"


class Following:
    """One member, from joining to leaving: what it owns, how far that is stored, what stands still."""

    def __init__(
        self, feed: Feed, store: SessionWriter, materializer: Materializer, waiting: Waiting, clock: Clock
    ) -> None:
        """Prepare to follow; nothing is read yet."""
        self._feed = feed
        self._store = store
        self._materializer = materializer
        self._waiting = waiting
        self._clock = clock
        self._recognised: Identities = {}
        self._owned: frozenset[int] = frozenset()
        self._stored: dict[Source, int] = {}  # next offsets in the store, of the partitions that it owns
        self._unknown: dict[Source, Standstill] = {}  # partitions of which nobody can tell whether they are the store's
        self._check_at_s = 0.0

    def check(self) -> None:
        """Check that what the store holds is what these topics held; a partition that cannot be compared stands still.

        Raises:
            UsageError: it is not: another cluster, topics that were made anew, or a backup that was restored.
        """
        self.recognise()
        ends = self._feed.ends()
        for source, offset in self._store.offsets().items():
            if offset > (end := ends.get(source, 0)):
                raise UsageError(
                    f"the store has read {_place(source)} up to {offset}, and this Kafka ends at {end}: it lost "
                    "records, as when it was restored from a backup",
                    remedy=_NEW_STORE,
                )
        self._compare(self._store.last_records())

    def poll(self) -> Sequence[OutputRecord]:
        """Return the next records that the store has not; take note of what was assigned and revoked before."""
        records = self._feed.poll(BATCH_RECORDS_MAX, POLL_TIMEOUT_S)
        if changes := self._feed.assignments():
            for change in changes:
                is_new = isinstance(change, Assigned)
                self._owned = self._owned | change.partitions if is_new else self._owned - change.partitions
            self._begin()
        self._waiting.look(self._feed)
        if self._unknown and self._clock.monotonic_s() > self._check_at_s:
            self._compare_again()
        owned, stored = self._owned, self._stored
        return [
            record
            for record in records
            if record.partition in owned and record.offset >= stored.get((record.topic, record.partition), 0)
        ]

    def store(self, records: Sequence[OutputRecord]) -> Applied | None:
        """Write `records`, and how far they are, in one transaction; return None when there was nothing to write."""
        while True:
            records = self._waiting.ready(self._feed, records)
            moved = {
                source: (self._stored.get(source), position)
                for source, position in self._feed.positions().items()
                if source[1] in self._owned and self._stored.get(source, 0) < position
            }
            if not moved:
                return None
            self.recognise()  # After the poll: what it returned is of these topics, or of none.
            try:
                applied = self._materializer.apply(records, moved)
                break
            except RecordWaits as error:  # Each time one partition less is left.
                self._waiting.failed(records, error)
        stored = {source: position for source, (_, position) in moved.items()}
        self._stored.update(stored)
        self._feed.stored(stored)
        return applied

    def recognise(self) -> None:
        """Check that these are the topics that the store is filled from.

        Raises:
            UsageError: they are not.
        """
        now = self._feed.identities()
        if now != self._recognised:
            self._store.recognise(now)
            self._recognised = now

    def standing(self) -> Sequence[Standstill]:
        """Return the partitions that stand still at the moment."""
        unknown = [place for source, place in self._unknown.items() if source in self._stored]
        return [*self._waiting.standing(), *unknown, *self._feed.unreadable()]

    def left(self, ends: Mapping[Source, int], *, with_others: bool) -> Mapping[Source, int]:
        """Return how many offsets each partition is before its end in `ends`, if any.

        `with_others`: the store is asked how far other exporters are.
        """
        stored = {**self._store.offsets(), **self._stored} if with_others else self._stored
        return {source: end - at for source, end in ends.items() if (at := stored.get(source, 0)) < end}

    def _begin(self) -> None:
        """Begin to read what is owned, each partition from where the store is."""
        self._materializer.forget()
        self._waiting.forget()
        stored = self._store.offsets()
        self._stored = {source: offset for source, offset in stored.items() if source[1] in self._owned}
        if self._owned:
            self.recognise()
            self._feed.begin(stored)
        for source in self._unknown:
            if source in self._stored:
                self._feed.hold_back(source, self._stored[source])

    def _compare(self, last: Mapping[Source, tuple[int, int]]) -> None:
        """Compare the records that were stored last with those that are in the topics at their offsets.

        Raises:
            UsageError: one is another.
        """
        found = self._feed.read([(*source, offset) for source, (offset, _) in last.items()])
        for record in found.records:
            source = record.topic, record.partition
            offset, held_ms = last[source]
            if record.append_ms != held_ms:
                raise UsageError(
                    f"the store holds another record of {_place(source)}@{offset} than this Kafka: records were lost, "
                    "as when it was restored from a backup, and others have come since",
                    remedy=_NEW_STORE,
                )
        self._unknown = {
            (place.topic, place.partition): place._replace(why=f"{_NOT_COMPARED}: {place.why}")
            for place in found.unreadable
        }
        self._check_at_s = self._clock.monotonic_s() + CHECK_AGAIN_S

    def _compare_again(self) -> None:
        before = self._unknown
        last = self._store.last_records()
        self._compare({source: last[source] for source in before})
        for source in before.keys() - self._unknown.keys():
            if source in self._stored:
                self._feed.go_on(source)


def _place(source: Source) -> str:
    topic, partition = source
    return f"{topic}[{partition}]"
