"""The view: what one replica of the service knows of all sessions."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.core.ids import owner_of
from processor.core.model import RECENT_SESSIONS_MAX, Policy, UserState
from processor.errors import A3CPError, RegistryUnavailable, StoreUnavailable
from processor.runtime.erased import read_mark
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord
from processor.sessions.filtering import passes
from processor.sessions.model import MessageRow, SessionRow
from processor.sessions.ports import EVERYTHING, SESSIONS, TAGGED, Cursor, Found, SessionFilter, SessionReader, Source
from processor.sessions.summary import DaySums, Rollup, by_day, by_template, by_user, trends_of_users
from processor.view.held import Held
from processor.view.listing import Listing, Page, concerns
from processor.view.outcomes import KEPT_MS, Outcomes
from processor.view.position import STATE, AsOf, Position, Progress
from processor.view.reading import Reading, by_topic
from processor.view.shared import Shared
from processor.view.standing import Ahead, Standing
from processor.view.states import Open, States, session_in
from processor.view.tail import Tail
from processor.view.unread import Unread
from processor.view.watching import Follower, Live, Watch, Watchers

_TAIL_BYTES_MAX: Final = 256 << 20
_SHARE: Final = 16  # that is dropped of the tail when it is full: not a little again and again
_LOCKED_RECORDS: Final = 100
_ROLLUPS: Final = {"day": by_day, "user": by_user, "template": by_template}


class Starts(NamedTuple):
    """Where the topics are to be read from: the state topic from its beginning, the others as this tells."""

    stored: Mapping[Source, int]  # how far the store is: what is before is not needed
    since_ms: int  # but session events since then are; where the store holds nothing, messages since then, all events


Version: TypeAlias = tuple[int, int, int]
"""How far a user's records reach: in the tails of messages and of session events, and in the raw topic."""


