"""What goes to one client, in its order: at most so much of it waits until the client takes it."""

import asyncio
from collections import deque
from typing import Any, Final, NamedTuple

from processor.faces.gateway.codes import Code
from processor.faces.gateway.frames import Ack

FRAMES_MAX: Final = 256
BYTES_MAX: Final = 1 << 20


REASON_BYTES_MAX: Final = 120  # A close frame takes 123.


class Close(NamedTuple):
    """The end of a socket."""

    code: int
    reason: str = ""

    @property
    def message(self) -> dict[str, Any]:
        """The end as a message of ASGI."""
        reason = self.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
        return {"type": "websocket.close", "code": int(self.code), "reason": reason}


class Outgoing:
    """Waits for the client: frames, and what frames are made of when their turn comes; and how the socket ends."""

    def __init__(self) -> None:
        self.loop: Final = asyncio.get_running_loop()
        self.close: Close | None = None
        self._queue: deque[tuple[int, Any]] = deque()
        self._news = asyncio.Event()
        self._is_slow = False
        self._ended = False
        # Each has one writer, so no lock is needed: the loop, the thread that feeds, the loop.
        self._told_bytes = self._put_bytes = self._taken_bytes = 0

    def tell(self, frame: bytes | Ack) -> None:
        """Send `frame`, bytes or what they are made of, when it is its turn; called in the event loop."""
        if self._has_room():
            self._told_bytes += len(frame)
            self._queue.append((len(frame), frame))
        self._news.set()

    def put(self, item: object, size_bytes: int) -> None:
        """Take what a frame is to be made of; called by any one thread, and `wake` follows."""
        if self._has_room():
            self._put_bytes += size_bytes
            self._queue.append((size_bytes, item))

    def wake(self) -> None:
        """Look at what was put; called in the event loop."""
        self._news.set()

    def end(self) -> None:
        """Take note that nothing more can be put; any thread may call it, and `wake` follows."""
        self._ended = True

    def shut(self, code: int, reason: str = "") -> None:
        """Close the socket once what waits is sent; the first reason counts. Called in the event loop."""
        self.close = self.close or Close(code, reason)
        self._news.set()

    async def next(self) -> Any:
        """Return what is to be sent next: what was told or put; or a `Close`, that the socket is to be closed now.

        A client that was too slow gets nothing of what waits: it is told where to go on.
        """
        while True:
            self._news.clear()
            if self._is_slow:
                self._queue.clear()
                return Close(Code.SLOW)
            if self._queue:
                size_bytes, item = self._queue.popleft()
                self._taken_bytes += size_bytes
                return item
            if self.close is not None:
                return self.close
            if self._ended:
                return Close(Code.RESTART)
            await self._news.wait()

    def _has_room(self) -> bool:
        size_bytes = self._told_bytes + self._put_bytes - self._taken_bytes
        if len(self._queue) >= FRAMES_MAX or size_bytes > BYTES_MAX:
            self._is_slow = True
        return not self._is_slow
