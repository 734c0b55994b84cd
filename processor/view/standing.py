"""Whether a session is open, from two sources that have no order between them: states and session events.

How often a session was told to have ended orders both: `2 * ends + is_open`. The greater one is the newer one. Between
two that are equal, of an open session, its activity decides.
"""

from collections import OrderedDict
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from processor.codec.events import EventView
from processor.core.model import Session, UserState
from processor.view.states import States, session_in

KEPT_MS: Final = 600_000  # how long an event is kept that no state has caught up with; a state takes ms


class Standing(StrEnum):
    """Whether a session is open; the values are the words of the API."""

    ACTIVE = "active"
    PAUSED = "paused"
    CLOSED = "closed"

    @property
    def is_open(self) -> bool:
        """Whether it has not ended; a paused session is open."""
        return self is not Standing.CLOSED


class _LatestEvent(NamedTuple):
    """What the latest event of a session says of it."""

    ends: int  # how often it was told to have ended
    standing: Standing
    at_ms: int  # event time
    append_ms: int  # when the event was written

    def place(self) -> tuple[int, int]:
        """Return what orders it among all that is said of the session."""
        return 2 * self.ends + self.standing.is_open, self.at_ms


def standing_of(session: Session) -> Standing:
    """Return how `session` stands in its user's state."""
    if session.end_ms is not None:
        return Standing.CLOSED
    return Standing.ACTIVE if session.paused_at_ms is None else Standing.PAUSED


def _place_of(session: Session) -> tuple[int, int]:
    return 2 * session.ends + (session.end_ms is None), session.last_ms


class Ahead:
    """What session events say and no state has said yet: of each session the latest, by user, the latest told last.

    One thread takes; others may ask meanwhile.
    """

    def __init__(self) -> None:
        self._told: OrderedDict[bytes, dict[str, _LatestEvent]] = OrderedDict()

    def take(self, event: EventView, append_ms: int, states: States) -> None:
        """Take the next event of a user; `states` are those so far."""
        key, session_id = event.user_id.encode(), event.session_id
        if session_id is None or event.kind == "rejected":
            return
        state = states.of(key)
        session, of_user = session_in(state, session_id), self._told.get(key, {})
        told = _told_by(event, append_ms, of_user.get(session_id), session)
        if told is None or (session is not None and told.place() < _place_of(session)):
            return
        left = {name: each for name, each in of_user.items() if name != session_id}
        if session is None or told.place() > _place_of(session) or told.standing is not standing_of(session):
            left[session_id] = told
        self._put(key, left)

    def caught_up(self, key: bytes, states: States, append_ms: int) -> None:
        """Forget what the user's new state, written at `append_ms`, says too, or has forgotten since."""
        if key not in self._told:
            return
        left, state = {}, states.of(key)
        for session_id, told in self._told[key].items():
            session = session_in(state, session_id)
            if session is None or (told.place() == _place_of(session) and told.standing is not standing_of(session)):
                is_older = told.append_ms < append_ms  # Nothing else tells.
            else:
                is_older = told.place() <= _place_of(session)
            if not is_older:
                left[session_id] = told
        self._put(key, left)

    def of(self, key: bytes, session_id: str, state: UserState | None) -> Standing | None:
        """Return how a user's session stands by its events and the user's `state`; None if neither knows it."""
        session = session_in(state, session_id)
        told = self._told.get(key, {}).get(session_id)
        if told is None or (session is not None and told.place() < _place_of(session)):
            return None if session is None else standing_of(session)
        return told.standing

    def sessions(self, key: bytes) -> Iterator[str]:
        """Yield the ids of the user's sessions of which events say more than the state, the latest first."""
        yield from reversed(self._told.get(key, {}))

    def user_of(self, session_id: str) -> bytes | None:
        """Return the key of the user whose session events tell of; they are few."""
        return next((key for key, told in list(self._told.items()) if session_id in told), None)

    def forget(self, key: bytes) -> None:
        """Forget a user."""
        self._told.pop(key, None)

    def trim(self, now_ms: int) -> None:
        """Forget the users of whom events are too old for a state to be still missing."""
        while self._told:
            key, told = next(iter(self._told.items()))
            if max(each.append_ms for each in told.values()) > now_ms - KEPT_MS:
                return
            del self._told[key]

    def _put(self, key: bytes, told: dict[str, _LatestEvent]) -> None:
        """Keep the latest events of a user, who is now the last in the order in which users are forgotten."""
        if told:
            self._told[key] = told
            self._told.move_to_end(key)
        else:
            self._told.pop(key, None)


def _told_by(
    event: EventView, append_ms: int, before: _LatestEvent | None, session: Session | None
) -> _LatestEvent | None:
    """Return what `event` says of its session: what was told `before`, or what `session` is, and what came now.

    How often the session has ended is in its starts and ends; any other event leaves that as it was.
    """
    standing, ends = Standing.ACTIVE, before.ends if before is not None else session.ends if session is not None else 0
    match event.kind:
        case "started":
            ends = 0
        case "ended":
            standing, ends = Standing.CLOSED, (event.revision or 0) + 1
        case "paused":
            standing = Standing.PAUSED
        case "reopened" | "resumed":
            pass
        case _:
            return before
    return _LatestEvent(ends, standing, event.timestamp, append_ms)
