"""One socket, from its session's beginning to its close: frames in, and in their order frames out."""

import asyncio
from contextlib import suppress
from itertools import islice
from typing import Final

from starlette.types import Message, Receive, Send

from processor.errors import A3CPError
from processor.faces.auth.doors import Caller
from processor.faces.gateway.codes import INVALID_SESSION, Code, code_of, ends
from processor.faces.gateway.deliveries import Deliveries
from processor.faces.gateway.followed import Followed
from processor.faces.gateway.following import CONNECTED, DISCONNECTED, Item
from processor.faces.gateway.frames import INVALID, Ack, AckId, ack_id_in, error, frame_in, told
from processor.faces.gateway.opening import InvalidSession, Opened, connected_in
from processor.faces.gateway.outgoing import Close, Outgoing
from processor.faces.gateway.speaking import Speaking
from processor.faces.gateway.taking import Taking
from processor.faces.gateway.tokens import VALID_MS, resume_token
from processor.faces.problems import Problem, problem_of
from processor.faces.replica.context import Context
from processor.faces.v1.reading import in_thread
from processor.view.held import Held
from processor.view.position import Position

TAKEN_OVER: Final = Close(Code.TAKEN_OVER, "another connection goes on with the session")
_NO_CODE: Final = 1005
_MISSED_AT_ONCE: Final = 200


class Gone(Exception):
    """The socket was closed by us."""


class Socket:
    """One socket."""

    def __init__(
        self, context: Context, who: Caller, opened: Opened, deliveries: Deliveries, send: Send, *, speaks: bool
    ) -> None:
        """Begin with the session that was `opened`; `speaks`: whether the client speaks `a3cp.v1`."""
        self.place: Final = opened.place
        self.frames_in = self.frames_out = 0
        self.closed: Close | None = None  # by us
        self._context = context
        self._who = who
        self._after = opened.after
        self._send = send
        self._outgoing = Outgoing()
        self._position = context.view.progress.position_of(self.place.user_id) if opened.after is None else opened.after
        self._followed = Followed(context, who, opened, self._outgoing, tells=speaks)
        self._speaking = Speaking(context, deliveries, self._outgoing, self._refuse, acks=speaks)
        self._taking = Taking(context, who, self._followed, self._speaking, self._outgoing)

    def subscribe(self) -> None:
        """Tell the client all messages of its session, also those that it has missed."""
        self._followed.own.is_subscribed = True

    async def run(self, receive: Receive) -> int | None:
        """Serve the client until one of both sides closes; return the code with which the client did, if it did."""
        with suppress(OSError):  # Then the line broke, and how is told below.
            await self._welcome()
        code = None
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write())
                code = await self._read(receive)
                writing.cancel()
        except* Gone:
            pass
        return code

    def leave(self) -> None:
        """Follow nothing any more, and wait for nothing."""
        self._followed.leave()
        self._speaking.stop()

    # --- to the client

    async def _welcome(self) -> None:
        """Send the first frame, and what a client that comes back has missed."""
        place, after = self.place, self._after
        held = None if after is None else await in_thread(self._context.view.session, place.session_id)
        expires_ms = self._context.now_ms() + VALID_MS
        complete = {} if after is None else {"complete": held is not None and held.is_whole}
        created = {
            "sessionId": place.session_id,
            "resumed": after is not None,
            "resumeToken": resume_token(place.owner, place.session_id, expires_ms, self._context.site_key),
            "position": str(self._position),
            "expiresAt": expires_ms,
            **complete,
        }
        await self._transmit(told("session_created", created))
        if held is not None and after is not None:
            await self._tell_missed(held, after)
        if not place.standing.is_open:
            self._refuse(InvalidSession(), None)

    async def _tell_missed(self, held: Held, after: Position) -> None:
        await in_thread(self._followed.own.learn, held)
        missed = self._followed.own.replayed(held, after)

        def some() -> list[tuple[list[bytes], Position]]:
            return list(islice(missed, _MISSED_AT_ONCE))

        while chunk := await in_thread(some):
            for frames, position in chunk:
                for frame in frames:
                    await self._transmit(frame)
                self._position = position
        self._look_at_others()

    async def _write(self) -> None:
        """Send what is to be sent, until the line breaks, or the socket is to be closed.

        Raises:
            Gone: it is closed.
        """
        with suppress(OSError):  # Whoever reads is told how the line broke.
            while not isinstance(item := await self._outgoing.next(), Close):
                if isinstance(item, Item):
                    await self._show(item)
                elif isinstance(item, Ack):
                    await self._transmit(told("ack", {**item, "position": str(self._position)}))
                else:
                    await self._transmit(item)
            self.closed = item._replace(reason=str(self._position)) if item.code == Code.SLOW else item
            await self._send(self.closed.message)
            raise Gone

    async def _show(self, item: Item) -> None:
        for frame in item.of.frames_of(item):
            await self._transmit(frame)
        if item.of is self._followed.own:
            self._position = item.position
            self._look_at_others()

    def _look_at_others(self) -> None:
        """Give way to another socket of the session; contradict one that tells, late, that its client has gone."""
        own = self._followed.own
        if own.others_word == CONNECTED:
            self._outgoing.shut(*TAKEN_OVER)
        elif own.others_word == DISCONNECTED:
            own.others_word = None
            command = connected_in(self._context, self.place)
            own.words.add(command.record_id)
            with suppress(A3CPError):  # If Kafka is away, the client hears of it when it speaks.
                self._context.sender.send(command, _nobody, _nobody)

    async def _transmit(self, frame: bytes) -> None:
        self.frames_out += 1
        await self._send({"type": "websocket.send", "text": frame.decode()})

    def _refuse(self, failure: Exception, ack_id: AckId | None) -> None:
        """Tell the client what is wrong, and close the socket if it cannot go on."""
        if isinstance(failure, InvalidSession):
            self._outgoing.tell(INVALID)
            self._outgoing.shut(Code.NO_SESSION, INVALID_SESSION)
            return
        assert isinstance(failure, Problem | A3CPError)
        problem = failure if isinstance(failure, Problem) else problem_of(failure)
        self._outgoing.tell(error(problem, ack_id))
        if ends(problem):
            self._outgoing.shut(code_of(problem), problem.detail)

    # --- from the client

    async def _read(self, receive: Receive) -> int:
        """Take frames until the client closes; return its code. Once we close, it does not return."""
        while (message := await receive())["type"] == "websocket.receive":
            self.frames_in += 1
            await self._take(message)
            if self._outgoing.close is not None:
                await asyncio.get_running_loop().create_future()  # Until the closing is done.
        return message.get("code") or _NO_CODE

    async def _take(self, message: Message) -> None:
        try:
            frame = frame_in(message.get("text") or message.get("bytes") or b"")
        except Problem as problem:
            self._outgoing.tell(error(problem))
            self._outgoing.shut(Code.BAD_FRAME, problem.detail)
            return
        ack_id = None
        try:
            ack_id = ack_id_in(frame)
            await self._taking.take(frame, ack_id)
        except (Problem, A3CPError, InvalidSession) as failure:
            self._refuse(failure, ack_id)


def _nobody(*_: object) -> None:
    """Tell nobody."""
