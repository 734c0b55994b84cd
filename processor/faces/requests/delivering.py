"""Waits until the log, or the outbox, has what was sent."""

import asyncio
import threading
from contextlib import suppress

from processor.errors import A3CPError


class Delivery:
    """Some records that are being sent; to be made in the event loop that waits for them, which is woken once."""

    def __init__(self, count: int) -> None:
        """Wait for `count` records, each of which is sent with `on_done`."""
        assert count > 0
        self._left = count
        self._lock = threading.Lock()
        self.is_kept = False  # whether one of them waits in the outbox
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()

    def on_done(self, error: A3CPError | None) -> None:
        """Take note that a record is delivered, or why it is not; any thread may call this."""
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last or error is not None:
            with suppress(RuntimeError):  # The loop is closed: the service has stopped, and nobody waits.
                self._loop.call_soon_threadsafe(self._settle, error)

    def on_kept(self) -> None:
        """Take note that a record waits in the outbox; any thread may call this."""
        self.is_kept = True
        self.on_done(None)

    async def __call__(self) -> None:
        """Wait for all of them.

        Raises:
            A3CPError: one was not delivered.
        """
        await self._done

    def _settle(self, error: A3CPError | None) -> None:
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)
