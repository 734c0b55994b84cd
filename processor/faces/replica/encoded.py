"""Open sessions as they were last encoded: they are sent from memory, without a thread, until one changes."""

from typing import Final, NamedTuple

from processor.faces.replica.recent import Recent, kept_until_s
from processor.view.memory import Version
from processor.view.position import Position
from processor.view.view import View

SIZE_BYTES_MAX: Final = 20 << 20  # about 10,000 sessions


class Encoded(NamedTuple):
    """A session as it is sent."""

    version: Version
    user_id: str  # the core's
    owner: str
    etag: str
    body: bytes
    until_s: float

    @property
    def size_bytes(self) -> int:
        """See `Keepable`."""
        return len(self.body)


class EncodedSessions:
    """The sessions that were encoded last; for one event loop."""

    def __init__(self) -> None:
        self._recent: Recent[Encoded] = Recent(SIZE_BYTES_MAX)

    def get(self, view: View, session_id: str) -> tuple[Encoded, Position] | None:
        """Return a session as it is still, and how much of the log it reflects; None if that is not known."""
        known = self._recent.get(session_id)
        if known is None:
            return None
        position = view.progress.position_of(known.user_id)  # Before the version is: that holds at least as much.
        if view.memory.version(session_id) != known.version:
            self._recent.drop(session_id)
            return None
        return known, position

    def put(
        self, session_id: str, version: Version | None, *, user_id: str, owner: str, etag: str, body: bytes
    ) -> None:
        """Keep a session that was read after it had `version`; None if it has none, and is not kept."""
        if version is not None:
            self._recent.keep(session_id, Encoded(version, user_id, owner, etag, body, kept_until_s(session_id)))
