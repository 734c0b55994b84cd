"""Where a service listens, and the HTTP server there: bounded in what it waits for, and quick to stop."""

import ipaddress
import logging
import os
import resource
import signal
import socket
import threading
from asyncio import TimerHandle, Transport
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any, Final

import uvicorn
from structlog.typing import FilteringBoundLogger
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from processor.errors import UsageError
from processor.processes.service.sockets import SERVER

HEAD_S: Final = 10.0  # within which a request's line and headers must have come
HEAD_BYTES_MAX: Final = 64 << 10
KEEP_ALIVE_S: Final = 60  # Longer than a load balancer's, which must be the one that closes.
STOP_S: Final = 3  # for what is under way
_EXIT_S: Final = 5.0  # A thread that still waits for a database must not hold up the end.
_BACKLOG: Final = 2048


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to `host` and `port`; port 0 takes any that is free.

    Raises:
        UsageError: that cannot be.
    """
    with ExitStack() as failing:
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            bound = failing.enter_context(socket.socket(family, socket.SOCK_STREAM))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)  # So that a port that another listens on is refused now.
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}:{port}: {error.strerror}",
                remedy="take another port (--port or A3CP_SERVE_PORT; 0 for a free one) or another address (--host)",
            ) from error
        failing.pop_all()
    return bound


def address_of(bound: socket.socket) -> str:
    """Return the URL under which a bound socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_until_signal(
    app: Callable[..., Any], bound: socket.socket, log: FilteringBoundLogger, on_stop: Callable[[], None]
) -> None:
    """Serve `app` until SIGTERM or SIGINT, and for `STOP_S` more what is under way by then.

    `on_stop` is called first, to let those go who would wait for ever; it must not wait.
    """
    _allow_many_connections()
    logging.getLogger().handlers = [_Told(log)]  # What uvicorn and asyncio have to say.
    config = uvicorn.Config(
        app,
        http=BoundedHead,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        **SERVER,
    )
    server = _Server(config)

    def stop(_number: int, _frame: FrameType | None) -> None:
        if not server.should_exit:
            server.should_exit = True
            threading.Thread(target=on_stop).start()  # What this thread was doing may hold the lock that it needs.
            leaving = threading.Timer(_EXIT_S, os._exit, (0,))
            leaving.daemon = True
            leaving.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run([bound])


def _allow_many_connections() -> None:
    """Have as many files open as this user may: each connection is one, and many systems begin with 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS calls it unlimited, and then does not allow that.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Server(uvicorn.Server):
    """uvicorn's server, but for its signals: after a graceful stop it would raise them again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, with a limit of time and of size for a request's line and headers."""

    _timer: TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # As uvicorn has it.
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._head_is_there()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the head."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Take note that the head is there."""
        self._head_is_there()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take what came; too much of a head ends the connection."""
        super().data_received(data)
        if self._timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.transport.close()

    def _await_head(self) -> None:
        self._head_is_there()
        self._head_bytes = 0
        self._timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _head_is_there(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Told(logging.Handler):
    """Passes on to our log what others' logs have of warnings and errors."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        log = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        log(record.getMessage(), operation="http", exc_info=record.exc_info)
