"""Hands on the sessions that a target does not have as they are now; each until it is noted."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from processor.sessions.model import SessionRow, SessionView
from processor.sessions.ports import SessionFilter, Store

PAGE_SESSIONS: Final = 200  # noted in one transaction; after a kill, at most as many are handed on again


def view_of(store: Store, session: SessionRow) -> SessionView:
    """Return `session` with what it counts, and nothing that came later."""
    return SessionView(
        session,
        lambda: store.messages(session.session_id, count_max=session.held_count),
        lambda: store.events(session.session_id, count_max=session.event_count),
    )


def one_by_one(
    store: Store, take: Callable[[SessionView], bool]
) -> Callable[[Sequence[SessionRow]], Iterator[SessionRow]]:
    """Return what gives `take` each session of a page, and yields those of which it says true; for `hand_on`."""

    def taken(page: Sequence[SessionRow]) -> Iterator[SessionRow]:
        for session in page:
            if take(view_of(store, session)):
                yield session

    return taken


def hand_on(
    store: Store,
    target: str,
    wanted: SessionFilter,
    take: Callable[[Sequence[SessionRow]], Iterator[SessionRow]],
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Give `take` all of the `wanted` sessions that `target` does not have as they are now, oldest first, each once.

    Args:
        store: where they are.
        target: what the store remembers them by; a place has one name for good.
        wanted: which sessions; those that have not ended change with every message.
        take: writes a page of them and yields each once it is written: then it counts as handed on; others are given to
            it again the next time.
        stopped: asked before and after each.

    Returns:
        how many were handed on.
    """
    count = 0
    last: SessionRow | None = None
    while not stopped() and (page := store.unexported(target, wanted, limit=PAGE_SESSIONS, after=last)):
        last = page[-1]
        done: dict[str, int] = {}
        try:
            for session in take(page):
                done[session.session_id] = session.changes
                count += 1
                if stopped():
                    break
        finally:
            store.note_exported(target, done)
    return count
