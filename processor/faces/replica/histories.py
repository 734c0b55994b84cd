"""The last messages of open sessions, encoded: an assistant reads them before each of its answers.

They are sent from memory, without a thread. What was said since they were read is in the view's memory and is added, so
the store is asked the first time alone.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from processor.faces.replica.recent import Recent, kept_until_s
from processor.sessions.model import MessageRow
from processor.view.memory import Version
from processor.view.position import Position
from processor.view.view import View

MESSAGES_MAX: Final = 50
"""So many messages of a session are kept."""

SIZE_BYTES_MAX: Final = 32 << 20


@dataclass(slots=True, eq=False)
class History:
    """The last messages of a session."""

    version: Version
    owner: str
    last: MessageRow
    messages: deque[bytes]
    until_s: float

    def latest(self, limit: int) -> Sequence[bytes] | None:
        """Return the last `limit` messages, or all if there are fewer; None if not so many are kept."""
        count = len(self.messages)
        return list(self.messages)[-limit:] if limit <= count or count == self.last.seq else None

    @property
    def size_bytes(self) -> int:
        """See `Keepable`."""
        return sum(map(len, self.messages))


class Histories:
    """The histories that were read last; for one event loop."""

    def __init__(self) -> None:
        self._recent: Recent[History] = Recent(SIZE_BYTES_MAX)

    def get(
        self, view: View, session_id: str, encode: Callable[[MessageRow], bytes]
    ) -> tuple[History, Position] | None:
        """Return a session's history as it is now, and how much of the log it reflects; None if that is not known.

        `encode` encodes what was said since it was read.
        """
        known = self._recent.get(session_id)
        if known is None:
            return None
        position = view.progress.position_of(known.last.user_id)  # Before the version is: that holds at least as much.
        version = view.memory.version(session_id)
        if version != known.version:
            self._recent.drop(session_id)
            rows = None if version is None else view.messages_behind(known.last, MESSAGES_MAX)
            if version is None or rows is None or not _follow(known.last, rows):
                return None
            known.messages.extend(map(encode, rows))
            known.last = rows[-1] if rows else known.last
            known.version = version
            self._recent.keep(session_id, known)
        return known, position

    def put(
        self, session_id: str, version: Version | None, owner: str, last: MessageRow, messages: Sequence[bytes]
    ) -> None:
        """Keep the last messages of a session that were read after it had `version`; nothing if it has none."""
        if version is not None:
            history = History(version, owner, last, deque(messages, MESSAGES_MAX), kept_until_s(session_id))
            self._recent.keep(session_id, history)


def _follow(last: MessageRow, rows: Sequence[MessageRow]) -> bool:
    """Return whether `rows` are the next messages after `last`."""
    return all(row.seq == (last.seq or 0) + number for number, row in enumerate(rows, 1))
