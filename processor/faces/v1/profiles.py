"""What a person gave of themselves, for those who gave it to the service: it is in the profile store alone."""

from typing import Final

from fastapi import APIRouter, Request, Response

from processor.faces.context import Given
from processor.faces.doors import Asking
from processor.faces.paths import SessionId
from processor.faces.positions import CaughtUp
from processor.faces.v1.commanding import PARTICIPANTS
from processor.faces.v1.reading import answer, headers_of, held_of, in_thread

router: Final = APIRouter(tags=["Persons"])


@router.get("/sessions/{session_id}/user_info", dependencies=[PARTICIPANTS, CaughtUp])
async def show_user_info(request: Request, session_id: SessionId, who: Asking, context: Given) -> Response:
    """Show who the session's person is: the latest `user_info` of theirs. It is in the profile store alone."""
    held = await held_of(context, who, session_id)
    known = None if context.profiles is None else await in_thread(context.profiles.profile, held.row.owner)
    info = {} if known is None else dict(known.info)
    return answer({"session_id": session_id, "user_info": info}, headers_of(request, held))
