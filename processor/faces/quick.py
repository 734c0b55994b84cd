"""What is asked most, answered from memory in front of FastAPI, which takes 0.3 ms to find a route and to call it.

Only plain requests are answered here. What memory does not know, what is asked in another way and what has to be
refused goes on to its route, so each rule and each problem stays there.
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from processor.faces import a3cp
from processor.faces.context import Context
from processor.faces.doors import Caller
from processor.faces.headers import header
from processor.faces.positions import AFTER
from processor.faces.v1 import showing


def _route(router: APIRouter, endpoint: Callable[..., Any]) -> APIRoute:
    return next(route for route in router.routes if isinstance(route, APIRoute) and route.endpoint is endpoint)


_VALIDATES: Final = frozenset({"/session_manager/sessions.validate", "/api/session_manager/sessions.validate"})
_VALIDATE: Final = _route(a3cp.router, a3cp.validate)
_SESSION: Final = "/v1/sessions/"
_SHOW: Final = _route(showing.router, showing.show_session)
_AFTER: Final = AFTER.lower().encode()


class Quick:
    """Answers a request from memory, or lets it on to `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request."""
        answer: Response | None = None
        if (here := _here(scope)) is not None:
            match scope["method"], scope["path"]:
                case "POST", path if path in _VALIDATES and header(scope, b"content-type") == "application/json":
                    message = await receive()
                    receive = _again(message, receive)
                    if not message.get("more_body"):
                        answer = a3cp.validated(*here, message.get("body", b""))
                    route, ids = _VALIDATE, {}
                case "GET", path if path.startswith(_SESSION) and _is_plain(scope, path[len(_SESSION) :]):
                    session_id = unquote(path[len(_SESSION) :])
                    answer = showing.shown(Request(scope), *here, session_id)
                    route, ids = _SHOW, {"session_id": session_id}
        if answer is None:
            await self._app(scope, receive, send)
        else:
            scope.update(route=route, endpoint=route.endpoint, path_params=ids)  # As FastAPI does, for log and metrics.
            await answer(scope, receive, send)


def _here(scope: Scope) -> tuple[Context, Caller] | None:
    """Return what answers, and who asks; None where nobody has to say that, and while the service starts."""
    if scope["type"] != "http" or (who := scope["state"].get("caller")) is None:
        return None
    context: Context | None = scope["app"].state.context
    return None if context is None or not context.view.is_ready() else (context, who)


def _is_plain(scope: Scope, encoded_id: str) -> bool:
    return "/" not in encoded_id and not scope["query_string"] and header(scope, _AFTER) is None


def _again(message: Message, receive: Receive) -> Receive:
    """Return what gives `message` first, and then what `receive` gives."""
    messages = [message]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
