"""Whether a session is open, from two sources that have no order between them: states and session events.

How often a session was told to have ended orders both: `2 * ends + is_open`. The greater one is the newer one.
"""

from enum import StrEnum
from typing import NamedTuple

from processor.codec.events import EventView
from processor.core.model import Session


class Standing(StrEnum):
    """Whether a session is open; the values are the words of the API."""

    ACTIVE = "active"
    PAUSED = "paused"
    CLOSED = "closed"

    @property
    def is_open(self) -> bool:
        """Whether it has not ended; a paused session is open."""
        return self is not Standing.CLOSED


class Told(NamedTuple):
    """What the latest event of a session says of it, as long as no state has said as much."""

    ends: int
    standing: Standing
    at_ms: int  # event time
    append_ms: int  # when the event was written

    @property
    def order(self) -> int:
        """Its place among all that is said of the session."""
        return 2 * self.ends + self.standing.is_open

    def is_beyond(self, session: Session) -> bool:
        """Whether the event is newer than the state that holds `session`, as far as that can be told."""
        order = order_of(session)
        return self.order > order or (self.order == order and self.at_ms >= session.last_ms)


def standing_of(session: Session) -> Standing:
    """Return how `session` stands in its user's state."""
    if session.end_ms is not None:
        return Standing.CLOSED
    return Standing.ACTIVE if session.paused_at_ms is None else Standing.PAUSED


def order_of(session: Session) -> int:
    """Return the place of what a state says of `session` among all that is said of it."""
    return 2 * session.ends + (session.end_ms is None)


def told_by(event: EventView, append_ms: int, before: Told | None, session: Session | None) -> Told | None:
    """Return what `event` says of its session; None if it says nothing new.

    Args:
        event: the session's next event.
        append_ms: when it was written.
        before: what the session's earlier events said, if no state has caught up with them.
        session: the session as the user's state has it, if it does.
    """
    match event.kind:
        case "started":
            return Told(0, Standing.ACTIVE, event.timestamp, append_ms)
        case "ended":
            return Told((event.revision or 0) + 1, Standing.CLOSED, event.timestamp, append_ms)
        case "reopened":
            return Told((event.revision or 0) + 1, Standing.ACTIVE, event.timestamp, append_ms)
        case "paused" | "resumed":
            standing = Standing.PAUSED if event.kind == "paused" else Standing.ACTIVE
            if before is not None:
                return Told(before.ends, standing, event.timestamp, append_ms)
            if session is not None and session.end_ms is None:
                return Told(session.ends, standing, event.timestamp, append_ms)
    return before
