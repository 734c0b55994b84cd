"""What the topics have told, as far as memory holds it: who is in which session now, and the latest records."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.core.model import RECENT_SESSIONS_MAX, Policy, UserState
from processor.errors import A3CPError, RegistryUnavailable
from processor.runtime.erased import read_mark
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord
from processor.sessions.ports import SESSIONS, TAGGED, Source
from processor.sessions.projection.decoding import decode_part
from processor.view.outcomes import Outcomes
from processor.view.position import STATE
from processor.view.standing import Ahead, Standing
from processor.view.states import Open, States, session_in
from processor.view.tail import Tail
from processor.view.unread import Unread

TAIL_BYTES_MAX: Final = 256 << 20
_DECODED_MAX: Final = 8_192  # records that stay decoded, 3 KiB each: a session that is read is read again
_SHARE: Final = 16  # that is dropped of the tail when it is full: not a little again and again
_LOCKED_RECORDS: Final = 100

Version: TypeAlias = tuple[int, int, int]
"""How far a user's records reach: in the tails of messages and of session events, and in the raw topic."""


class Memory:
    """The users' current states, outcomes of commands, and the latest records.

    One thread takes; any thread asks, and is answered quickly enough for an event loop.
    """

    def __init__(self, codec: Codec, *, tail_bytes_max: int) -> None:
        """Know nothing yet. `tail_bytes_max`: what the latest records may take; the oldest go first."""
        self._codec = codec
        self._tail_bytes_max = tail_bytes_max
        self.lock: Final = threading.Lock()  # of the tails; the rest changes one user at a time, and is read without it
        self.tails: Final = {TAGGED: Tail(), SESSIONS: Tail()}
        self.decoded: Final = lru_cache(_DECODED_MAX)(lambda record: decode_part(codec, (record,)))
        self._states = States()
        self._ahead = Ahead()
        self._outcomes = Outcomes()
        self._unread = Unread(codec.decode_event)
        self._erased: dict[bytes, int] = {}  # when a person was erased, ms
        self._begun: Mapping[Source, int] = MappingProxyType({})
        self._partitions = 0  # that the topics have; 0 until it has begun

    # --- one thread takes

    def begin(self, ends: Mapping[Source, int], floors: Mapping[str, Mapping[int, int]], now_ms: int) -> None:
        """Take note of where the topics end as reading begins, by kind and partition.

        `floors`: where the records begin that reads need, by topic and partition, if not at its beginning.
        """
        for topic, of_topic in floors.items():
            self.tails[topic].begin(of_topic, now_ms)
        self._begun = dict(ends)
        self._partitions = max((partition + 1 for _, partition in ends), default=0)

    def take(self, kind: str, records: Sequence[TopicRecord]) -> Sequence[tuple["Future[EventView]", EventView]]:
        """Take the next records of one topic (`STATE`, `TAGGED` or `SESSIONS`), those of a partition in their order.

        Returns:
            who waits for an outcome that came, with it: to be told once all else reflects the records.
        """
        told: list[tuple[Future[EventView], EventView]] = []
        if kind == STATE:
            for record in records:
                self._take_state(record)
            return told
        tail = self.tails[kind]
        left = [record for record in records if not self._is_erased(record)] if self._erased else records
        for start in range(0, len(left), _LOCKED_RECORDS):
            with self.lock:
                tail.add(left[start : start + _LOCKED_RECORDS])
        if kind == SESSIONS:
            told += self._take_events((*self._unread.readable(), *records))
        self._keep_within_bounds()
        return told

    def take_unread(self, now_ms: int) -> Sequence[tuple["Future[EventView]", EventView]]:
        """Take what could not be read before, and forget what no state has caught up with. Returns as `take`."""
        self._ahead.trim(now_ms)
        return self._take_events(self._unread.readable())

    def trim(self, stored: Mapping[str, Mapping[int, int]], now_ms: int) -> None:
        """Forget what is too old, and records before `stored`, by topic and partition. Any one thread may call it."""
        self._unread.ask()
        self._outcomes.trim(now_ms)
        for topic, floors in stored.items():
            is_left = True
            while is_left:
                with self.lock:
                    is_left = self.tails[topic].drop(floors)

    # --- any thread asks

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
        key = self.key_of(session_id)
        if key is None:
            return None
        state = self._states.of(key)
        standing = self._ahead.of(key, session_id, state)
        if standing is None or not standing.is_open:
            return None
        offset = -1 if state is None else state.last_offset  # It stays when the tails are trimmed.
        return self.tails[TAGGED].end(key), self.tails[SESSIONS].end(key), offset

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
        key = self.key_of(session_id)
        return None if key is None else key.decode()

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

    def key_of(self, session_id: str) -> bytes | None:
        """Return the key of a session's user; None if neither a state nor an event ahead of it tells."""
        return self._states.user_of(session_id) or self._ahead.user_of(session_id)

    def _take_state(self, record: TopicRecord) -> None:
        key = record.key or b""
        erased = read_mark(key)
        if erased is not None:
            self._erase(erased.user, record.timestamp_ms)
            return
        if self._is_left(record):
            return
        self._states.put(key, record.value)
        self._ahead.caught_up(key, self._states, record.timestamp_ms)

    def _is_left(self, record: TopicRecord) -> bool:
        """Whether a state record is of a partition that its user has left. What they have now may be known already.

        That can only be so of a tombstone, or of a record that was there at the beginning.
        """
        key = record.key or b""
        was_there = record.offset < self._begun.get((STATE, record.partition), 0)
        if record.value is not None and not (was_there and self._states.has(key)):
            return False
        return self._partitions > 0 and partition_of(key, self._partitions) != record.partition

    def _take_events(self, records: Iterable[TopicRecord]) -> list[tuple["Future[EventView]", EventView]]:
        return [told for record in records for told in self._take_event(record)]

    def _take_event(self, record: TopicRecord) -> list[tuple["Future[EventView]", EventView]]:
        if self._is_erased(record):
            return []
        if self._unread:
            self._unread.put(record)
            return []
        try:
            event = self._codec.decode_event(record.value or b"")
        except RegistryUnavailable:
            self._unread.put(record)
            return []
        except A3CPError:
            return []  # Who reads the session is told.
        if record.offset >= self._begun.get((SESSIONS, record.partition), 0):  # The states know of those before.
            self._ahead.take(event, record.timestamp_ms, self._states)
        return [(future, event) for future in self._outcomes.take(event, record.timestamp_ms)]

    def _erase(self, key: bytes, at_ms: int) -> None:
        """Forget all that came of a person until `at_ms`."""
        self._erased[key] = at_ms
        self._ahead.forget(key)
        self._outcomes.forget(key.decode())
        with self.lock:
            for tail in self.tails.values():
                tail.forget(key)
        self.decoded.cache_clear()

    def _is_erased(self, record: TopicRecord) -> bool:
        return bool(self._erased) and record.timestamp_ms <= self._erased.get(record.key or b"", -1)

    def _keep_within_bounds(self) -> None:
        size_bytes = sum(tail.size_bytes for tail in self.tails.values())
        if size_bytes > self._tail_bytes_max:
            largest = max(self.tails.values(), key=lambda tail: tail.size_bytes)
            with self.lock:
                largest.drop_oldest(size_bytes - self._tail_bytes_max * (_SHARE - 1) // _SHARE)
