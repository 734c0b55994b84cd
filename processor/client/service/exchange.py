"""How requests reach the service: over httpx, once blocking and once suspending, with the same methods.

All logic is written once, as coroutines over an `Exchange` (`asyncsessions.py`). Over `Suspending` they are what they
seem to be. Over `Blocking` each wait happens inside of the call, so a coroutine runs to its end at its first step
(`finished`): no event loop, no thread, no second copy.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import httpx

T = TypeVar("T")


class Service(NamedTuple):
    """Where the service is, and what is sent with each request."""

    url: str
    headers: Mapping[str, str]
    socket: str | None = None  # a Unix socket that leads to it, instead of the URL's address
    app: Callable[..., Any] | None = None  # the service itself, an ASGI application of this event loop


class Backend(Protocol):
    """Who provides the service."""

    def start(self) -> Service:
        """Return the service, once it is there; may block."""

    def stop(self) -> None:
        """Let go of it."""


class Request(NamedTuple):
    """A request, which may be sent several times."""

    method: str
    path: str
    params: Mapping[str, str | list[str]]
    headers: Mapping[str, str]
    content: bytes | None = None


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange(Protocol):
    """Sends requests. Each method raises `httpx.TransportError` when no answer comes."""

    async def answer(self, request: Request, timeout_s: float) -> Answer:
        """Return the answer to `request`."""

    def lines(self, request: Request, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        """Yield the lines of an answer that does not end; a single `Answer` if it is a refusal.

        `timeout_s`: how long it may be silent.
        """

    def monotonic_s(self) -> float:
        """Return seconds since some moment."""

    async def pause(self, seconds: float) -> None:
        """Wait."""

    async def close(self) -> None:
        """Let go of the connections."""


class Suspending:
    """For asyncio; each event loop that uses it has connections of its own."""

    monotonic_s = staticmethod(time.monotonic)

    def __init__(self, backend: Backend, *, keeps_connections: bool = True) -> None:
        """`keeps_connections`: use them again; without it nothing is left open when nobody calls `close`."""
        self._backend = backend
        self._limits = httpx.Limits() if keeps_connections else httpx.Limits(max_keepalive_connections=0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    async def answer(self, request: Request, timeout_s: float) -> Answer:
        """See `Exchange`."""
        client = await self._connected()
        return _answer(await client.request(*request[:2], **_rest(request, timeout_s)))

    async def lines(self, request: Request, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        """See `Exchange`."""
        client = await self._connected()
        async with client.stream(*request[:2], **_rest(request, timeout_s)) as response:
            if response.is_error:
                await response.aread()
                yield _answer(response)
                return
            async for line in response.aiter_lines():
                yield line

    async def pause(self, seconds: float) -> None:
        """See `Exchange`."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """See `Exchange`."""
        if self._client is not None:
            await self._client.aclose()
        await asyncio.to_thread(self._backend.stop)

    async def _connected(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock, self._client = loop, asyncio.Lock(), None
        async with self._lock:
            if self._client is None:
                service = await asyncio.to_thread(self._backend.start)
                transport: httpx.AsyncBaseTransport | None = None
                if service.app is not None:
                    transport = httpx.ASGITransport(service.app)
                elif service.socket is not None:
                    transport = httpx.AsyncHTTPTransport(uds=service.socket, limits=self._limits)
                self._client = httpx.AsyncClient(
                    base_url=service.url, headers=service.headers, transport=transport, limits=self._limits
                )
            return self._client


class Blocking:
    """For threads; several may use it at once."""

    monotonic_s = staticmethod(time.monotonic)

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    async def answer(self, request: Request, timeout_s: float) -> Answer:
        """See `Exchange`."""
        return _answer(self._connected().request(*request[:2], **_rest(request, timeout_s)))

    async def lines(self, request: Request, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        """See `Exchange`."""
        with self._connected().stream(*request[:2], **_rest(request, timeout_s)) as response:
            if response.is_error:
                response.read()
                yield _answer(response)
                return
            for line in response.iter_lines():
                yield line

    async def pause(self, seconds: float) -> None:
        """See `Exchange`."""
        time.sleep(seconds)  # noqa: ASYNC251  # To block is the point here.

    async def close(self) -> None:
        """See `Exchange`."""
        if self._client is not None:
            self._client.close()
        self._backend.stop()

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                service = self._backend.start()
                transport = httpx.HTTPTransport(uds=service.socket) if service.socket else None
                self._client = httpx.Client(base_url=service.url, headers=service.headers, transport=transport)
            return self._client


def finished(awaitable: Awaitable[T]) -> T:
    """Return what a coroutine over `Blocking` returns."""
    try:
        next(awaitable.__await__())
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("what is awaited over Blocking never suspends")


def _rest(request: Request, timeout_s: float) -> dict[str, Any]:
    return {
        "params": request.params,
        "headers": request.headers,
        "content": request.content,
        "timeout": httpx.Timeout(timeout_s),
    }


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)
