"""What an interview needs beside its session: the resume that it begins with, and the evaluation after its end."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Request, Response

from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time
from processor.faces.auth.doors import Asking
from processor.faces.problems import Problem
from processor.faces.replica.context import Given
from processor.faces.requests.finding import Place
from processor.faces.requests.paths import SessionId
from processor.faces.requests.persons import resume_of
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.commands.asked import Ask, Asked
from processor.faces.v1.commands.commanding import PARTICIPANTS
from processor.faces.v1.commands.messages_in import TAKEN, said
from processor.faces.v1.reading import answer, encode, headers_of, held_of, in_thread
from processor.faces.v1.telling import session_resource
from processor.upstream.facts import score_in
from processor.upstream.notices import EVALUATOR
from processor.view.held import Held

router: Final = APIRouter(tags=["Interviews"])

RESUME: Final = "resume_sha256"
"""The name in a session's context under which the hash of its resume is."""

_SAFETY_MS: Final = 60_000  # Its session must still be remembered when the processor reads it.


@router.get("/sessions/{session_id}/resume_data", dependencies=[PARTICIPANTS, CaughtUp])
async def show_resume(request: Request, session_id: SessionId, who: Asking, context: Given) -> Response:
    """Show the resume that the session began with. It is in the profile store alone, and goes with its person."""
    held = await held_of(context, who, session_id)
    told = await in_thread(lambda: session_resource(held, held.events()).context)
    digest = told.get(RESUME)
    resume = await resume_of(context, held.row.owner, digest) if isinstance(digest, str) else None
    headers = {**headers_of(request, held), "Cache-Control": "no-store"}
    return answer({"session_id": session_id, "resume_data": resume}, headers)


@router.post("/sessions/{session_id}/evaluation", status_code=202, responses=TAKEN, dependencies=[PARTICIPANTS])
async def evaluate(session_id: SessionId, ask: Ask, body: Annotated[dict[str, Any], Body()]) -> Response:
    """Keep an evaluation of the session, also after its end; its `overall_score` becomes the session's `score`.

    It is a message of the session, at the time of its end. So it is part of what the session's end proves, and the end
    is told again. With `Prefer: wait=N` the answer waits until it is tagged.
    """
    if score_in(body) is None:
        raise Problem("invalid_request", "the evaluation has no overall_score that is a number")
    place = await ask.place_of(session_id)
    held, _ = await ask.afterwards(session_id)
    value = encode(_evaluation(ask, place, _time_ms(ask, held), body))
    return await ask.once(lambda: said(ask, place, [value]))


def _evaluation(ask: Asked, place: Place, at_ms: int, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": ask.new_record_id("evaluation"),
        "user_id": place.user_id,
        "session_id": place.session_id,
        "timestamp": format_time(at_ms),
        "source": EVALUATOR,
        "performer_id": "system",
        "overall_score": report["overall_score"],
        "evaluation": report,
    }


def _time_ms(ask: Asked, held: Held) -> int:
    """Return the time of an evaluation: now, or that of the session's end.

    Raises:
        Problem: session_closed, since the log does not remember it any longer.
    """
    now_ms, end_ms = ask.context.now_ms(), held.row.end_ms
    if end_ms is None:
        return now_ms
    if now_ms - end_ms > ask.context.settings.late_horizon_ms - _SAFETY_MS:
        raise Problem("session_closed", "the session ended too long ago", session_id=held.row.session_id)
    return end_ms
