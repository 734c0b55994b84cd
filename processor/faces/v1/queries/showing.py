"""One session: what it is, what happened in it, and why."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from processor.codec.events import from_json
from processor.faces.auth.doors import Asking, Caller
from processor.faces.replica.context import Context, Given
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.reading import (
    JSON,
    Moment,
    Wanted,
    answer,
    as_of_in,
    encode,
    etag_of,
    headers_of,
    held_of,
    in_thread,
    is_logged,
    is_there,
    listed,
    told,
    version_of,
)
from processor.faces.v1.shapes import SessionEvents, SessionExplanation, SessionTimeline, answers
from processor.faces.v1.telling import event_fields, session_resource, timeline_entries
from processor.sessions.forms.explain import Known, explain, limits_for
from processor.sessions.forms.shapes import Resource
from processor.sessions.model import MessageRow
from processor.view.held import Held

router = APIRouter(tags=["One session"], dependencies=[CaughtUp])


@router.get("/sessions/{session_id}", responses=answers(Resource))
async def show_session(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[Moment, Query()]
) -> Response:
    """Show a session as it is now, or as it was known at a time or position (`as_of`).

    It does not count as activity. The answer has an `ETag`; with `If-None-Match` an unchanged session is a 304.
    """
    if asked.as_of is None and (known := shown(request, context, who, session_id)) is not None:
        return known
    version = version_of(context, session_id)  # Before it is read: what comes meanwhile changes it.
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    etag, body = await in_thread(_encoded, held)
    if asked.as_of is None and held.is_whole:
        row = held.row
        context.encoded.put(session_id, version, user_id=row.user_id, owner=row.owner, etag=etag, body=body)
    return _if_changed(request, etag, body, headers_of(request, held))


def shown(request: Request, context: Context, who: Caller, session_id: str) -> Response | None:
    """Return what `show_session` answers if the session is as it was encoded last; else None."""
    known = context.encoded.get(context.view, session_id) if is_logged(context, session_id) else None
    if known is None or not who.sees(known[0].owner):
        return None
    encoded, position = known
    return _if_changed(request, encoded.etag, encoded.body, told(request, [position]))


@router.get("/sessions/{session_id}/events", responses=answers(SessionEvents))
async def show_events(request: Request, held: Wanted) -> Response:
    """Show the session's events, in the order of the log: start, pauses, notes, steps, refusals, ends."""
    events = (encode(event_fields(from_json(row.value), held.row.owner)) for row in held.events())
    return listed("events", events, headers_of(request, held), session_id=held.row.session_id)


@router.get("/sessions/{session_id}/timeline", responses=answers(SessionTimeline))
async def show_timeline(request: Request, held: Wanted, context: Given) -> Response:
    """Show messages and events in order of time, each with a line in plain words, as a bundle has them."""
    entries = await in_thread(timeline_entries, held, context.view.codec)
    return listed("timeline", entries, headers_of(request, held), session_id=held.row.session_id)


@router.get("/sessions/{session_id}/explain", responses=answers(SessionExplanation))
async def show_explanation(request: Request, held: Wanted, context: Given) -> Response:
    """Explain the session: for each boundary and each flagged message the rule, the numbers and the record."""
    found = await in_thread(_explanations, held, context)
    return answer({"session_id": held.row.session_id, "explanations": found}, headers_of(request, held))


def _encoded(held: Held) -> tuple[str, bytes]:
    """Return the ETag of a session and its JSON."""
    events = list(held.events())
    return etag_of(held, events), encode(session_resource(held, events))


def _if_changed(request: Request, etag: str, body: bytes, headers: dict[str, str]) -> Response:
    headers["ETag"] = etag
    if is_there(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=JSON)


def _explanations(held: Held, context: Context) -> list[Any]:
    codec, settings = context.view.codec, context.settings
    rules = settings.rules()

    def why_odd(row: MessageRow) -> Sequence[str]:
        return codec.reasons(codec.untag(row.value)[1]) if row.value is not None else ()

    limits = limits_for(held.row.template, context.view.memory.policy_of(held.row.user_id), rules)
    known = Known(limits, rules.skew_ms, settings.topics().outputs, why_odd)
    return list(explain(held.view, known))
