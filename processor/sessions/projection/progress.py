"""How far an export is."""

from typing import Final, NamedTuple, Self

from processor.sessions.model import UnreadableRow
from processor.sessions.projection.again import ReadAgain
from processor.sessions.projection.feed import Standstill
from processor.sessions.projection.materializer import Applied

ASIDE_MAX: Final = 10  # told of one by one


class ExportProgress(NamedTuple):
    """What a run has done so far, and what it has left."""

    messages: int = 0  # written by this run
    events: int = 0
    unreadable: int = 0  # set aside by this run
    left: int | None = None  # offsets up to the end, when it was last looked at: at most as many records
    again: int = 0  # set aside before, and written by this run
    waiting: int = 0  # set aside before, and still in the topics, but not to be read
    aside: tuple[UnreadableRow, ...] = ()  # the first of those that this run set aside
    standing: tuple[Standstill, ...] = ()  # partitions that stand still at the moment

    def stored(self, applied: Applied) -> Self:
        """Return the progress after a batch."""
        return self._replace(
            messages=self.messages + applied.messages,
            events=self.events + applied.events,
            unreadable=self.unreadable + applied.unreadable,
            aside=(*self.aside, *applied.aside)[:ASIDE_MAX],
        )

    def read_again(self, found: ReadAgain) -> Self:
        """Return the progress after what was set aside was read again."""
        return self._replace(again=self.again + found.written, waiting=found.waiting)
