"""The view: what one replica of the service knows of all sessions."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from hashlib import sha256
from typing import Final, Literal

from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.errors import A3CPError
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord
from processor.sessions.decoding import decode_part
from processor.sessions.ports import SESSIONS, TAGGED, Found, OutputRecord, SessionFilter, SessionReader, Source
from processor.sessions.summary import Rollup, SessionFold, new_session
from processor.view.outcomes import Outcomes
from processor.view.position import CLUSTER_DIGITS, STATE, AsOf, Position
from processor.view.reading import Cursor, Held, Page
from processor.view.shared import Shared
from processor.view.standing import Standing, Told, standing_of, told_by
from processor.view.states import Open, States, session_in
from processor.view.tail import Tail
from processor.view.watching import Watch

_TAIL_BYTES_MAX: Final = 256 << 20
_LOOK_EVERY_S: Final = 0.005


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
        self._codec = codec
        self._store = store
        self._partitions = partitions
        self._cluster = sha256(cluster_id.encode()).hexdigest()[:CLUSTER_DIGITS]
        self._now_ms = now_ms
        self._tail_bytes_max = tail_bytes_max
        self._lock = threading.Lock()
        self._states = States()
        self._told: dict[bytes, dict[str, Told]] = {}
        self._outcomes = Outcomes()
        self._tails = {TAGGED: Tail(), SESSIONS: Tail()}
        self._positions: dict[Source, int] = {}
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
        with self._lock:
            for record in records:
                if kind == STATE:
                    self._take_state(record)
                else:
                    self._tails[kind].add(record)
                    if kind == SESSIONS:
                        told += self._take_event(record)
                self._positions[kind, record.partition] = record.offset + 1
            size = sum(tail.size_bytes for tail in self._tails.values())
            if size > self._tail_bytes_max:
                self._tails[TAGGED].drop_oldest(size - self._tail_bytes_max)
        for future, event in told:
            if future.set_running_or_notify_cancel():
                future.set_result(event)

    def at(self, positions: Mapping[Source, int]) -> None:
        """Take note of the next offset of each partition, once everything before it was taken: markers pass too."""
        for source, offset in positions.items():
            self._positions[source] = max(offset, self._positions.get(source, 0))

    def trim(self) -> None:
        """Forget what is too old, and what the store holds by now; to be called now and then."""
        self._outcomes.trim(self._now_ms())

    # --- standing

    def is_ready(self) -> bool:
        """Whether the view has passed the ends that the topics had at `begin`."""
        return self._begun is not None and self._has_passed(self._begun)

    def why_not_ready(self) -> str | None:
        """Return what the view waits for, in words; None when it is ready."""
        if self._begun is None:
            return "it has not begun to read the topics"
        left = sum(max(0, end - self._positions.get(source, 0)) for source, end in self._begun.items())
        return f"it reads the topics, {left} offsets are left" if left else None

    def position(self, user_id: str) -> Position:
        """Return where the view stands in the partition of a user."""
        return self._position(partition_of(user_id.encode(), self._partitions))

    def positions(self) -> Sequence[Position]:
        """Return where the view stands in each partition."""
        return [self._position(partition) for partition in range(self._partitions)]

    async def passed(self, ends: Mapping[Source, int], timeout_s: float) -> bool:
        """Wait until the view has passed `ends`, by kind and partition; return whether it has in time."""
        until_s = time.monotonic() + timeout_s
        while not self._has_passed(ends):
            if time.monotonic() >= until_s:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True

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
        """Return whether a user's session is open; None if this view does not know it in memory.

        `user_id` is the core's: a lane, if the session is in one.
        """
        key = user_id.encode()
        session = session_in(self._states.of(key), session_id)
        told = self._told.get(key, {}).get(session_id)
        if told is not None and (session is None or told.is_beyond(session)):
            return told.standing
        return None if session is None else standing_of(session)

    def last_activity_ms(self, user_id: str, session_id: str) -> int | None:
        """Return the event time of a session's latest activity; None if no state remembers it.

        `user_id` is as for `standing`.
        """
        session = session_in(self._states.of(user_id.encode()), session_id)
        return None if session is None else session.last_ms

    def open_session(self, user_id: str) -> str | None:
        """Return the id of the user's open session, paused ones too; None if none is open."""
        key = user_id.encode()
        for session_id, told in reversed(self._told.get(key, {}).items()):
            if told.standing.is_open and self.standing(user_id, session_id) is not Standing.CLOSED:
                return session_id
        state = self._states.of(key)
        current = None if state is None else state.current
        if current is None or self.standing(user_id, current.session_id) is Standing.CLOSED:
            return None
        return current.session_id

    def user_of(self, session_id: str) -> str | None:
        """Return whose session it is, in the core's words: perhaps a lane. None if it is not known in memory."""
        key = self._states.user_of(session_id)
        if key is None:
            return None
        user_id = key.decode()
        return user_id if self.standing(user_id, session_id) is not None else None

    def owner_of(self, user_id: str) -> str:
        """Return the owner of a lane; of any other user id, the id itself."""
        owner, mark, digits = user_id.rpartition("~")
        is_lane = mark and len(digits) == 8 and set(digits) <= set("0123456789abcdef")
        return owner if owner and is_lane else user_id

    def open_sessions(self, owner: str | None = None) -> Iterator[Open]:
        """Yield the open sessions as they are now, all or those of one owner, lanes among them."""
        for each in self._states.open_sessions():
            if owner is None or self.owner_of(each.user_id) == owner:
                yield each

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
            for record in each.of(key)
            if record.offset > beyond[kind] and session_id.encode() in (record.value or b"")
        ]
        part = decode_part(self._codec, tail)
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
        state = self._states.put(record)
        key = record.key or b""
        told = self._told.get(key)
        if told is None:
            return
        for session_id, each in list(told.items()):
            session = session_in(state, session_id)
            is_passed = record.timestamp_ms > each.append_ms if session is None else not each.is_beyond(session)
            if is_passed:
                del told[session_id]
        if not told:
            del self._told[key]

    def _take_event(self, record: TopicRecord) -> list[tuple["Future[EventView]", EventView]]:
        try:
            event = self._codec.decode_event(record.value or b"")
        except A3CPError:
            return []  # A reader of the session counts it.
        key, session_id = event.user_id.encode(), event.session_id
        if session_id is not None and event.kind != "rejected":
            self._states.note(session_id, key)
            session = session_in(self._states.of(key), session_id)
            before = self._told.get(key, {}).get(session_id)
            told = told_by(event, record.timestamp_ms, before, session)
            if told is not None and (session is None or told.is_beyond(session)):
                self._told.setdefault(key, {})[session_id] = told
        return [(future, event) for future in self._outcomes.take(event, record.timestamp_ms)]

    def _position(self, partition: int) -> Position:
        at = self._positions
        return Position(self._cluster, partition, at.get((SESSIONS, partition), 0), at.get((TAGGED, partition), 0))

    def _has_passed(self, ends: Mapping[Source, int]) -> bool:
        return all(self._positions.get(source, 0) >= end for source, end in ends.items())
