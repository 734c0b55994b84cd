"""Hands on the sessions that a target does not have as they are now; each until it is noted."""

from collections.abc import Callable
from typing import Final

from processor.exporter.model import SessionRow, SessionView
from processor.exporter.ports import SessionFilter, Store

PAGE_SESSIONS: Final = 100  # noted in one transaction; after a kill, at most as many are handed on again


def view_of(store: Store, session: SessionRow) -> SessionView:
    """Return `session` with what it counts, and nothing that came later."""
    return SessionView(
        session,
        lambda: store.messages(session.session_id, count_max=session.held_count),
        lambda: store.events(session.session_id, count_max=session.event_count),
    )


def hand_on(
    store: Store,
    target: str,
    wanted: SessionFilter,
    take: Callable[[SessionView], object],
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Give `take` each of the `wanted` sessions that `target` does not have as it is now, oldest first.

    Args:
        store: where they are.
        target: what the store remembers them by; a place has one name for good.
        wanted: which sessions; those that have not ended change with every message.
        take: writes one; when it returns, the session counts as handed on.
        stopped: asked before each.

    Returns:
        how many were taken.
    """
    count = 0
    while page := store.unexported(target, wanted, limit=PAGE_SESSIONS):
        done: dict[str, int] = {}
        try:
            for session in page:
                if stopped():
                    return count
                take(view_of(store, session))
                done[session.session_id] = session.changes
                count += 1
        finally:
            store.note_exported(target, done)
    return count
