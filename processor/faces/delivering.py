"""Waits until the log, or the outbox, has what was sent."""

import asyncio
from contextlib import suppress

from processor.errors import A3CPError


class Delivery:
    """Some records that are being sent; to be made in the event loop that waits for them."""

    def __init__(self, count: int) -> None:
        """Wait for `count` records, each of which is sent with `on_done`."""
        assert count > 0
        self._left = count
        self.is_kept = False  # whether one of them waits in the outbox
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_done(self) -> bool:
        """Whether the log has all of them, or will not have one of them."""
        return self._done.done()

    def on_done(self, error: A3CPError | None) -> None:
        """Take note that a record is delivered, or why it is not; any thread may call this."""
        with suppress(RuntimeError):  # The loop is closed: the service has stopped, and nobody waits.
            self._loop.call_soon_threadsafe(self._note, error)

    def on_kept(self) -> None:
        """Take note that a record waits in the outbox; any thread may call this."""
        self.is_kept = True
        self.on_done(None)

    async def __call__(self) -> None:
        """Wait for all of them.

        Raises:
            A3CPError: one was not delivered.
        """
        await asyncio.shield(self._done)  # Who gives up waiting changes nothing of the delivery.

    def _note(self, error: A3CPError | None) -> None:
        self._left -= 1
        if self._done.done():
            return
        if error is not None:
            self._done.set_exception(error)
            self._done.exception()  # Perhaps nobody waits any more; asyncio would complain of that.
        elif self._left == 0:
            self._done.set_result(None)
