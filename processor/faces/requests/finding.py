"""Finds whose session an id is, and whether it is open; never answers that there is none before it is sure."""

from typing import Final, NamedTuple

import anyio

from processor.core.ids import owner_of
from processor.faces.auth.doors import Caller
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.view.standing import Standing
from processor.view.view import View

CAUGHT_UP_S: Final = 2.0
_STANDINGS: Final = {"active": Standing.ACTIVE, "paused": Standing.PAUSED, "ended": Standing.CLOSED}


class Place(NamedTuple):
    """Where a session is."""

    session_id: str
    user_id: str  # the core's: perhaps a lane
    owner: str
    standing: Standing

    def is_of(self, user_id: str) -> bool:
        """Whether it is a session of `user_id`: an owner, or a lane as modules copy it from messages."""
        return user_id in (self.owner, self.user_id)


def in_memory(view: View, session_id: str) -> Place | None:
    """Return where a session is, as far as the view has it in memory; quick enough for an event loop."""
    user_id = view.memory.user_of(session_id)
    if user_id is None:
        return None
    standing = view.memory.standing(user_id, session_id)
    return None if standing is None else Place(session_id, user_id, owner_of(user_id), standing)


async def find(context: Context, session_id: str) -> Place | None:
    """Return where a session is; None once it is certain that neither log nor store has it.

    History is asked last.

    Raises:
        Problem: as `is_to_look_again`.
        StoreUnavailable: the store does not answer.
    """
    place, meanwhile = in_memory(context.view, session_id), context.meanwhile
    if meanwhile is not None and (place is None or meanwhile.concerns(session_id)):
        place = in_memory(meanwhile.foreseen, session_id)
    if place is None and await is_to_look_again(context, session_id):
        place = in_memory(context.view, session_id)
        place = place or await anyio.to_thread.run_sync(_in_history, context.view, session_id)
    return place


async def is_to_look_again(context: Context, session_id: str) -> bool:
    """Return whether to look again for a session that was not found: all that was sent before now is known then.

    It may be a millisecond old, and of another replica. So the broker is asked where the log ends, and that is read.

    Raises:
        Problem: not_caught_up, since that takes longer than 2 s.
    """
    if not can_be_one(session_id):
        return False
    if not await caught_up(context):
        raise Problem("not_caught_up", "this replica cannot tell yet whether there is such a session")
    return True


def can_be_one(session_id: str) -> bool:
    """Return whether it can be an id: none has a zero character, and a database cannot be asked for it."""
    return "\0" not in session_id


async def place_of(context: Context, who: Caller, session_id: str) -> Place:
    """Return where a session is.

    Raises:
        Problem: session_not_found, also for a session that `who` does not see; session_removed; not_caught_up.
        StoreUnavailable: the store does not answer, and memory does not know the session.
    """
    place = await find(context, session_id)
    if place is None:
        raise await unknown(context, session_id)
    if not who.sees(place.owner):
        raise not_found(session_id)
    return place


async def caught_up(context: Context) -> bool:
    """Return whether all is known that was sent before now: the log is read, and nothing waits for it."""
    waits = context.meanwhile is not None and context.meanwhile.may_lack
    return not waits and await context.view.progress.caught_up(CAUGHT_UP_S)


async def unknown(context: Context, session_id: str) -> Problem:
    """Return the problem that a session is not known: it was removed, or there never was one.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    store = context.store
    removed: frozenset[str] = frozenset()
    if store is not None and can_be_one(session_id):
        removed = await anyio.to_thread.run_sync(store.removed_of, [session_id])
    if removed:
        return Problem("session_removed", "the session was removed", session_id=session_id)
    return not_found(session_id)


def not_found(session_id: str) -> Problem:
    """Return the problem of a session that does not exist. One that the caller must not see has the same."""
    return Problem("session_not_found", "there is no such session", session_id=session_id)


def _in_history(view: View, session_id: str) -> Place | None:
    held = view.session(session_id)
    if held is None:
        return None
    return Place(session_id, held.row.user_id, owner_of(held.row.user_id), _STANDINGS[held.row.state])
