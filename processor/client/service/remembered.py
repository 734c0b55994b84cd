"""What a client remembers of sessions: which it began, and which were active when it last asked."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

VALIDITY_S_MAX: Final = 30.0
"""How long the last "active" of a session is repeated while the service does not answer."""

_SESSIONS_MAX: Final = 10_000


class Remembered:
    """The latest sessions; the oldest are forgotten."""

    def __init__(self) -> None:
        self._own: OrderedDict[str, None] = OrderedDict()
        self._active: OrderedDict[str, float] = OrderedDict()  # when each was last said to be active

    @property
    def own(self) -> Sequence[str]:
        """Return the sessions begun here whose end was not seen."""
        return tuple(self._own)

    def began(self, session_id: str) -> None:
        """Remember that a session was begun here."""
        _remember(self._own, session_id, None)

    def is_active(self, session_id: str, now_s: float) -> bool:
        """Whether a session was said to be active, not too long ago."""
        return now_s - self._active.get(session_id, float("-inf")) <= VALIDITY_S_MAX

    def validated(self, session_id: str, now_s: float, *, is_active: bool) -> None:
        """Remember what was said of a session."""
        if is_active:
            _remember(self._active, session_id, now_s)
        else:
            self._active.pop(session_id, None)

    def forget(self, session_id: str) -> None:
        """Remember nothing of a session that has ended."""
        self._own.pop(session_id, None)
        self._active.pop(session_id, None)


def _remember(there: "OrderedDict[str, Any]", session_id: str, value: object) -> None:
    there[session_id] = value
    there.move_to_end(session_id)
    if len(there) > _SESSIONS_MAX:
        there.popitem(last=False)
