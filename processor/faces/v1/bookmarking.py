"""Marking moments of sessions, so that one finds them again. Bookmarks are added, and never changed or taken away."""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Request, Response
from pydantic import Field, model_validator

from processor.codec.isotime import format_time
from processor.faces.auth.doors import Asking
from processor.faces.problems import Problem
from processor.faces.replica.context import Given
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import CaughtUp
from processor.faces.texts import Word
from processor.faces.v1.commands.commanding import REVIEWERS, Performed
from processor.faces.v1.reading import answer, headers_of, held_of, in_thread
from processor.faces.v1.shapes import SessionBookmark, SessionBookmarks, answers
from processor.profiles import Bookmark
from processor.sessions.model import SessionRow

router: Final = APIRouter(tags=["Bookmarks"], dependencies=[CaughtUp])

NUMBER_MAX: Final = 1 << 53
_REMEDY: Final = "Give the service a profile store (A3CP_PROFILE_STORE_URL): bookmarks are kept there."
Number = Annotated[int, Field(ge=1, le=NUMBER_MAX)]


class Marking(Performed):
    """A moment of a session: a message or a session event, by its number."""

    seq: Annotated[
        Number | None, Field(description="The message's number in the session, as `session_seq` tells it.")
    ] = None
    event: Annotated[Number | None, Field(description="The session event's number, as the timeline tells it.")] = None
    text: Annotated[Word | None, Field(description="A few words about it.")] = None

    @model_validator(mode="after")
    def _one_place(self) -> Any:
        if (self.seq is None) == (self.event is None):
            raise ValueError("it names a message (seq) or a session event (event)")
        return self


@router.post(
    "/sessions/{session_id}/bookmarks",
    status_code=201,
    dependencies=[REVIEWERS],
    responses=answers(SessionBookmark, 201),
)
async def mark(
    request: Request, session_id: SessionId, who: Asking, context: Given, body: Annotated[Marking, Body()]
) -> Response:
    """Mark a moment of the session, whether it is open or has ended.

    That is no activity of the session, and does not come into the log. To repeat it changes nothing.
    """
    if context.profiles is None:
        raise Problem("invalid_request", "there is no place where bookmarks are kept", remedy=_REMEDY)
    held = await held_of(context, who, session_id)
    _check(held.row, body)
    bookmark = Bookmark(
        session_id=session_id,
        user_id=held.row.owner,
        place=f"event={body.event}" if body.seq is None else f"seq={body.seq}",
        text=body.text or "",
        performer_id=body.performer_id,
        created_ms=context.now_ms(),
    )
    await in_thread(context.profiles.bookmarks.add, bookmark)
    made = answer(_told(bookmark), headers_of(request, held))
    made.status_code = 201
    return made


@router.get("/sessions/{session_id}/bookmarks", responses=answers(SessionBookmarks))
async def list_bookmarks(request: Request, session_id: SessionId, who: Asking, context: Given) -> Response:
    """List the session's bookmarks, the oldest first."""
    held = await held_of(context, who, session_id)
    found = (
        [] if context.profiles is None else await in_thread(partial(context.profiles.bookmarks.of_session, session_id))
    )
    return answer(SessionBookmarks([_told(each) for each in found]), headers_of(request, held))


def _check(row: SessionRow, marked: Marking) -> None:
    """Refuse a moment that the session does not have.

    Raises:
        Problem: invalid_request.
    """
    number, count, what = (
        (marked.seq, row.held_count, "message") if marked.seq is not None else (marked.event, row.event_count, "event")
    )
    if number is None or number > count:
        raise Problem("invalid_request", f"the session has no {what} {number}", session_id=row.session_id)


def _told(bookmark: Bookmark) -> SessionBookmark:
    kind, _, number = bookmark.place.partition("=")
    return SessionBookmark(
        seq=int(number) if kind == "seq" else None,
        event=int(number) if kind == "event" else None,
        text=bookmark.text,
        performer_id=bookmark.performer_id,
        created_at=format_time(bookmark.created_ms),
    )
