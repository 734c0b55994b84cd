"""`/ws`: lets sockets in, gives each its session, and sees to what comes after it."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from processor.errors import A3CPError
from processor.faces.auth.doors import Caller, require
from processor.faces.gateway.codes import INVALID_SESSION, Code, code_of
from processor.faces.gateway.deliveries import Deliveries
from processor.faces.gateway.frames import INVALID, PROTOCOL, error
from processor.faces.gateway.grace import Graces
from processor.faces.gateway.opening import (
    InvalidSession,
    authorization_of,
    begin,
    owner_of,
    parameters_of,
    protocol_of,
    resume,
    returned_to,
    token_in_time,
)
from processor.faces.gateway.outgoing import Close
from processor.faces.gateway.socket import Socket
from processor.faces.middleware.gate import admitted
from processor.faces.middleware.shell import Shell
from processor.faces.problems import Problem, problem_of
from processor.faces.replica.context import Context, context_of
from processor.observe.logs import hashed

CLEAN: Final = frozenset({1000, 1001, 1005})  # 1005: a close frame without a code, as browsers send it by themselves
FOR_GOOD: Final = frozenset({Code.NO_SESSION, Code.BAD_FRAME})  # Nobody comes back after these.
LOST: Final = 1006


class Gateway:
    """All sockets of one process: an ASGI application."""

    def __init__(self, app: FastAPI, shell: Shell) -> None:
        """Serve sockets of `app`, which has the context."""
        self._app = app
        self._shell = shell
        self._log = shell.log.bind(component="gateway")
        self._sockets: Counter[str] = Counter()  # by owner
        self._graces = Graces(lambda: app.state.context, self._log)
        self._deliveries: tuple[Context, Deliveries] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket."""
        connection = HTTPConnection(scope)
        await receive()  # It wants to connect.
        protocol = protocol_of(connection)
        began_s = time.perf_counter()
        socket, code = None, LOST
        try:
            with self._shell.metrics.socket():
                await send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
                socket, code = await self._serve(connection, receive, send, speaks=protocol == PROTOCOL)
        except OSError:  # The line broke before there was a session.
            pass
        except Exception as failure:  # What nobody foresaw: the log has the reason.
            code = Code.FAILED
            self._log.error("a socket failed", operation="ws", exc_info=failure)
            with suppress(OSError, RuntimeError):  # It may be closed already.
                await send(Close(code, "the service failed").message)
        finally:
            self._record(connection, socket, code, time.perf_counter() - began_s)

    async def _serve(
        self, connection: HTTPConnection, receive: Receive, send: Send, *, speaks: bool
    ) -> tuple[Socket | None, int]:
        try:
            who = await self._who(connection, receive)
            if who is None:
                return None, LOST
            context = await context_of(connection)
            require(who, "producer")
            asked = parameters_of(connection)
            place = None
            if (session_id := asked.get("session_id")) is not None:
                place = await returned_to(context, who, session_id, asked.get("resume_token", ""))
                owner = place.owner
            else:
                owner = await owner_of(context, who, self._shell.doors, asked.get("user_id"))
            with self._place_for(context, owner):
                opened = await (begin(context, owner) if place is None else resume(context, place, asked.get("after")))
                if not speaks and not opened.place.standing.is_open:
                    raise InvalidSession
                socket = Socket(context, who, opened, self._on_way(context), send, speaks=speaks)
                if speaks and asked.get("subscribe") == "1":
                    socket.subscribe()
                return await self._talk(socket, receive)
        except InvalidSession:
            return None, await _turn_away(send, INVALID, Close(Code.NO_SESSION, INVALID_SESSION))
        except (Problem, A3CPError) as failure:
            problem = failure if isinstance(failure, Problem) else problem_of(failure)
            return None, await _turn_away(send, error(problem), Close(code_of(problem), problem.detail))

    async def _who(self, connection: HTTPConnection, receive: Receive) -> Caller | None:
        """Return who it is; None if the client has gone. Raises Problem: unauthenticated, timed_out, rate_limited."""
        doors = self._shell.doors
        authorization = authorization_of(connection)
        if authorization is None and not doors.are_open:
            authorization = await token_in_time(receive)
            if authorization is None:
                return None
        return await admitted(doors, self._shell.limits, connection.scope, authorization)

    async def _talk(self, socket: Socket, receive: Receive) -> tuple[Socket, int]:
        code: int | None = None
        try:
            code = await socket.run(receive)
        finally:
            socket.leave()
            if code in CLEAN or (socket.closed is not None and socket.closed.code in FOR_GOOD):
                self._graces.begin(socket.place)
        return socket, socket.closed.code if socket.closed is not None else code or LOST

    @contextmanager
    def _place_for(self, context: Context, owner: str) -> Iterator[None]:
        """Count a socket of `owner`. Raises Problem: rate_limited, since there are too many."""
        most = context.settings.ws_sockets_per_user_max
        if self._sockets[owner] >= most:
            raise Problem("rate_limited", f"the user has {most} sockets here already")
        self._sockets[owner] += 1
        try:
            yield
        finally:
            self._sockets[owner] -= 1
            if not self._sockets[owner]:
                del self._sockets[owner]

    def _on_way(self, context: Context) -> Deliveries:
        if self._deliveries is None or self._deliveries[0] is not context:
            self._deliveries = context, Deliveries(context)
        return self._deliveries[1]

    def _record(self, connection: HTTPConnection, socket: Socket | None, code: int, seconds: float) -> None:
        self._shell.metrics.socket_closed(code)
        fields: dict[str, Any] = {"code": code, "duration_ms": round(seconds * 1000, 1)}
        who = connection.scope.get("state", {}).get("caller")
        if who is not None:
            fields["subject" if who.is_person else "caller"] = who.name
        if socket is None:
            self._log.info("WS /ws", operation="refuse", **fields)
            return
        self._shell.metrics.frames(socket.frames_in, socket.frames_out)
        session_id = socket.place.session_id
        key = self._app.state.context.settings.log_key or ""
        fields |= {"session_id": session_id, "frames_in": socket.frames_in, "frames_out": socket.frames_out}
        self._log.info(f"Client disconnected for session: {hashed(session_id, key.encode())}", operation="ws", **fields)


async def _turn_away(send: Send, frame: bytes, close: Close) -> int:
    """Tell a client why it is not let in, and close."""
    await send({"type": "websocket.send", "text": frame.decode()})
    await send(close.message)
    return close.code
