"""The view: what one replica of the service knows of all sessions."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Final, Literal

from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.core.ids import owner_of
from processor.core.model import RECENT_SESSIONS_MAX, Policy
from processor.errors import A3CPError
from processor.runtime.erased import read_mark
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord
from processor.sessions.decoding import decode_part
from processor.sessions.ports import SESSIONS, TAGGED, Found, OutputRecord, SessionFilter, SessionReader, Source
from processor.sessions.summary import Rollup, SessionFold, new_session
from processor.view.outcomes import Outcomes
from processor.view.position import STATE, AsOf, Position, Progress
from processor.view.reading import Cursor, Held, Page
from processor.view.shared import Shared
from processor.view.standing import Ahead, Standing
from processor.view.states import Open, States, session_in
from processor.view.tail import Tail
from processor.view.watching import Watch

_TAIL_BYTES_MAX: Final = 256 << 20
_SHARE: Final = 16  # that is dropped of the tail when it is full: not a little again and again
_LOCKED_RECORDS: Final = 100


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
        self._erased: dict[bytes, int] = {}  # when a person was erased, ms
        self._begun: Mapping[Source, int] | None = None
        self._ends: Shared[Mapping[Source, int]] | None = None

    # --- fed by the follower

    def begin(self, ends: Mapping[Source, int], ask_ends: Callable[[], Mapping[Source, int]] | None = None) -> None:
        """Take note of where the topics end as the follower begins: the view is ready once it has passed them.

        Args:
            ends: by kind and partition, for a reader of committed records.
            ask_ends: asks for later ends, as `caught_up` needs them; called in a thread.
        """
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
            for start in range(0, len(records), _LOCKED_RECORDS):
                with self._lock:
                    for record in records[start : start + _LOCKED_RECORDS]:
                        if not self._is_erased(record):
                            tail.add(record)
            if kind == SESSIONS:
                for record in records:
                    told += self._take_event(record)
            self._keep_within_bounds()
        self._progress.move({(kind, record.partition): record.offset + 1 for record in records})
        for future, event in told:
            if future.set_running_or_notify_cancel():
                future.set_result(event)

    def at(self, positions: Mapping[Source, int]) -> None:
        """Take note of the next offset of each partition, once everything before it was taken: markers pass too."""
        self._progress.move(positions)

    def trim(self) -> None:
        """Forget what is too old, and what the store holds by now; to be called now and then, by any one thread."""
        now_ms = self._now_ms()
        self._outcomes.trim(now_ms)
        self._ahead.trim(now_ms)

    # --- standing

    def is_ready(self) -> bool:
        """Whether the view has passed the ends that the topics had at `begin`."""
        return self._begun is not None and self._progress.has_passed(self._begun)

    def why_not_ready(self) -> str | None:
        """Return what the view waits for, in words; None when it is ready."""
        if self._begun is None:
            return "it has not begun to read the topics"
        left = self._progress.left(self._begun)
        return f"it reads the topics, {left} offsets are left" if left else None

    def position(self, user_id: str) -> Position:
        """Return where the view stands in the partition of a user."""
        return self._progress.position(partition_of(user_id.encode(), self._partitions))

    def positions(self) -> Sequence[Position]:
        """Return where the view stands in each partition."""
        return self._progress.positions()

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
        key = self._states.user_of(session_id) or self._ahead.user_of(session_id)
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

    # --- one session or many: may read the store, so call these in a thread

    def session(self, session_id: str, *, as_of: AsOf | None = None) -> Held | None:
        """Return a session with all that belongs to it; None if neither store nor tail knows it.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        stored = [] if self._store is None else self._store.sessions(SessionFilter(session_id=session_id), limit=1)
        key = stored[0].user_id.encode() if stored else self._states.user_of(session_id)
        if key is None:
            return None
        messages = [] if self._store is None else list(self._store.messages(session_id))
        events = [] if self._store is None else list(self._store.events(session_id))
        beyond = {TAGGED: messages[-1].offset if messages else -1, SESSIONS: events[-1].offset if events else -1}
        tail = [
            OutputRecord(kind, record.partition, record.offset, record.timestamp_ms, record.value)
            for kind, each in self._tails.items()
            for record in each.of(key, {})
            if record.offset > beyond[kind] and session_id.encode() in (record.value or b"")
        ]
        part = decode_part(self.codec, tail)
        mine = [message for message in part.messages if message.row.session_id == session_id]
        told = [event for event in part.events if event.row.session_id == session_id]
        if not stored and not mine and not told:
            return None
        if stored:
            fold = SessionFold(stored[0])
        else:
            start_ms = (told or mine)[0].start_ms
            partition = partition_of(key, self._partitions)
            fold = SessionFold(new_session(session_id, key.decode(), partition, start_ms))
        for message in mine:
            fold.add_message(message.row, message.facts)
        for event in told:
            fold.add_event(event.view)
        del as_of
        return Held(
            fold.row(),
            self.position(key.decode()),
            is_whole=True,
            messages=lambda: iter([*messages, *(message.row for message in mine)]),
            events=lambda: iter([*events, *(event.row for event in told)]),
        )

    def sessions(self, wanted: SessionFilter, *, limit: int, after: Cursor | None = None, skip: int = 0) -> Page:
        """Return a page of the sessions that pass, newest start first.

        Args:
            wanted: which; limit: how many at most.
            after: the `next` of the page before.
            skip: leave out so many first.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        del after
        rows = [] if self._store is None else self._store.sessions(wanted, limit=limit, skip=skip)
        return Page(rows, None, self.positions(), None)

    def count(self, wanted: SessionFilter) -> int:
        """Return how many sessions pass. Raises as `sessions`."""
        return 0 if self._store is None else self._store.count(wanted)

    def search(self, words: str, wanted: SessionFilter, *, limit: int) -> Sequence[Found]:
        """Return texts that hold all of `words`, of sessions that pass, latest first. Raises as `sessions`."""
        return [] if self._store is None else self._store.search(words, wanted, limit=limit)

    def rollups(self, wanted: SessionFilter, by: Literal["day", "user", "template"]) -> dict[str, Rollup]:
        """Return what the sessions that pass add up to, by day of start, owner or template. Raises as `sessions`."""
        raise NotImplementedError

    # --- live

    def watch(
        self,
        *,
        owner: str | None = None,
        session_id: str | None = None,
        wanted: SessionFilter | None = None,
        queue_max: int = 256,
    ) -> Watch:
        """Return what happens from now on; to be called in a running event loop.

        Args:
            owner: only what concerns this owner, lanes among it.
            session_id: only this session: its events and messages.
            wanted: without `session_id`: only events of sessions that pass; without it too, all events.
            queue_max: how many wait for the reader before it counts as slow.
        """
        raise NotImplementedError

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
        try:
            event = self.codec.decode_event(record.value or b"")
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

    def _is_erased(self, record: TopicRecord) -> bool:
        return bool(self._erased) and record.timestamp_ms <= self._erased.get(record.key or b"", -1)

    def _keep_within_bounds(self) -> None:
        size_bytes = sum(tail.size_bytes for tail in self._tails.values())
        if size_bytes > self._tail_bytes_max:
            largest = max(self._tails.values(), key=lambda tail: tail.size_bytes)
            with self._lock:
                largest.drop_oldest(size_bytes - self._tail_bytes_max * (_SHARE - 1) // _SHARE)
