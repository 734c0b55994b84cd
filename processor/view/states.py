"""The users' states as the state topic holds them: encoded, so that a million take little room."""

from collections.abc import Iterator
from typing import NamedTuple

from processor.codec.state import decode_state
from processor.core.model import Session, UserState
from processor.errors import DecodeError
from processor.runtime.ports import TopicRecord


class Open(NamedTuple):
    """An open session, paused ones among them."""

    user_id: str
    session: Session


class States:
    """Who has which sessions; for one thread at a time."""

    def __init__(self) -> None:
        self._states: dict[bytes, bytes] = {}
        self._users: dict[int, bytes] = {}  # by the hash of a session's id, which the state that is found confirms
        self.unreadable = 0  # states of another release, or damaged ones

    def __len__(self) -> int:
        return len(self._states)

    def put(self, record: TopicRecord) -> UserState | None:
        """Take a record of the state topic; return the state in it, None when the user is forgotten."""
        key = record.key or b""
        before = self._states.get(key)
        state = None if record.value is None else self._decoded(record.value)
        ids = _ids(state)
        for session_id in _ids(None if before is None else decode_state(before)) - ids:
            self._users.pop(hash(session_id), None)
        if state is None or record.value is None:
            self._states.pop(key, None)
            return None
        self._states[key] = record.value
        for session_id in ids:
            self._users[hash(session_id)] = key
        return state

    def of(self, key: bytes) -> UserState | None:
        """Return a user's state; None if nothing is remembered."""
        value = self._states.get(key)
        return None if value is None else decode_state(value)

    def note(self, session_id: str, key: bytes) -> None:
        """Take note of whose session it is, before a state says so."""
        self._users.setdefault(hash(session_id), key)

    def user_of(self, session_id: str) -> bytes | None:
        """Return the key of the user whose session it may be."""
        return self._users.get(hash(session_id))

    def open_sessions(self) -> Iterator[Open]:
        """Yield the open sessions as they were when the first one was asked for."""
        for key, value in list(self._states.items()):
            session = decode_state(value).current
            if session is not None and session.end_ms is None:
                yield Open(key.decode(), session)

    def _decoded(self, value: bytes) -> UserState | None:
        try:
            return decode_state(value)
        except DecodeError:
            self.unreadable += 1
            return None


def session_in(state: UserState | None, session_id: str) -> Session | None:
    """Return the session of that id in `state`, if it is remembered."""
    if state is None:
        return None
    if state.current is not None and state.current.session_id == session_id:
        return state.current
    return next((session for session in state.closed if session.session_id == session_id), None)


def _ids(state: UserState | None) -> frozenset[str]:
    if state is None:
        return frozenset()
    ids = {session.session_id for session in state.closed}
    if state.current is not None:
        ids.add(state.current.session_id)
    return frozenset(ids)
