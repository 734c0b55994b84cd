"""Around every request: its id, the headers that protect the reader, the metrics, the line in the access log."""

import re
import secrets
import time
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from processor.faces.headers import header
from processor.faces.problems import Problem, answer
from processor.observe.serving import ServeMetrics

SECURITY_HEADERS: Final = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
"""Sent with every answer, each unless the route has set it."""

QUIET: Final = frozenset({"/livez", "/readyz", "/metrics"})  # asked every few seconds, which is no news
_SUBJECTS: Final = ("session_id", "share_id")  # what a request is about, in its path or found by its route
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_is_id: Final = re.compile(r"[A-Za-z0-9._-]{8,64}").fullmatch
_UNFORESEEN: Final = Problem("internal_error", "the service failed")


class Recording:
    """Passes a request to `app`, and says in log and metrics what came of it: never what it held."""

    def __init__(self, app: ASGIApp, log: FilteringBoundLogger, metrics: ServeMetrics) -> None:
        self._app = app
        self._log = log
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header(scope, b"x-request-id")
        request_id = given if given is not None and _is_id(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id)
            await send(message)

        began_s = time.perf_counter()
        try:
            with self._metrics.in_flight():
                await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            pass  # It left before it had sent its whole request: nothing was done, and the status stays 0.
        except Exception as error:  # What nobody foresaw is a 500, whose reason the log has.
            self._log.error("a request failed", operation=route_of(scope), request_id=request_id, exc_info=error)
            if not status:
                await answer(Request(scope), _UNFORESEEN)(scope, receive, send_marked)
        finally:
            self._record(scope, request_id, status, time.perf_counter() - began_s)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = route_of(scope)
        method = method_of(scope)
        self._metrics.answered(method, route, status, seconds)
        if route in QUIET:
            return
        fields: dict[str, Any] = {"request_id": request_id, "status": status, "duration_ms": round(seconds * 1000, 1)}
        who = scope["state"].get("caller")
        if who is not None:
            fields["subject" if who.is_person else "caller"] = who.name
        for place in (scope.get("path_params", {}), scope["state"]):
            fields |= {name: place[name] for name in _SUBJECTS if name in place}
        self._log.info(f"{method} {route}", operation=_operation(scope), **fields)


def method_of(scope: Scope) -> str:
    """Return the request's method; `other` if it is none of HTTP's."""
    return scope["method"] if scope["method"] in _METHODS else "other"


def route_of(scope: Scope) -> str:
    """Return the template of the request's path, without ids; `none` if it has no route."""
    route = scope.get("route")
    template: str | None = getattr(route, "path", None)
    if template is None:
        return "none"
    parts, own = scope["path"].split("/"), template.split("/")
    return "/".join(parts[: len(parts) - len(own) + 1]) + template  # With the prefix that it is mounted under.


def _operation(scope: Scope) -> str:
    """Return the name of the function that answers."""
    return getattr(scope.get("endpoint"), "__name__", "none")


def _add_headers(message: Message, request_id: str) -> None:
    headers = message["headers"]
    given = {name for name, _ in headers}
    headers.extend((name, value) for name, value in SECURITY_HEADERS.items() if name not in given)
    headers.append((b"x-request-id", request_id.encode()))
