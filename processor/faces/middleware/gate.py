"""The gate that every request passes before its route: from where, who, how often, how much, how slowly."""

import asyncio
import re
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from processor.faces.auth.cookie import Cookies
from processor.faces.auth.doors import Caller, Doors
from processor.faces.headers import READS, header
from processor.faces.middleware.namedonce import refuse_headers_twice
from processor.faces.middleware.ratelimits import RateLimits
from processor.faces.problems import Problem, answer

BODY_BYTES_MAX: Final = 1 << 20
BODY_S: Final = 20.0  # within which a request's body must have come
WITHOUT_TOKEN: Final = frozenset(
    {
        "/",
        "/favicon.ico",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/page/sign-in",
        "/page/sign-out",
        "/page/doors",
        "/page/oidc",
    }
)
WITHOUT_TOKEN_BELOW: Final = ("/problems/", "/share/", "/static/")
_CLOSE: Final = {"Connection": "close"}  # The rest of the body is not read.
_PLAIN: Final = "Send the body as it is, without Content-Encoding."
_is_loopback: Final = re.compile(r"(localhost|([a-z0-9-]+\.)+localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?").fullmatch


class Gate:
    """Lets a request on to `app`, with its caller in `scope["state"]`, or answers with the problem."""

    def __init__(self, app: ASGIApp, doors: Doors, limits: RateLimits, cookies: Cookies) -> None:
        self._app = app
        self._doors = doors
        self._limits = limits
        self._cookies = cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request."""
        if scope["type"] == "websocket":
            await self._pass_socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._check(scope)
            await self._app(scope, _bounded(receive) if _has_body(scope) else receive, send)
        except Problem as problem:
            await answer(Request(scope), problem)(scope, receive, send)

    async def _pass_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a socket, which writes; who it is, it may tell in a frame still, so that is asked later (`admitted`)."""
        try:
            self._check_origin(scope, writes=True)
            refuse_headers_twice(scope)
        except Problem as problem:  # Before it is accepted: a browser shows nothing of the answer to such a page.
            await receive()
            body = problem.detail.encode()
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
            start = {"type": "websocket.http.response.start", "status": problem.status_code, "headers": headers}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": body})
            return
        await self._app(scope, receive, send)

    def _check_origin(self, scope: Scope, *, writes: bool) -> None:
        """Refuse what a page of another site may have sent. Raises Problem: forbidden."""
        host = (header(scope, b"host") or "").lower()
        if self._doors.are_open and not _is_loopback(host):
            raise Problem(
                "forbidden",
                "without tokens only a loopback name may be the request's host",
                remedy="Ask for http://127.0.0.1:PORT or http://localhost:PORT, or give the service tokens.",
            )
        if writes and (origin := header(scope, b"origin")) is not None and not _same(origin, host):
            raise Problem("forbidden", "a page of another origin may not write here")

    async def _check(self, scope: Scope) -> None:
        self._check_origin(scope, writes=scope["method"] not in READS)
        refuse_headers_twice(scope)
        length = header(scope, b"content-length") or ""
        if length.isascii() and length.isdigit() and int(length) > BODY_BYTES_MAX:
            raise _too_large()
        coding = header(scope, b"content-encoding")
        if coding is not None and coding.lower() != "identity":
            raise Problem("unsupported_media_type", "the body is encoded", remedy=_PLAIN, headers=_CLOSE)
        path = scope["path"]
        if path in WITHOUT_TOKEN or path.startswith(WITHOUT_TOKEN_BELOW):
            return
        authorization = header(scope, b"authorization") or self._cookies.authorization(scope)
        await admitted(self._doors, self._limits, scope, authorization)


async def admitted(doors: Doors, limits: RateLimits, scope: Scope, authorization: str | None) -> Caller:
    """Return who sends a request or opens a socket with this header `Authorization`; the scope has it from now on.

    Raises:
        Problem: unauthenticated, forbidden, rate_limited.
    """
    try:
        who = await doors.who(authorization)
    except Problem:
        address, _ = scope.get("client") or ("", 0)
        limits.count(f"address {address}")
        raise
    limits.count(f"caller {who.name}")
    scope.setdefault("state", {})["caller"] = who
    return who


def _has_body(scope: Scope) -> bool:
    return any(header(scope, name) is not None for name in (b"content-length", b"transfer-encoding"))


def _too_large() -> Problem:
    return Problem("too_large", f"the body has more than {BODY_BYTES_MAX:,} bytes", headers=_CLOSE)


def _same(origin: str, host: str) -> bool:
    """Return whether a page of `origin` is this service's own. A proxy may have taken away the TLS."""
    return origin.lower().partition("://")[2] == host


def _bounded(receive: Receive) -> Receive:
    """Return `receive` with a limit of time and of size until the whole body has come."""
    deadline_s = asyncio.get_running_loop().time() + BODY_S
    size = 0
    is_whole = False

    async def receive_bounded() -> Message:
        nonlocal size, is_whole
        if is_whole:  # From now on it waits for the client to go, as long as the answer takes.
            return await receive()
        try:
            async with asyncio.timeout_at(deadline_s):
                message = await receive()
        except TimeoutError:
            detail = f"the request's body did not come within {BODY_S:.0f} s"
            raise Problem("timed_out", detail, headers=_CLOSE) from None
        size += len(message.get("body", b""))
        if size > BODY_BYTES_MAX:
            raise _too_large()
        is_whole = not message.get("more_body", False)
        return message

    return receive_bounded
