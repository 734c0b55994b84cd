"""What a person gave of themselves, for those who gave it to the service: it is in the profile store alone."""

from typing import Final

from fastapi import APIRouter, Request, Response

from processor.faces.auth.doors import Asking
from processor.faces.replica.context import Given
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.commands.commanding import PARTICIPANTS
from processor.faces.v1.reading import answer, headers_of, held_of, in_thread

router: Final = APIRouter(tags=["Persons"])


@router.get("/sessions/{session_id}/user_info", dependencies=[PARTICIPANTS, CaughtUp])
async def show_user_info(request: Request, session_id: SessionId, who: Asking, context: Given) -> Response:
    """Show who the session's person is: their id as they gave it, and the latest `user_info` of theirs.

    Both are in the profile store alone. Without a profile `user_id` is null.
    """
    held = await held_of(context, who, session_id)
    known = None if context.profiles is None else await in_thread(context.profiles.profile, held.row.owner)
    body = {
        "session_id": session_id,
        "user_id": None if known is None else known.given,
        "user_info": {} if known is None else dict(known.info),
    }
    return answer(body, headers_of(request, held))
