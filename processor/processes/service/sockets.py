"""Sockets below the gateway: uvicorn's protocol over `websockets`, which reads no further while frames wait.

It says how a line broke, gives up on a client that takes nothing, and logs no error of one that was refused.
"""

import asyncio
from asyncio import TimerHandle
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

FRAME_BYTES_MAX: Final = 64 << 10
STALLED_S: Final = 20.0  # after which a client that takes nothing is given up
_LOST: Final = 1006


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol."""

    _stalled: TimerHandle | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Send `message`. An HTTP answer ends the handshake too: uvicorn would log each refusal as an error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the line broke. Without a close frame that is 1006; uvicorn tells it as a clean close."""
        self._flows()
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _LOST, "reason": ""})
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait until the client takes what is there."""
        super().pause_writing()
        self._stalled = asyncio.get_running_loop().call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Take note that it does."""
        self._flows()
        super().resume_writing()

    def _flows(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


SERVER: Final[dict[str, Any]] = {
    "ws": SocketProtocol,
    "ws_max_size": FRAME_BYTES_MAX,
    "ws_per_message_deflate": False,  # It would take 64 KiB and more of memory for each socket.
    "log_config": None,
    "access_log": False,
    "proxy_headers": False,  # Nothing is decided by where a request comes from.
    "server_header": False,
}
"""uvicorn's settings wherever a service runs."""
