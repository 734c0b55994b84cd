"""The trace of a request, W3C Trace Context: it comes with the request, and goes on with whatever that sends."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from processor.client.sending import in_trace
from processor.codec.headers import Headers
from processor.codec.traces import TRACEPARENT, TRACESTATE, trace_of
from processor.faces.headers import header
from processor.faces.middleware.recording import QUIET, method_of, route_of

if TYPE_CHECKING:
    from processor.observe.spans import Spans  # Of an extra that few have.


class Tracing:
    """Passes a request to `app`, in the trace that it came with; with `spans`, in a span of its own.

    What the frames of a socket cause is in the trace of the request that opened it. A socket has no span.
    """

    def __init__(self, app: ASGIApp, spans: "Spans | None") -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request."""
        came = _trace_in(scope) if scope["type"] in ("http", "websocket") else None
        if self._spans is None or scope["type"] != "http" or scope["path"] in QUIET:
            with in_trace(came):
                await self._app(scope, receive, send)
            return
        status = 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with self._spans.request(method_of(scope), came) as span, in_trace(span.trace):
            try:
                await self._app(scope, receive, send_noted)
            finally:
                span.answered(route_of(scope), status)


def _trace_in(scope: Scope) -> Headers | None:
    traceparent = header(scope, TRACEPARENT.encode())
    if traceparent is None:
        return None
    state = header(scope, TRACESTATE.encode()) or ""
    return trace_of([(TRACEPARENT, traceparent.encode()), (TRACESTATE, state.encode())])
