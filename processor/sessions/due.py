"""Hands on the sessions that a target does not have as they are now; each until it is noted."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from processor.sessions.model import SessionRow, SessionView
from processor.sessions.ports import ExportLedger, SessionFilter, SessionReader

PAGE_SESSIONS: Final = 200  # noted in one transaction; after a kill, at most as many are handed on again


class Taker(Protocol):
    """Writes sessions to a target."""

    @property
    def name(self) -> str:
        """What the ledger remembers the target by; a place has one name for good."""

    def take(self, page: Sequence[SessionRow]) -> Iterator[SessionRow]:
        """Write the sessions of `page`, and yield each once it is written. One that cannot be read is left out."""


def view_of(reader: SessionReader, session: SessionRow) -> SessionView:
    """Return `session` with what it counts, and nothing that came later."""
    return SessionView(
        session,
        lambda: reader.messages(session.session_id, count_max=session.held_count),
        lambda: reader.events(session.session_id, count_max=session.event_count),
    )


def hand_on(
    ledger: ExportLedger, taker: Taker, wanted: SessionFilter, *, stopped: Callable[[], bool] = lambda: False
) -> int:
    """Let `taker` write all of the `wanted` sessions that its target does not have as they are now, oldest first.

    Args:
        ledger: knows what the target has; what `taker` yields is noted, the rest is handed on again the next time.
        taker: writes them.
        wanted: which sessions; those that have not ended change with every message.
        stopped: asked before and after each.

    Returns:
        how many were written.
    """
    count = 0
    last: SessionRow | None = None
    while not stopped() and (page := ledger.unexported(taker.name, wanted, limit=PAGE_SESSIONS, after=last)):
        last = page[-1]
        done: dict[str, int] = {}
        try:
            for session in taker.take(page):
                done[session.session_id] = session.changes
                count += 1
                if stopped():
                    break
        finally:
            ledger.note_exported(taker.name, done)
    return count
