"""One HTTP request. Its answer is bounded in size, and the whole call in time."""

import contextlib
import socket
import ssl
import threading
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from functools import cache
from typing import Any, Final, NamedTuple

import httpx

ANSWER_BYTES_MAX: Final = 1024 * 1024
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class Answer(NamedTuple):
    """An answer."""

    status: int
    content: bytes | None  # None when it is larger than `ANSWER_BYTES_MAX`
    headers: Mapping[str, str]  # found whatever the case of their names


def ask(request: httpx.Request, auth: tuple[str, str] | None, seconds: float) -> Answer:
    """Return the answer to `request`; no redirect is followed.

    httpx bounds each read, not the call: a server that sends a byte a second is never late. So the call has a thread
    of its own. When the time is over, its connection is cut, and the thread is left to end by itself.

    Raises:
        httpx.HTTPError: there is no answer.
        TimeoutError: there was no whole answer within `seconds`.
    """
    future: Future[Answer] = Future()
    connection = _Connection()

    def run() -> None:
        try:
            future.set_result(_answer(request, auth, seconds, connection))
        except BaseException as error:  # It is raised where somebody waits for it.
            future.set_exception(error)

    threading.Thread(target=run, name="a3cp-http", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        connection.cut()
        raise TimeoutError(f"no whole answer within {seconds:g} s") from error


class _Connection:
    """The connection of a call, as httpx tells of it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Keep the socket once it is connected, then the one that encrypts."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")

    def cut(self) -> None:
        """Cut the connection: whoever reads from it reads the end."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # It is closed already.
                self._socket.shutdown(socket.SHUT_RDWR)


def _answer(request: httpx.Request, auth: tuple[str, str] | None, seconds: float, connection: _Connection) -> Answer:
    request.headers["Accept-Encoding"] = "gzip"
    request.extensions = {"trace": connection.trace, "timeout": httpx.Timeout(seconds).as_dict()}
    with httpx.Client(verify=_tls()) as client:
        response = client.send(request, auth=auth, stream=True)
        try:
            return Answer(response.status_code, _content(response), response.headers)
        finally:
            response.close()


def _content(response: httpx.Response) -> bytes | None:
    """Return the content. Returns None if it is too large; then unpacking stops there."""
    unpack = (
        zlib.decompressobj(_GZIP_OR_ZLIB)
        if response.headers.get("Content-Encoding") not in (None, "identity")
        else None
    )
    content = b""
    for chunk in response.iter_raw():
        try:
            content += chunk if unpack is None else unpack.decompress(chunk, ANSWER_BYTES_MAX + 1 - len(content))
        except zlib.error as error:
            raise httpx.DecodingError("it is not packed as it says", request=response.request) from error
        if len(content) > ANSWER_BYTES_MAX:
            return None
    return content


@cache
def _tls() -> ssl.SSLContext:
    """Return the certificates to trust. They are made once: that takes longer than an answer."""
    return httpx.create_ssl_context()
