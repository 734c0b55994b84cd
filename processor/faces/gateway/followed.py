"""The sessions that one socket speaks to: its own, and others of the same person."""

from typing import Any, Final

from processor.faces.auth.doors import Caller
from processor.faces.gateway.following import Following
from processor.faces.gateway.opening import InvalidSession, Opened
from processor.faces.gateway.outgoing import Outgoing
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.faces.requests.finding import Place, find
from processor.faces.v1.reading import in_thread

SESSIONS_MAX: Final = 16


class Followed:
    """The sessions of one socket, each followed from the first time it is meant."""

    def __init__(self, context: Context, who: Caller, opened: Opened, outgoing: Outgoing, *, tells: bool) -> None:
        """Begin with the socket's own; `tells`: whether the client is told of what happens."""
        self._context = context
        self._who = who
        self._outgoing = outgoing
        self._tells = tells
        self._sessions: dict[str, Following] = {}
        self.own: Final = self._follow(opened.place)
        self.own.words |= opened.words

    async def meant(self, session_id: Any) -> Following:
        """Return the open session that a frame means.

        Raises:
            InvalidSession: it is none, or none of the client's, or over.
            Problem: not_caught_up; rate_limited, since the socket speaks to too many.
            StoreUnavailable: the store does not answer.
        """
        if not isinstance(session_id, str):
            raise InvalidSession
        following = self._sessions.get(session_id)
        if following is None:
            place = await find(self._context, session_id)
            owner = self.own.place.owner
            if place is None or place.owner != owner or not self._who.sees(owner):
                raise InvalidSession
            if len(self._sessions) >= SESSIONS_MAX:
                raise Problem("rate_limited", f"a socket speaks to {SESSIONS_MAX} sessions at most")
            following = self._follow(place)
            held = await in_thread(self._context.view.session, session_id)
            if held is not None:
                await in_thread(following.learn, held)
        if not self._is_open(following.place):
            raise InvalidSession
        return following

    def leave(self) -> None:
        """Follow nothing any more."""
        for following in self._sessions.values():
            following.leave()

    def _follow(self, place: Place) -> Following:
        following = Following(place, self._outgoing, self._context.view.codec, tells=self._tells)
        following.follow(self._context.view)
        self._sessions[place.session_id] = following
        return following

    def _is_open(self, place: Place) -> bool:
        view, meanwhile = self._context.view, self._context.meanwhile
        standing = view.memory.standing(place.user_id, place.session_id)
        if standing is None and meanwhile is not None:
            standing = meanwhile.foreseen.memory.standing(place.user_id, place.session_id)
        return standing is not None and standing.is_open
