"""Open sessions as they were last encoded: they are sent from memory, without a thread, until one changes."""

import time
from collections import OrderedDict
from typing import Final, NamedTuple

from processor.view.position import Position
from processor.view.view import Version, View

SESSIONS_MAX: Final = 10_000  # about 2 KiB each
_KEPT_S: Final = (60.0, 120.0)  # A store may be corrected without a word.


def kept_until_s(session_id: str) -> float:
    """Return until when what is read of a session now is kept, as `time.monotonic` has it.

    That is later for one session than for another: many that are read at once are not all read again at once.
    """
    least_s, most_s = _KEPT_S
    return time.monotonic() + least_s + (most_s - least_s) * (hash(session_id) % 64) / 64


class Encoded(NamedTuple):
    """A session as it is sent."""

    version: Version
    user_id: str  # the core's
    owner: str
    etag: str
    body: bytes
    until_s: float


class EncodedSessions:
    """The sessions that were encoded last; for one event loop."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Encoded] = OrderedDict()

    def get(self, view: View, session_id: str) -> tuple[Encoded, Position] | None:
        """Return a session as it is still, and how much of the log it reflects; None if that is not known."""
        known = self._sessions.get(session_id)
        if known is None:
            return None
        position = view.position(known.user_id)  # Before the version is: that holds at least as much.
        if view.version(session_id) != known.version or time.monotonic() > known.until_s:
            del self._sessions[session_id]
            return None
        self._sessions.move_to_end(session_id)
        return known, position

    def put(
        self, session_id: str, version: Version | None, *, user_id: str, owner: str, etag: str, body: bytes
    ) -> None:
        """Keep a session that was read after it had `version`; None if it has none, and is not kept."""
        if version is None:
            return
        self._sessions[session_id] = Encoded(version, user_id, owner, etag, body, kept_until_s(session_id))
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
