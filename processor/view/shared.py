"""A question that many ask at once is asked once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Shared(Generic[Answer]):
    """Asks on behalf of all who want the answer; each gets one to a question that was asked after they came.

    So there is one question under way at a time, and whoever comes meanwhile shares the next one.
    """

    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        """`ask` asks."""
        self._ask = ask
        self._under_way: asyncio.Task[Answer] | None = None
        self._next: asyncio.Task[Answer] | None = None

    async def __call__(self) -> Answer:
        """Return the answer; raises what asking raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask_after(self._under_way))
            self._next.add_done_callback(_noticed)
        return await asyncio.shield(self._next)

    async def _ask_after(self, before: "asyncio.Task[Answer] | None") -> Answer:
        if before is not None:
            await asyncio.wait([before])
        self._under_way, self._next = self._next, None
        try:
            return await self._ask()
        finally:
            self._under_way = None


def _noticed(task: "asyncio.Task[Answer]") -> None:
    """Take note of an error that nobody waits for any more, or asyncio complains of it."""
    if not task.cancelled():
        task.exception()
