"""Touches: that somebody is still there is told to the log once a minute for each session, however often it is said."""

from collections import OrderedDict
from typing import Final

from processor.codec.events import EventView

EVERY_MS: Final = 60_000
_KEPT_MAX: Final = 100_000


class Touches:
    """The latest touch of each session that this replica sent to the log."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, tuple[int, EventView]] = OrderedDict()

    def recent(self, session_id: str, now_ms: int) -> EventView | None:
        """Return what came of the latest touch, if that is no minute ago."""
        at_ms, event = self._latest.get(session_id, (0, None))
        return event if now_ms - at_ms < EVERY_MS else None

    def note(self, session_id: str, now_ms: int, event: EventView) -> None:
        """Take note that a session was touched, and what came of it."""
        self._latest[session_id] = now_ms, event
        self._latest.move_to_end(session_id)
        if len(self._latest) > _KEPT_MAX:
            self._latest.popitem(last=False)
