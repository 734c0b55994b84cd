"""The users' states as the state topic holds them: encoded, so that a million take little room."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from processor.codec.state import decode_state, session_ids
from processor.core.ids import LANE_CHARS, owner_of
from processor.core.model import Session, UserState
from processor.errors import DecodeError


class Open(NamedTuple):
    """An open session, perhaps a paused one."""

    user_id: str  # the core's: perhaps a lane
    session: Session


class States:
    """Who has which sessions. One thread puts; others may ask meanwhile, and find each user before or after a change.

    An encoded state takes a quarter of the room of a decoded one, and is decoded in 1.5 µs when somebody asks.
    """

    def __init__(self) -> None:
        self._states: dict[bytes, bytes] = {}
        self._users: dict[int, bytes] = {}  # by the hash of a session's id: who may have it, as the state then says
        self._lanes: dict[bytes, set[bytes]] = {}  # by owner
        self.unreadable = 0  # states of another release, or damaged ones; nobody knows these users' sessions

    def __len__(self) -> int:
        return len(self._states)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Take a user's next state; None when the user is forgotten."""
        before = self._states.get(key)
        old = [] if before is None else session_ids(before)
        try:
            new = [] if value is None else session_ids(value)
        except DecodeError:
            self.unreadable += 1
            value, new = None, []
        if before is not None and value is not None and new == old:  # As with nearly all that happens in a session.
            self._states[key] = value
            return
        users = self._users
        if before is not None and old:
            key = users.get(hash(old[0]), key)  # One key object for all that is known of a user.
        for session_id in old:
            if session_id not in new:
                users.pop(hash(session_id), None)
        if value is None:
            if before is not None:
                del self._states[key]
                self._note_lane(key, is_known=False)
            return
        self._states[key] = value
        for session_id in new:
            if session_id not in old:
                users[hash(session_id)] = key
        if before is None:
            self._note_lane(key, is_known=True)

    def has(self, key: bytes) -> bool:
        """Whether anything is remembered of a user."""
        return key in self._states

    def of(self, key: bytes) -> UserState | None:
        """Return a user's state; None if nothing is remembered."""
        value = self._states.get(key)
        return None if value is None else _state_in(value)

    def user_of(self, session_id: str) -> bytes | None:
        """Return the key of the user who has a session, as long as a state remembers it."""
        key = self._users.get(hash(session_id))
        return key if key is not None and session_in(self.of(key), session_id) is not None else None

    def open_sessions(self, owner: str | None) -> Iterator[Open]:
        """Yield the sessions that are open as the states have it, all or an owner's, lanes among them."""
        if owner is None:
            keys: Iterable[bytes] = list(self._states)
        else:
            key = owner.encode()
            keys = [key, *sorted(self._lanes.get(key, ()))]
        for key in keys:
            state = self.of(key)
            if state is not None and state.current is not None and state.current.end_ms is None:
                yield Open(key.decode(), state.current)

    def _note_lane(self, key: bytes, *, is_known: bool) -> None:
        if key[-LANE_CHARS : 1 - LANE_CHARS] != b"~":
            return
        owner = owner_of(key.decode()).encode()
        if is_known:
            self._lanes.setdefault(owner, set()).add(key)
        else:
            lanes = self._lanes[owner]
            lanes.discard(key)
            if not lanes:
                del self._lanes[owner]


def _state_in(value: bytes) -> UserState | None:
    try:
        return decode_state(value)
    except DecodeError:
        return None  # Damaged behind its sessions.


def session_in(state: UserState | None, session_id: str) -> Session | None:
    """Return the session of that id in `state`; None if it is not remembered."""
    if state is None:
        return None
    if state.current is not None and state.current.session_id == session_id:
        return state.current
    return next((session for session in state.closed if session.session_id == session_id), None)
