"""Those who follow what happens live."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from processor.codec.events import EventView
from processor.sessions.model import MessageRow
from processor.view.position import Position


class Live(NamedTuple):
    """One thing that happened; `position` is behind it, so reading goes on there."""

    position: Position
    session_id: str | None
    user_id: str
    event: EventView | None  # of the sessions topic
    message: MessageRow | None  # of the tagged topic


class Watch(AsyncIterator[Live]):
    """What happens from now on; ends when its reader is too slow, and `is_slow` says so.

    Closed by `close`, or by leaving it as an asynchronous context.
    """

    is_slow: bool
    position: Position | None  # behind what was read last

    async def __anext__(self) -> Live:
        raise StopAsyncIteration

    def close(self) -> None:
        """Watch no longer."""
