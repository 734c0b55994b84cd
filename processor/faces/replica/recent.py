"""What was read last of sessions, kept in memory: as much as a limit allows, and for a minute or two."""

import time
from collections import OrderedDict
from typing import Final, Generic, Protocol, TypeVar

_KEPT_S: Final = (60.0, 120.0)  # A store may be corrected without a word.


def kept_until_s(session_id: str) -> float:
    """Return until when what is read of a session now is kept, as `time.monotonic` has it.

    That is later for one session than for another: many that are read at once are not all read again at once.
    """
    least_s, most_s = _KEPT_S
    return time.monotonic() + least_s + (most_s - least_s) * (hash(session_id) % 64) / 64


class Keepable(Protocol):
    """What is kept of a session."""

    @property
    def until_s(self) -> float:
        """As `kept_until_s`, of when it was read."""

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, roughly."""


Kept = TypeVar("Kept", bound=Keepable)


class Recent(Generic[Kept]):
    """What is kept, by session; for one event loop."""

    def __init__(self, bytes_max: int) -> None:
        """Keep at most `bytes_max`; what was asked for longest ago goes first."""
        self._bytes_max = bytes_max
        self._size_bytes = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def get(self, session_id: str) -> Kept | None:
        """Return what is kept of a session; None if there is nothing, or it is too old."""
        kept = self._kept.get(session_id)
        if kept is None:
            return None
        if time.monotonic() > kept.until_s:
            self.drop(session_id)
            return None
        self._kept.move_to_end(session_id)
        return kept

    def drop(self, session_id: str) -> None:
        """Keep nothing of a session. Whoever changes what is kept drops it before."""
        if (kept := self._kept.pop(session_id, None)) is not None:
            self._size_bytes -= kept.size_bytes

    def keep(self, session_id: str, kept: Kept) -> None:
        """Keep it, in place of what is kept."""
        self.drop(session_id)
        self._kept[session_id] = kept
        self._size_bytes += kept.size_bytes
        while self._size_bytes > self._bytes_max:
            self.drop(next(iter(self._kept)))
