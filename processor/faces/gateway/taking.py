"""What the frames of a client ask for, once they can be read."""

from typing import Any, Final

from processor.codec.isotime import TIME_MS_MAX, parse_time
from processor.faces.auth.doors import Caller, require
from processor.faces.gateway.followed import Followed
from processor.faces.gateway.following import Following
from processor.faces.gateway.frames import AckId, Frame, payload_in, told
from processor.faces.gateway.outgoing import Outgoing
from processor.faces.gateway.speaking import Speaking
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.faces.requests import ids

COMMAND_CHARS_MAX: Final = 255
TYPES: Final = ("touch", "end", "pause", "resume", "note", "subscribe", "ping")


class Taking:
    """Takes the frames of one client."""

    def __init__(
        self, context: Context, who: Caller, followed: Followed, speaking: Speaking, outgoing: Outgoing
    ) -> None:
        """Take what `who` asks for."""
        self._context = context
        self._who = who
        self._followed = followed
        self._speaking = speaking
        self._outgoing = outgoing

    async def take(self, frame: Frame, ack_id: AckId | None) -> None:
        """Do what `frame` asks for.

        Raises:
            InvalidSession: the session that it means is not open, or none of the client's.
            Problem: the frame is not as it should be, or not allowed; not_caught_up and the like.
            A3CPError: it cannot be done.
        """
        match frame.type:
            case None:
                await self._say(frame, ack_id)
            case "end" | "pause" | "resume":
                await self._ask(await self._meant(frame), frame, ack_id)
            case "touch":
                await self._touch(frame, ack_id)
            case "note":
                await self._note(frame, ack_id)
            case "subscribe":
                (await self._meant(frame)).is_subscribed = True
                self._speaking.acknowledge(ack_id, None)
            case "ping":
                self._outgoing.tell(told("pong", {} if ack_id is None else {"ackId": ack_id}))
            case _:
                raise Problem("invalid_request", f"there is no such type of frame; there are {', '.join(TYPES)}")

    async def _say(self, frame: Frame, ack_id: AckId | None) -> None:
        to = await self._followed.meant(frame.session_id)
        performer_id = self._performer_of(frame)
        if type(frame.command) is not str or not 0 < len(frame.command) <= COMMAND_CHARS_MAX:
            raise Problem("invalid_request", f"command is a text of 1 to {COMMAND_CHARS_MAX} characters")
        await self._speaking.say(
            to,
            ack_id,
            command=frame.command,
            payload=bytes(frame.payload),
            performer_id=performer_id,
            at_ms=_time_in(frame),
        )

    async def _touch(self, frame: Frame, ack_id: AckId | None) -> None:
        following = await self._meant(frame)
        recent = self._context.touches.recent(following.place.session_id, self._context.now_ms())
        if recent is None:
            await self._ask(following, frame, ack_id)
        else:
            self._speaking.acknowledge(ack_id, recent.command_record_id)

    async def _note(self, frame: Frame, ack_id: AckId | None) -> None:
        require(self._who, "reviewer")
        payload = payload_in(frame)
        text, kind = payload.get("text"), payload.get("kind")
        if not isinstance(text, str) or not text.strip() or not isinstance(kind, str | None):
            raise Problem("invalid_request", "the payload of a note has a text, and perhaps a kind, a text too")
        await self._ask(await self._meant(frame), frame, ack_id, note=text, kind=kind)

    async def _ask(self, of: Following, frame: Frame, ack_id: AckId | None, **arguments: Any) -> None:
        await self._speaking.ask(of, ack_id, frame.type, performer_id=self._performer_of(frame), **arguments)

    async def _meant(self, frame: Frame) -> Following:
        """Return the session that a frame with a type means; the socket's own if it names none."""
        own = self._followed.own.place.session_id
        return await self._followed.meant(own if frame.session_id is None else frame.session_id)

    def _performer_of(self, frame: Frame) -> str:
        """Return who does it: the socket's user unless it is said.

        Raises:
            Problem: user_mismatch, performer_required.
        """
        place = self._followed.own.place
        if frame.user_id not in (None, place.owner, place.user_id):
            raise Problem("user_mismatch", "the socket is another user's")
        if frame.performer_id is None:
            return place.owner
        try:
            return ids.log_id(frame.performer_id)
        except (ValueError, TypeError, AttributeError):
            raise Problem("performer_required", "performerId says who does it, or is left out") from None


def _time_in(frame: Frame) -> int | None:
    """Return the time that a frame tells, ms; None if it tells none.

    Raises:
        Problem: invalid_request, since it is no time.
    """
    at = frame.timestamp
    if at is None:
        return None
    try:
        at_ms = parse_time(at) if isinstance(at, str) else at
    except ValueError:
        at_ms = None
    if type(at_ms) is not int or not 0 <= at_ms <= TIME_MS_MAX:
        raise Problem("invalid_request", "timestamp is milliseconds since 1970, or an ISO 8601 text")
    return at_ms
