"""How a socket begins: who it is, whose session it wants, and that session, a new one or one that goes on."""

import asyncio
from base64 import urlsafe_b64decode
from typing import Final, NamedTuple

from starlette.requests import HTTPConnection
from starlette.types import Receive

from processor.client.commands import CommandRecord
from processor.client.lanes import lane_of
from processor.codec.events import SYSTEM
from processor.faces.auth.doors import Caller, Doors
from processor.faces.gateway.following import CONNECTED
from processor.faces.gateway.frames import PROTOCOL, frame_in, payload_in
from processor.faces.gateway.tokens import opens
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.faces.requests import ids
from processor.faces.requests.asking import OUTCOME_WAIT_S, carried_out
from processor.faces.requests.finding import Place, caught_up, find
from processor.faces.requests.persons import user_of
from processor.faces.requests.positions import position_in
from processor.view.position import Position
from processor.view.standing import Standing

TOKEN_S: Final = 10.0  # within which a socket's first frame must bring its token, if nothing before it did
TEMPLATE: Final = "gateway"
_PARAMETERS: Final = ("user_id", "session_id", "resume_token", "after", "subscribe")
_BEARER: Final = "base64url.bearer.authorization."


class InvalidSession(Exception):
    """There is no such session, or it is over, or it is not the client's."""


class Opened(NamedTuple):
    """The session that a socket begins with."""

    place: Place
    after: Position | None = None  # behind which it goes on; None if it has just begun
    words: frozenset[str] = frozenset()  # the command that told the log of the new connection


def protocol_of(connection: HTTPConnection) -> str | None:
    """Return the subprotocol that is spoken; None for the document's own frames.

    A browser that offers nothing but its token wants something of that chosen, or it gives up.
    """
    offered: list[str] = connection.scope["subprotocols"]
    if PROTOCOL in offered:
        return PROTOCOL
    return next((each for each in offered if each.startswith(_BEARER)), None)


def authorization_of(connection: HTTPConnection) -> str | None:
    """Return the header `Authorization`, or what stands for it: browsers can send a token as a subprotocol only."""
    for each in connection.scope["subprotocols"]:
        if each.startswith(_BEARER):
            text = each.rpartition(".")[2]
            try:
                return f"Bearer {urlsafe_b64decode(text + '=' * (-len(text) % 4)).decode()}"
            except ValueError:
                return "Bearer"
    return connection.headers.get("authorization")


async def token_in_time(receive: Receive) -> str | None:
    """Return what stands for `Authorization`, from the first frame: `{"type":"auth","payload":{"token"}}`.

    Returns None if the client has gone.

    Raises:
        Problem: timed_out; invalid_request, since the frame is another one.
    """
    try:
        async with asyncio.timeout(TOKEN_S):
            message = await receive()
    except TimeoutError:
        raise Problem("timed_out", f"no token came within {TOKEN_S:.0f} s") from None
    if message["type"] != "websocket.receive":
        return None
    frame = frame_in(message.get("text") or message.get("bytes") or b"")
    token = payload_in(frame).get("token") if frame.type == "auth" else None
    if not isinstance(token, str):
        raise Problem("unauthenticated", 'the first frame brings the token: {"type":"auth","payload":{"token":"…"}}')
    return f"Bearer {token}"


def parameters_of(connection: HTTPConnection) -> dict[str, str]:
    """Return the parameters of the URL. A misspelt one is refused: it would begin a new session in place of an old one.

    Raises:
        Problem: invalid_request, since there is no such parameter, or it is there twice.
    """
    asked = connection.query_params.multi_items()
    if not {name for name, _ in asked} <= set(_PARAMETERS):
        raise Problem("invalid_request", f"the URL takes {', '.join(_PARAMETERS)} and no other parameter")
    if len(dict(asked)) < len(asked):
        raise Problem("invalid_request", "a parameter of the URL is there twice")
    return dict(asked)


async def owner_of(context: Context, who: Caller, doors: Doors, asked: str | None) -> str:
    """Return whose sessions the socket is for; `asked` is its parameter `user_id`.

    Raises:
        Problem: forbidden, since the token does not cover the user, or covers several and none is named;
            invalid_request, since that is no user's id.
    """
    if asked is None:
        if doors.are_open:
            asked = context.settings.ws_user
        elif len(who.users) != 1 or who.sees_all:
            raise Problem("forbidden", "the token covers several users, so user_id must say whose session it is")
        else:
            asked = next(iter(who.users))
    try:
        ids.owner(asked)
    except ValueError as error:
        raise Problem("invalid_request", f"user_id: {error}") from error
    owner = await user_of(context, asked)
    if not (who.sees(owner) or who.sees(asked)):
        raise Problem("forbidden", "the token does not cover the user")
    return owner


async def begin(context: Context, owner: str) -> Opened:
    """Begin a session of `owner`, beside those that they may have open. Raises as `carried_out`."""
    lane = lane_of(owner, None)
    command = context.sender.command(lane, "start", performer_id=owner, owner=owner, template=TEMPLATE)
    event = (await carried_out(context, command, OUTCOME_WAIT_S, waits=True)).event
    assert event.session_id is not None
    return Opened(Place(event.session_id, lane, owner, Standing.ACTIVE))


async def returned_to(context: Context, who: Caller, session_id: str, token: str) -> Place:
    """Return where the session is that a client comes back to.

    Raises:
        InvalidSession: there is none, or the token does not open it.
        Problem: not_caught_up.
        StoreUnavailable: the store does not answer.
    """
    place = await find(context, session_id)
    if place is None or not who.sees(place.owner):
        raise InvalidSession
    if not opens(token, place.owner, session_id, context.now_ms(), context.site_key):
        raise InvalidSession
    return place


async def resume(context: Context, place: Place, after: str | None) -> Opened:
    """Go on with a session, behind the position `after`; without one, from its beginning.

    It is told to the log, so that no replica ends the session, and an earlier connection of it gives way.

    Raises:
        Problem: invalid_request, since `after` is no position; not_caught_up; as `carried_out`.
    """
    told = position_in(after, partitions=len(context.view.progress.positions())) if after else None
    if not place.standing.is_open:
        return Opened(place, _begin_at(context, place, told))
    command = connected_in(context, place)
    answered = await carried_out(context, command, OUTCOME_WAIT_S, waits=True)
    if answered.event.kind == "rejected":  # It has ended in this moment.
        place = place._replace(standing=Standing.CLOSED)
    # What was said before is in the log, and so are its tags: a frame that is sent again is recognised.
    if not answered.is_kept and not await caught_up(context):
        raise Problem("not_caught_up", "this replica has not read all of the session yet")
    return Opened(place, _begin_at(context, place, told), frozenset((command.record_id,)))


def _begin_at(context: Context, place: Place, told: Position | None) -> Position:
    """Return where to go on: where the client says, or at the beginning if that is no place in this log.

    It may be another cluster's, or lie beyond the end, as after a restored backup.
    """
    here = context.view.progress.position_of(place.user_id)
    if told is not None and told.cluster == here.cluster and told.partition <= here.partition:
        end = context.view.progress.positions()[told.partition]  # Another one than `here`, if the user has moved since.
        if told.sessions <= end.sessions and told.tagged <= end.tagged:
            return told
    return Position(here.cluster, 0, 0, 0)


def connected_in(context: Context, place: Place) -> CommandRecord:
    """Return the command that tells the log that a client is connected to its session."""
    return context.sender.command(
        place.user_id, "status", session_id=place.session_id, performer_id=SYSTEM, status=CONNECTED
    )
