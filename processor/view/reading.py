"""Reads sessions: what the store holds up to its offsets, then what the tail holds beyond them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from processor.sessions.model import EventRow, MessageRow, SessionRow, SessionView
from processor.view.position import Position

Cursor: TypeAlias = tuple[int, str]
"""Start, ms, and id of the last session of a page."""


@dataclass(frozen=True, slots=True)
class Held:
    """One session as it is known at `position`."""

    row: SessionRow
    position: Position
    is_whole: bool  # False when records between the store and the tail are missing: the numbers may be too small
    messages: Callable[[], Iterator[MessageRow]]  # in order of `seq`
    events: Callable[[], Iterator[EventRow]]  # in the order of the log

    @property
    def view(self) -> SessionView:
        """The session as the writers of bundles take it."""
        return SessionView(self.row, self.messages, self.events)


class Page(NamedTuple):
    """Some of the sessions that pass a filter, newest start first."""

    rows: Sequence[SessionRow]
    next: Cursor | None  # where the next page begins; None on the last one
    positions: Sequence[Position]  # one of each partition
    complete_since_ms: int | None  # sessions that started before then may be missing or incomplete; None: none is
