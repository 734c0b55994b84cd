"""The view: what one replica of the service knows of all sessions."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.errors import StoreUnavailable
from processor.runtime.ports import TopicRecord
from processor.sessions.filtering import passes
from processor.sessions.model import MessageRow, SessionRow
from processor.sessions.ports import EVERYTHING, Cursor, Found, SessionFilter, SessionReader, Source
from processor.sessions.summary import DaySums, Rollup, by_day, by_template, by_user, trends_of_users
from processor.view.held import Held
from processor.view.listing import Listing, Page, concerns
from processor.view.memory import TAIL_BYTES_MAX, Memory
from processor.view.outcomes import KEPT_MS
from processor.view.position import STATE, AsOf
from processor.view.progress import Progress
from processor.view.reading import Reading, by_topic
from processor.view.watching import Follower, Live, Watch, Watchers

_ROLLUPS: Final = {"day": by_day, "user": by_user, "template": by_template}


class Starts(NamedTuple):
    """Where the topics are to be read from: the state topic from its beginning, the others as this tells."""

    stored: Mapping[Source, int]  # how far the store is: what is before is not needed
    since_ms: int  # but session events since then are; where the store holds nothing, messages since then, all events


class View:
    """What one replica knows: current states and the latest records in `memory`, and the store for the rest.

    One thread feeds it (`begin`, `take`, `at`, `trim`); any thread reads. `memory` and `progress` answer
    quickly enough for an event loop. All else that reads sessions may read the store, and belongs in a thread.
    """

    def __init__(
        self,
        codec: Codec,
        store: SessionReader | None,
        *,
        partitions: int,
        cluster_id: str,
        now_ms: Callable[[], int],
        tail_bytes_max: int = TAIL_BYTES_MAX,
    ) -> None:
        """Know nothing yet.

        Args:
            codec: reads messages and events.
            store: what an exporter has written; None if there is none.
            partitions: of each of the three topics.
            cluster_id: Kafka's; positions begin with a hash of it.
            now_ms: the clock, ms since the epoch.
            tail_bytes_max: what the latest records may take in memory; the oldest go first.
        """
        self.codec: Final = codec
        self._now_ms = now_ms
        self.memory: Final = Memory(codec, tail_bytes_max=tail_bytes_max)
        self.progress: Final = Progress(cluster_id, partitions)
        self._reading = Reading(self.memory, store, partitions)
        self._listing = Listing(self._reading)
        self._watchers = Watchers(codec)

    # --- fed by the follower

    def starts(self) -> Starts:
        """Return where the follower is to begin; a store that does not answer counts as an empty one."""
        try:
            stored = self._reading.offsets()
        except StoreUnavailable:
            stored = {}
        return Starts(stored, self._now_ms() - KEPT_MS)

    def begin(
        self,
        ends: Mapping[Source, int],
        ask_ends: Callable[[], Mapping[Source, int]] | None = None,
        *,
        starts: Mapping[Source, int] = MappingProxyType({}),
    ) -> None:
        """Take note of where the topics end as the follower begins: the view is ready once it has passed them.

        Args:
            ends: by kind and partition, for a reader of committed records.
            ask_ends: asks for later ends, as `Progress.caught_up` needs them; called in a thread.
            starts: where the records begin that reads need, by partition, if not at its beginning.
        """
        self.memory.begin(ends, by_topic(starts), self._now_ms())
        self.progress.begin(ends, ask_ends)

    def take(self, kind: str, records: Sequence[TopicRecord]) -> None:
        """Take the next records of one topic (`STATE`, `TAGGED` or `SESSIONS`), those of a partition in their order."""
        told = self.memory.take(kind, records)
        ends = {record.partition: record.offset + 1 for record in records}
        self.progress.move({(kind, partition): end for partition, end in ends.items()})
        if kind != STATE:
            self._watchers.take(kind, records, self.progress.position)
        _tell(told)

    def at(self, positions: Mapping[Source, int]) -> None:
        """Take note of the next offset of each partition, once everything before it was taken: markers pass too."""
        self.progress.move(positions)
        _tell(self.memory.take_unread(self._now_ms()))

    def trim(self) -> None:
        """Forget what is too old, and what the store holds by now; to be called now and then, by any one thread."""
        self.memory.trim(by_topic(self._reading.offsets()), self._now_ms())

    def messages_behind(self, last: MessageRow, count_max: int) -> Sequence[MessageRow] | None:
        """Return the messages that came after `last` in its session, if memory holds all of them.

        None also if they are too many to be decoded here: more than `count_max`, with others of their user.
        """
        key = None if last.session_id is None else self.memory.key_of(last.session_id)
        return None if key is None else self._reading.messages_behind(last, key, count_max)

    # --- one session or many: may read the store, so call these in a thread

    def session(self, session_id: str, *, as_of: AsOf | None = None) -> Held | None:
        """Return a session with all that belongs to it; None if neither store nor tail knows it, or it was removed.

        Args:
            session_id: which.
            as_of: only what was known then; then None also if nothing of it was.

        Raises:
            StoreUnavailable: the store does not answer, and the tail knows nothing of the session.
        """
        positions = self.progress.positions()  # Before it is read: what is told then holds at least as much.
        key = self.memory.key_of(session_id)
        keys = self._reading.naming(session_id) if key is None else [key]
        folded, is_whole = self._reading.session(session_id, keys)
        if folded is None:
            return None
        held = Held(
            folded.row,
            positions[folded.row.partition],
            is_whole,
            partial(self._reading.messages, folded),
            partial(self._reading.events, folded),
        )
        return held if as_of is None else held.as_of(as_of, self.codec)

    def sessions(self, wanted: SessionFilter, *, limit: int, after: Cursor | None = None, skip: int = 0) -> Page:
        """Return a page of the sessions that pass, newest start first; those of the tail while the store is away.

        Args:
            wanted: which; limit: how many at most.
            after: the `next` of the page before.
            skip: leave out so many first.
        """
        positions = self.progress.positions()
        rows, following, complete_since_ms = self._listing.page(wanted, limit=limit, after=after, skip=skip)
        return Page(rows, following, positions, complete_since_ms)

    def is_whole(self) -> bool:
        """Whether no record is missing between store and tail, so that counts and sums are of all there is.

        Raises as `count`.
        """
        return self._listing.is_whole()

    def count(self, wanted: SessionFilter) -> int:
        """Return how many sessions pass.

        Raises:
            StoreUnavailable: the store does not answer, and a number cannot say what it lacks.
        """
        return self._listing.count(wanted)

    def search(
        self, words: str, wanted: SessionFilter, *, limit: int, expressed_by: str | None = None
    ) -> Sequence[Found]:
        """Return texts that hold all of `words`, of sessions that pass, latest first. Raises as `count`.

        Of what the store does not hold yet, the latest records are searched.
        """
        return self._listing.search(words, wanted, limit=limit, expressed_by=expressed_by)

    def rollups(self, wanted: SessionFilter, by: Literal["day", "user", "template"]) -> dict[str, Rollup]:
        """Return what the sessions that pass add up to, by day of start, owner or template. Raises as `count`."""
        return _ROLLUPS[by](self._listing.all(wanted))

    def trends(self, wanted: SessionFilter) -> tuple[dict[str, Rollup], dict[str, dict[str, DaySums]]]:
        """Return what the sessions that pass add up to by owner, and that of each day. Raises as `count`."""
        return trends_of_users(self._listing.all(wanted))

    def changed(self, wanted: SessionFilter, ends: Mapping[int, int]) -> Sequence[SessionRow] | None:
        """Return the sessions that pass and have changed since some positions: of which events tell.

        Args:
            wanted: which.
            ends: next offsets of the session events, by partition.

        Returns:
            the sessions as they are now, in no order; None if not all these events are in memory, or they are too many.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        return self._listing.changed(wanted, ends)

    # --- live

    def close(self) -> None:
        """Let all who watch go, since nothing more will come here; any thread may call it."""
        self._watchers.close()

    def watch(
        self,
        *,
        session_id: str | None = None,
        takes_moved: bool = False,
        wanted: SessionFilter = EVERYTHING,
        queue_max: int = 256,
    ) -> Watch:
        """Return what happens from now on; to be called in a running event loop.

        Args:
            session_id: only what happens in this session: its events and messages.
            takes_moved: with `session_id`, also messages that name it and came into another.
            wanted: without `session_id`, the sessions whose events are meant.
            queue_max: how many wait for the reader at most; then it counts as slow.
        """
        if session_id is not None:
            return self._watchers.watch(session_id, queue_max, takes_moved=takes_moved)
        asks_whose = wanted == SessionFilter(owner=wanted.owner, owners=wanted.owners)
        return self._watchers.watch(
            None, queue_max, partial(concerns, wanted=wanted), None if asks_whose else partial(self._passes, wanted)
        )

    def follow(self, session_id: str, follower: Follower) -> Callable[[], None]:
        """Let `follower` take the records that name a session from now on, not decoded; return what ends that."""
        return self._watchers.follow(session_id, follower)

    async def _passes(self, wanted: SessionFilter, live: Live) -> bool:
        """Whether the session in which something has happened is a wanted one now."""
        if live.session_id is None:
            return False
        try:
            held = await asyncio.to_thread(self.session, live.session_id)
        except StoreUnavailable:
            return False
        return held is not None and passes(held.row, wanted)


def _tell(told: Iterable[tuple["Future[EventView]", EventView]]) -> None:
    for future, event in told:
        if future.set_running_or_notify_cancel():
            future.set_result(event)
