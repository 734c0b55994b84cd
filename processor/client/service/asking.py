"""Asks the service, and asks again where that is safe."""

import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar
from uuid import uuid4

import httpx
import msgspec

from processor.client.commands import as_json
from processor.client.service.exchange import Answer, Exchange, Request
from processor.client.service.forms import Live
from processor.client.service.problems import ServiceError, Unavailable, Unreachable, error_of
from processor.client.service.serversentevents import Events
from processor.runtime.backoff import backoff_s

T = TypeVar("T")

TIMEOUT_S: Final = 30.0
COMMAND_WAIT_S_MAX: Final = 60  # The service waits no longer for an outcome.
SILENCE_S_MAX: Final = 45.0  # A live stream says something every 15 s.
_GRACE_S: Final = 2.0  # for the way to the service and back
_FIRST_WAIT_S: Final = 0.1
_WAIT_S_MAX: Final = 2.0
_POSITIONS_MAX: Final = 1000
_REMEDY: Final = "see that a3cp serve runs there"


class Asking:
    """Sends requests over an `Exchange`, and reads what comes back."""

    def __init__(self, exchange: Exchange, timeout_s: float, *, repeats: bool = True) -> None:
        """`timeout_s`: how long a call may take; `repeats`: whether what may succeed later is asked again within it."""
        self.exchange: Final = exchange
        self._timeout_s = timeout_s
        self._repeats = repeats
        self._positions: OrderedDict[str, str] = OrderedDict()  # behind this client's last command, by session
        self._latest = ""  # of them

    async def read(
        self,
        path: str,
        form: type[T],
        *,
        params: Mapping[str, object] | None = None,
        session_id: str | None = None,
    ) -> T:
        """Return what `path` tells; it knows what this client's commands have caused, on any replica."""
        return _decoded((await self.fetch(path, params=params, session_id=session_id)).body, form)

    async def fetch(
        self, path: str, *, params: Mapping[str, object] | None = None, session_id: str | None = None
    ) -> Answer:
        """Return the answer to a reading request, as `read` does."""
        after = self._latest if session_id is None else self._positions.get(session_id, "")
        headers = {"A3CP-After": after} if after else {}
        return await self._answer(Request("GET", path, _texts(params or {}), headers), self._timeout_s)

    async def command(
        self,
        path: str,
        body: Mapping[str, Any] | bytes,
        form: type[T],
        *,
        session_id: str | None = None,
        key: str | None = None,
        wait_s: float | None = None,
    ) -> T:
        """Ask for something, and return what the service says of it.

        Args:
            path, body: the request.
            form: what the answer is.
            session_id: the session that it is for, if it is there already.
            key: the idempotency key; a new one when None. Repeats of the request have the same one.
            wait_s: how long the service may wait for the outcome; the time-out when None.
        """
        wait = min(self._timeout_s if wait_s is None else wait_s, COMMAND_WAIT_S_MAX)
        key = key or str(uuid4())
        headers = {"Idempotency-Key": key, "Prefer": f"wait={wait:g}", "Content-Type": "application/json"}
        content = body if isinstance(body, bytes) else _json(body)
        try:
            answer = await self._answer(Request("POST", path, {}, headers, content), self._timeout_s)
        except ServiceError as error:
            error.idempotency_key = key
            raise
        if session_id is not None:
            self.passed(session_id, answer.headers.get("A3CP-Position"))
        return _decoded(answer.body, form)

    async def question(self, path: str, body: Mapping[str, Any], form: type[T], *, timeout_s: float | None) -> T:
        """Return the answer to a question that has a body, and changes nothing."""
        request = Request("POST", path, {}, {"Content-Type": "application/json"}, _json(body))
        return _decoded((await self._answer(request, timeout_s or self._timeout_s)).body, form)

    async def live(self, path: str, params: Mapping[str, object], after: str | None) -> AsyncGenerator[Live, None]:
        """Yield what happens from now on, or from behind the position `after`; it goes on behind a broken line.

        Raises:
            Unavailable: the service has not answered for the time-out.
        """
        now_s = self.exchange.monotonic_s
        until_s, failures = now_s() + self._timeout_s, 0
        while True:
            headers = {"Last-Event-ID": after} if after else {}
            request = Request("GET", path, _texts(params), {**headers, "Accept": "text/event-stream"})
            try:
                events = Events()
                async with aclosing(self.exchange.lines(request, SILENCE_S_MAX)) as lines:
                    async for line in lines:
                        if isinstance(line, Answer):
                            raise error_of(line.status, line.body)
                        until_s, failures = now_s() + self._timeout_s, 0
                        for event in events.take(line):
                            after = event.id or after
                            yield Live(event.kind, event.id, _decoded(event.data.encode(), dict[str, Any]))
                failures += 1  # It ended without an error: the service stops, or the reader was slow.
            except (httpx.TransportError, Unavailable) as error:
                failures += 1
                if now_s() > until_s:
                    raise _unreachable(error) from error
            await self.exchange.pause(_wait_s(failures))

    def passed(self, session_id: str, position: str | None) -> None:
        """Take note that what is read of a session from now on must know the log up to `position`."""
        if position is not None:
            self._positions[session_id] = self._latest = position
            self._positions.move_to_end(session_id)
            if len(self._positions) > _POSITIONS_MAX:
                self._positions.popitem(last=False)

    async def _answer(self, request: Request, timeout_s: float) -> Answer:
        """Return the answer to `request`, which is sent again while the service cannot answer.

        Each request may be sent again: one that changes something has a key by which the service knows it.
        """
        now_s = self.exchange.monotonic_s
        until_s, failures = now_s() + timeout_s, 0
        while True:
            retry_after_s = 0.0
            try:
                answer = await self.exchange.answer(request, max(until_s - now_s(), 0) + _GRACE_S)
                if answer.status < 400:
                    return answer
                error = error_of(answer.status, answer.body)
                retry_after_s = _seconds(answer.headers.get("Retry-After"))
            except httpx.TransportError as lost:
                error = _unreachable(lost)
            failures += 1
            wait_s = max(retry_after_s, _wait_s(failures))
            if not self._repeats or not isinstance(error, Unavailable) or now_s() + wait_s > until_s:
                raise error
            await self.exchange.pause(wait_s)


def _unreachable(error: Exception) -> Unavailable:
    if isinstance(error, Unavailable):
        return error
    return Unreachable(f"the service does not answer ({type(error).__name__})", remedy=_REMEDY)


def _wait_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row; not the same for all clients of one service."""
    wait_s = backoff_s(failures, first_s=_FIRST_WAIT_S, max_s=_WAIT_S_MAX)
    return wait_s * random.uniform(0.5, 1)  # noqa: S311  # Nobody is kept out by it.


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdecimal() else 0.0


def _decoded(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceError(f"the answer is not the service's ({error})", remedy="see what answers at its URL") from None


def _json(body: Mapping[str, Any]) -> bytes:
    return as_json({name: value for name, value in body.items() if value is not None})


def _texts(params: Mapping[str, object]) -> dict[str, str | list[str]]:
    return {
        name: [_text(each) for each in value] if isinstance(value, list | tuple) else _text(value)
        for name, value in params.items()
        if value is not None
    }


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case Enum():
            return str(value.value)
        case _:
            return str(value)