class View:
    """What one replica knows: current states in memory, the latest records, and the store for the rest.

    One thread feeds it (`begin`, `take`, `at`, `trim`); any thread reads. What is said to be of memory only is quick
    enough for an event loop. All else may read the store, and belongs in a thread.
    """

    def __init__(
        self,
        codec: Codec,
        store: SessionReader | None,
        *,
        partitions: int,
        cluster_id: str,
        now_ms: Callable[[], int],
        tail_bytes_max: int = _TAIL_BYTES_MAX,
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
        self._store = store
        self._partitions = partitions
        self._now_ms = now_ms
        self._tail_bytes_max = tail_bytes_max
        self._lock = threading.Lock()  # of the tails; the rest changes one user at a time, and is read without it
        self._progress = Progress(cluster_id, partitions)
        self._states = States()
        self._ahead = Ahead()
        self._outcomes = Outcomes()
        self._tails = {TAGGED: Tail(), SESSIONS: Tail()}
        self._reading = Reading(codec, store, self._tails, self._lock)
        self._listing = Listing(self._reading, partitions)
        self._watchers = Watchers(codec)
        self._unread = Unread(codec.decode_event)
        self._erased: dict[bytes, int] = {}  # when a person was erased, ms
        self._begun: Mapping[Source, int] | None = None
        self._is_ready = False
        self._ends: Shared[Mapping[Source, int]] | None = None

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
            ask_ends: asks for later ends, as `caught_up` needs them; called in a thread.
            starts: where the records begin that reads need, by partition, if not at its beginning.
        """
        now_ms = self._now_ms()
        for topic, floors in by_topic(starts).items():
            self._tails[topic].begin(floors, now_ms)
        self._begun = dict(ends)
        self._ends = None if ask_ends is None else Shared(lambda: asyncio.to_thread(ask_ends))

    def take(self, kind: str, records: Sequence[TopicRecord]) -> None:
        """Take the next records of one topic (`STATE`, `TAGGED` or `SESSIONS`), those of a partition in their order."""
        told: list[tuple[Future[EventView], EventView]] = []
        if kind == STATE:
            for record in records:
                self._take_state(record)
        else:
            tail = self._tails[kind]
            left = [record for record in records if not self._is_erased(record)] if self._erased else records
            for start in range(0, len(left), _LOCKED_RECORDS):
                with self._lock:
                    tail.add(left[start : start + _LOCKED_RECORDS])
            if kind == SESSIONS:
                for record in (*self._unread.readable(), *records):
                    told += self._take_event(record)
            self._keep_within_bounds()
        ends = {record.partition: record.offset + 1 for record in records}
        self._progress.move({(kind, partition): end for partition, end in ends.items()})
        if kind != STATE:
            self._watchers.take(kind, records, self._progress.position)
        _tell(told)

    def at(self, positions: Mapping[Source, int]) -> None:
        """Take note of the next offset of each partition, once everything before it was taken: markers pass too."""
        self._progress.move(positions)
        self._ahead.trim(self._now_ms())
        for record in self._unread.readable():
            _tell(self._take_event(record))

    def trim(self) -> None:
        """Forget what is too old, and what the store holds by now; to be called now and then, by any one thread."""
        self._unread.ask()
        self._outcomes.trim(self._now_ms())
        for topic, floors in by_topic(self._reading.offsets()).items():
            is_left = True
            while is_left:
                with self._lock:
                    is_left = self._tails[topic].drop(floors)

    # --- standing

    def is_ready(self) -> bool:
        """Whether the view has passed the ends that the topics had at `begin`."""
        self._is_ready = self._is_ready or (self._begun is not None and self._progress.has_passed(self._begun))
        return self._is_ready

    def why_not_ready(self) -> str | None:
        """Return what the view waits for, in words; None when it is ready."""
        if self.is_ready():
            return None
        if self._begun is None:
            return "it has not begun to read the topics"
        return f"it reads the topics, {self._progress.left(self._begun)} offsets are left"

    def position(self, user_id: str) -> Position:
        """Return where the view stands in the partition of a user."""
        return self._progress.position(partition_of(user_id.encode(), self._partitions))

    def positions(self) -> Sequence[Position]:
        """Return where the view stands in each partition."""
        return self._progress.positions()

    def has_passed(self, ends: Mapping[Source, int]) -> bool:
        """Return whether the view has passed `ends`, by kind and partition."""
        return self._progress.has_passed(ends)

    async def passed(self, ends: Mapping[Source, int], timeout_s: float) -> bool:
        """Wait until the view has passed `ends`, by kind and partition; return whether it has in time."""
        return await self._progress.passed(ends, timeout_s)

    async def caught_up(self, timeout_s: float) -> bool:
        """Ask where the topics end now and wait until the view has passed that; return whether it has in time.

        What is unknown after that is in none of the topics. False also when no broker answers. The broker is asked once
        for all who want to know at the same time.
        """
        if self._ends is None:
            return False
        until_s = time.monotonic() + timeout_s
        try:
            ends = await asyncio.wait_for(self._ends(), timeout_s)
        except (A3CPError, TimeoutError):
            return False
        return await self.passed(ends, until_s - time.monotonic())

    # --- now: memory only, safe to call in an event loop

    def standing(self, user_id: str, session_id: str) -> Standing | None:
        """Return whether a user's session is open; None if no state remembers it.

        `user_id` is the core's: a lane, if the session is in one.
        """
        key = user_id.encode()
        return self._ahead.of(key, session_id, self._states.of(key))

    def version(self, session_id: str) -> Version | None:
        """Return what is another value once anything of the session's user has come; None unless the session is open.

        What is read afterwards holds all that came before.
        """
        key = self._key_of(session_id)
        if key is None:
            return None
        state = self._states.of(key)
        standing = self._ahead.of(key, session_id, state)
        if standing is None or not standing.is_open:
            return None
        offset = -1 if state is None else state.last_offset  # It stays when the tails are trimmed.
        return self._tails[TAGGED].end(key), self._tails[SESSIONS].end(key), offset

    def state(self, user_id: str) -> UserState | None:
        """Return what the processor remembers of a user; None if nothing. `user_id` is as for `standing`."""
        return self._states.of(user_id.encode())

    def last_activity_ms(self, user_id: str, session_id: str) -> int | None:
        """Return the event time of a session's latest activity; None if no state remembers it.

        `user_id` is as for `standing`.
        """
        session = session_in(self._states.of(user_id.encode()), session_id)
        return None if session is None else session.last_ms

    def oldest_ms(self, user_id: str) -> int | None:
        """Return the start of the oldest session that a user's state remembers; None while it has room for more."""
        state = self._states.of(user_id.encode())
        return None if state is None or len(state.closed) < RECENT_SESSIONS_MAX else state.closed[0].start_ms

    def policy_of(self, user_id: str) -> Policy | None:
        """Return the limits that the user has set for themselves; None if no state remembers any."""
        state = self._states.of(user_id.encode())
        return None if state is None else state.policy

    def open_session(self, user_id: str) -> str | None:
        """Return the id of the user's open session, paused ones too; None if none is open."""
        key = user_id.encode()
        state = self._states.of(key)
        current = [] if state is None or state.current is None else [state.current.session_id]
        for session_id in (*self._ahead.sessions(key), *current):
            standing = self._ahead.of(key, session_id, state)
            if standing is not None and standing.is_open:
                return session_id
        return None

    def user_of(self, session_id: str) -> str | None:
        """Return whose session it is, in the core's words: perhaps a lane. None if no state remembers it."""
        key = self._key_of(session_id)
        return None if key is None else key.decode()

    def owner_of(self, user_id: str) -> str:
        """Return the owner of a lane; of any other user id, the id itself."""
        return owner_of(user_id)

    def open_sessions(self, owner: str | None = None) -> Iterator[Open]:
        """Yield the open sessions, all or those of one owner, lanes among them, as the states have them.

        All of a million take some seconds, so ask for all in a thread.
        """
        return self._states.open_sessions(owner)

    def outcome(self, command_record_id: str, user_id: str) -> EventView | None:
        """Return what came of a command of the last 24 hours; None if that is not known.

        `user_id` is the one that the command names: others may use the same record id.
        """
        return self._outcomes.get((command_record_id, user_id))

    def expect(self, command_record_id: str, user_id: str) -> "Future[EventView]":
        """Return what will hold the outcome of a command; `standing` and reads reflect it by then.

        To be called before the command is sent. Cancel it to wait no longer.
        """
        return self._outcomes.expect((command_record_id, user_id))

    def messages_behind(self, last: MessageRow, count_max: int) -> Sequence[MessageRow] | None:
        """Return the messages that came after `last` in its session, if memory holds all of them.

        None also if they are too many to be decoded here: more than `count_max`, with others of their user.
        """
        key = None if last.session_id is None else self._key_of(last.session_id)
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
        positions = self.positions()  # Before it is read: what is told then holds at least as much.
        key = self._states.user_of(session_id)
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
        positions = self.positions()
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
        self, *, session_id: str | None = None, wanted: SessionFilter = EVERYTHING, queue_max: int = 256
    ) -> Watch:
        """Return what happens from now on; to be called in a running event loop.

        Args:
            session_id: only what happens in this session: its events and messages.
            wanted: without `session_id`, the sessions whose events are meant.
            queue_max: how many wait for the reader at most; then it counts as slow.
        """
        if session_id is not None:
            return self._watchers.watch(session_id, queue_max)
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

    def _key_of(self, session_id: str) -> bytes | None:
        return self._states.user_of(session_id) or self._ahead.user_of(session_id)

    def _take_state(self, record: TopicRecord) -> None:
        key = record.key or b""
        erased = read_mark(key)
        if erased is not None:
            self._erase(erased.user, record.timestamp_ms)
            return
        self._states.put(key, record.value)
        self._ahead.caught_up(key, self._states, record.timestamp_ms)

    def _take_event(self, record: TopicRecord) -> list[tuple["Future[EventView]", EventView]]:
        if self._is_erased(record):
            return []
        if self._unread:
            self._unread.put(record)
            return []
        try:
            event = self.codec.decode_event(record.value or b"")
        except RegistryUnavailable:
            self._unread.put(record)
            return []
        except A3CPError:
            return []  # Who reads the session is told.
        ends = self._begun or {}
        if record.offset >= ends.get((SESSIONS, record.partition), 0):  # The states know of those before.
            self._ahead.take(event, record.timestamp_ms, self._states)
        return [(future, event) for future in self._outcomes.take(event, record.timestamp_ms)]

    def _erase(self, key: bytes, at_ms: int) -> None:
        """Forget all that came of a person until `at_ms`."""
        self._erased[key] = at_ms
        self._ahead.forget(key)
        self._outcomes.forget(key.decode())
        with self._lock:
            for tail in self._tails.values():
                tail.forget(key)
        self._reading.forget()

    def _is_erased(self, record: TopicRecord) -> bool:
        return bool(self._erased) and record.timestamp_ms <= self._erased.get(record.key or b"", -1)

    def _keep_within_bounds(self) -> None:
        size_bytes = sum(tail.size_bytes for tail in self._tails.values())
        if size_bytes > self._tail_bytes_max:
            largest = max(self._tails.values(), key=lambda tail: tail.size_bytes)
            with self._lock:
                largest.drop_oldest(size_bytes - self._tail_bytes_max * (_SHARE - 1) // _SHARE)


def _tell(told: Iterable[tuple["Future[EventView]", EventView]]) -> None:
    for future, event in told:
        if future.set_running_or_notify_cancel():
            future.set_result(event)
