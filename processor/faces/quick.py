"""What is asked most, answered in front of FastAPI, which takes 0.3 ms to find a route and to call it.

Only plain requests are answered here: from memory, or by the route's own function. What memory does not know and what
is asked in another way goes on to its route, so each rule and each problem stays there.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from processor.faces import a3cp
from processor.faces.auth.doors import Caller
from processor.faces.calling import Call
from processor.faces.headers import header
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.faces.requests.positions import AFTER_HEADER, has_passed
from processor.faces.v1.commands import commanding
from processor.faces.v1.queries import messages_out, showing


def _route(router: APIRouter, endpoint: Callable[..., Any]) -> APIRoute:
    return next(route for route in router.routes if isinstance(route, APIRoute) and route.endpoint is endpoint)


_A3CP: Final = ("/session_manager", "/api/session_manager")
_SESSION: Final = "/v1/sessions/"
_OF_SESSION: Final = "/sessions/{session_id}/"
_PASSED: Final = ("route", "endpoint", "path_params")

_SHOW: Final = _route(showing.router, showing.show_session)
_MESSAGES: Final = _route(messages_out.router, messages_out.show_messages)
_is_limit: Final = re.compile(rb"limit=([1-9][0-9]?)").fullmatch
_VALIDATE: Final = _route(a3cp.router, a3cp.validate)
_VALIDATES: Final = frozenset(prefix + _VALIDATE.path for prefix in _A3CP)
_BOUNDARIES: Final = {
    prefix + call.route.path: call
    for call in (Call(_route(a3cp.router, endpoint)) for endpoint in (a3cp.start, a3cp.end))
    for prefix in _A3CP
}
_COMMANDS: Final = {  # By the last word of the path.
    route.path.removeprefix(_OF_SESSION): Call(route)
    for route in commanding.router.routes
    if isinstance(route, APIRoute) and route.path.startswith(_OF_SESSION)
}


class Quick:
    """Answers a request, or lets it on to `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request."""
        answer: Response | None = None
        if (here := _here(scope)) is not None:
            if scope["method"] == "GET":
                answer = _shown(scope, *here)
            elif scope["method"] == "POST" and _is_known(scope):
                message = await receive()
                if _is_whole(scope, message):
                    answer = await _taken(scope, message, receive, *here)
                receive = _again(message, receive)
        if answer is None:  # Whatever was said of the route: that is for whoever answers.
            for name in _PASSED:
                scope.pop(name, None)
        await (answer or self._app)(scope, receive, send)


def _here(scope: Scope) -> tuple[Context, Caller] | None:
    """Return what answers, and who asks; None where nobody has to say that, and while the service starts."""
    if scope["type"] != "http" or (who := scope["state"].get("caller")) is None:
        return None
    context: Context | None = scope["app"].state.context
    return None if context is None or not context.view.progress.is_ready() else (context, who)


def _shown(scope: Scope, context: Context, who: Caller) -> Response | None:
    """Return a session, or its last messages, as far as memory has it and nothing else is asked for."""
    session_id, slash, what = scope["path"].removeprefix(_SESSION).partition("/")
    limit = _is_limit(scope["query_string"]) if what == "messages" else None
    if slash + what not in ("", "/messages") or (scope["query_string"] and limit is None):
        return None
    request, after = Request(scope), header(scope, AFTER_HEADER)
    with suppress(Problem):
        if after is not None and not has_passed(request, context, after):
            return None
        if what:
            _passes(scope, _MESSAGES, session_id=session_id)
            count = messages_out.MESSAGES if limit is None else int(limit[1])
            return messages_out.latest(request, context, who, unquote(session_id), count)
        _passes(scope, _SHOW, session_id=session_id)
        return showing.shown(request, context, who, unquote(session_id))
    return None


def _is_known(scope: Scope) -> bool:
    path = scope["path"]
    return path in _VALIDATES or path in _BOUNDARIES or path.startswith(_SESSION)


def _is_whole(scope: Scope, message: Message) -> bool:
    """Whether `message` is all of a plain request: JSON, whose type has no parameters, or nothing."""
    if message["type"] != "http.request" or message.get("more_body") or scope["query_string"]:
        return False
    kind = header(scope, b"content-type")
    return kind == "application/json" or (kind is None and not message.get("body"))


async def _taken(scope: Scope, message: Message, receive: Receive, context: Context, who: Caller) -> Response | None:
    path, body = scope["path"], message.get("body", b"")
    if path in _VALIDATES:
        _passes(scope, _VALIDATE)
        return a3cp.validated(context, who, body)
    call, ids = _BOUNDARIES.get(path), dict[str, str]()
    if call is None:
        ids["session_id"], _, word = path.removeprefix(_SESSION).partition("/")
        call = _COMMANDS.get(word)
    if call is None:
        return None
    _passes(scope, call.route, **ids)
    return await call(Request(scope, _again(message, receive)), context, who, body)


def _passes(scope: Scope, route: APIRoute, **ids: str) -> None:
    """Say which route a request passes, as FastAPI does, for log and metrics."""
    scope.update(zip(_PASSED, (route, route.endpoint, ids), strict=True))


def _again(message: Message, receive: Receive) -> Receive:
    """Return what gives `message` first, and then what `receive` gives."""
    messages = [message]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
