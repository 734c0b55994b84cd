"""A3CP's own session manager: start, end and validate, with its bodies, codes and texts.

A user has one open session here. Start is idempotent: it answers with the open session's own fields. What comes from
the client decides nothing but its fields: ids, times and source are the log's.
"""

from typing import Annotated, Any, Final
from uuid import UUID

import anyio
import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from processor.codec.events import EventView
from processor.codec.isotime import format_time, parse_time
from processor.core.ids import belongs_to, owner_of, started_ms
from processor.faces.auth.doors import Asking, Caller
from processor.faces.problems import Problem
from processor.faces.replica.context import Context, Given
from processor.faces.replica.idempotency import record_id_of
from processor.faces.requests.asking import Answered, outcome
from processor.faces.requests.finding import Place, find, in_memory
from processor.faces.requests.ids import PerformerId, UserId
from processor.faces.requests.positions import POSITION, user_position
from processor.faces.requests.roles import needs
from processor.faces.texts import Text
from processor.sessions.model import SessionRow
from processor.view.standing import Standing

router: Final = APIRouter(tags=["A3CP"])

PERFORMER_REQUIRED: Final = "performer_id is required (use 'system' for system-initiated boundaries)"
USER_MISMATCH: Final = "Session user mismatch"
NOT_FOUND: Final = "Session not found"
CLOSED: Final = "Session already closed"


def _not_blank(session_id: str) -> str:
    if not session_id.strip():
        raise ValueError("session_id is blank")
    return session_id


def _time_ms(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("it is no ISO 8601 text")
    return parse_time(value)


Time = Annotated[int, BeforeValidator(_time_ms, json_schema_input_type=str)]
"""A time as ISO 8601 text, read as ms."""


class Boundary(BaseModel):
    """What A3CP sends with a start and with an end."""

    schema_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
    record_id: UUID
    user_id: UserId
    timestamp: Time
    performer_id: PerformerId | None = None


class Start(Boundary):
    """A3CP's SessionManagerStartInput."""

    is_training_data: bool = False
    session_notes: Text | None = None
    training_intent_label: Text | None = None


class End(Boundary):
    """A3CP's SessionManagerEndInput."""

    session_id: Annotated[Text, AfterValidator(_not_blank)]
    end_time: Time


class Validate(BaseModel):
    """A3CP's SessionManagerValidateInput."""

    user_id: Text
    session_id: Text


@router.post("/sessions.start", dependencies=[needs("producer")])
async def start(body: Start, request: Request, context: Given, who: Asking) -> Response:
    """Start a session, or answer with the one that the user has open."""
    performer_id = _entering(body, who)
    record_id = record_id_of(who.name, "sessions.start", f"{body.user_id}\0{body.record_id}")
    known = context.view.memory.outcome(record_id, body.user_id)
    if known is not None:
        answered = Answered(known, replayed=True)
    else:
        command = context.sender.command(
            body.user_id,
            "start",
            record_id=record_id,
            performer_id=performer_id,
            is_training_data=body.is_training_data,
            session_notes=body.session_notes,
            training_intent_label=body.training_intent_label,
        )
        answered = await outcome(context, request, command)
    event = answered.event
    if event.kind == "rejected":  # Its very record was sent twice, and the session that it opened has ended since.
        raise Problem("session_closed", CLOSED)
    assert event.session_id is not None
    row = None
    if event.kind != "started":  # It was open: what its own start said holds.
        row = await anyio.to_thread.run_sync(_row_of, context, event.session_id)
    return _answer(request, context, answered, body.user_id, body.user_id, **_start_fields(event, row))


@router.post("/sessions.end", dependencies=[needs("producer")])
async def end(body: End, request: Request, context: Given, who: Asking) -> Response:
    """End a session."""
    performer_id = _entering(body, who)
    place = await _place_of(context, body.user_id, body.session_id)
    if place is None:
        raise Problem("session_not_found", NOT_FOUND)
    if not place.is_of(body.user_id):
        raise Problem("user_mismatch", USER_MISMATCH)
    if place.standing is Standing.CLOSED:
        raise Problem("session_closed", CLOSED)
    command = context.sender.command(
        place.user_id,
        "end",
        performer_id=performer_id,
        session_id=body.session_id,
        timestamp_ms=_end_ms(context, place.user_id, body),
    )
    answered = await outcome(context, request, command)
    event = answered.event
    if event.kind == "rejected":
        raise _refused(event)
    assert event.end_time is not None
    return _answer(request, context, answered, place.user_id, body.user_id, end_time=format_time(event.end_time))


_STATUS: Final = {
    Standing.ACTIVE: b'{"status":"active"}',
    Standing.PAUSED: b'{"status":"active"}',  # A3CP knows no pause: whoever validates goes on.
    Standing.CLOSED: b'{"status":"closed"}',
    None: b'{"status":"invalid"}',
}


@router.post("/sessions.validate")
async def validate(body: Validate, context: Given, who: Asking) -> Response:
    """Tell whether a session is active, closed or none of this user's; it changes nothing."""
    if not who.sees(owner_of(body.user_id)):
        raise Problem("user_mismatch", USER_MISMATCH)
    place = None
    if body.user_id.strip() and body.session_id.strip():
        place = await _place_of(context, body.user_id, body.session_id)
    return _standing(context, body.user_id, place)


def validated(context: Context, who: Caller, body: bytes) -> Response | None:
    """Return what `validate` answers to `body`; None where memory does not know the session, or it is a problem."""
    try:
        asked = Validate.model_validate_json(body)
    except (ValidationError, RecursionError):
        return None
    place = in_memory(context.view, asked.session_id)
    if place is None or not who.sees(owner_of(asked.user_id)):
        return None
    return _standing(context, asked.user_id, place)


def _standing(context: Context, user_id: str, place: Place | None) -> Response:
    standing = place.standing if place is not None and place.is_of(user_id) else None
    headers = {POSITION: str(context.view.progress.position_of(user_id))}
    return Response(_STATUS[standing], headers=headers, media_type="application/json")


async def _place_of(context: Context, user_id: str, session_id: str) -> Place | None:
    """Return where a session is, as `find` does; one that all have forgotten is known by the digits of its id."""
    place = await find(context, session_id)
    if place is not None:
        return place
    start_ms = started_ms(session_id)
    if start_ms is not None and start_ms <= _horizon_ms(context, user_id) and belongs_to(session_id, user_id):
        return Place(session_id, user_id, user_id, Standing.CLOSED)
    return None


def _horizon_ms(context: Context, user_id: str) -> int:
    """Return the start up to which sessions of a user may be forgotten: the states are not to grow for ever."""
    return max(context.now_ms() - context.settings.late_horizon_ms, context.view.memory.oldest_ms(user_id) or 0)


def _entering(body: Boundary, who: Caller) -> str:
    """Return the performer of a boundary that `who` may ask for.

    Raises:
        Problem: performer_required or user_mismatch.
    """
    if not who.sees(owner_of(body.user_id)):
        raise Problem("user_mismatch", USER_MISMATCH)
    if body.performer_id is None or not body.performer_id.strip():
        raise Problem("performer_required", PERFORMER_REQUIRED)
    return body.performer_id


def _end_ms(context: Context, user_id: str, body: End) -> int:
    """Return when a session is to end: when the client says, if that lies between its last activity and now."""
    now_ms = context.now_ms()
    last_ms = context.view.memory.last_activity_ms(user_id, body.session_id)
    return body.end_time if last_ms is not None and last_ms <= body.end_time <= now_ms else now_ms


def _row_of(context: Context, session_id: str) -> SessionRow | None:
    held = context.view.session(session_id)
    return None if held is None else held.row


def _start_fields(event: EventView, row: SessionRow | None) -> dict[str, Any]:
    """Return the fields of a start: those of the open session's own start, if it was open."""
    told = event if row is None else row
    start_ms = event.start_time if row is None else row.start_ms
    return {
        "performer_id": told.performer_id,
        "start_time": None if start_ms is None else format_time(start_ms),
        "is_training_data": bool(told.is_training_data),
        "session_notes": told.session_notes,
        "training_intent_label": told.training_intent_label,
    }


def _refused(event: EventView) -> Problem:
    match event.reason:
        case "already_closed":
            return Problem("session_closed", CLOSED)
        case "user_mismatch":
            return Problem("user_mismatch", USER_MISMATCH)
        case _:
            return Problem("session_not_found", NOT_FOUND)


def _answer(
    request: Request, context: Context, answered: Answered, user_id: str, owner: str, **more: object
) -> Response:
    """Return a boundary as A3CP has it: fields of the session event, the owner in place of a lane, and `more`."""
    event = answered.event
    fields = {
        "schema_version": event.schema_version,
        "record_id": event.record_id,
        "user_id": owner,
        "session_id": event.session_id,
        "timestamp": format_time(event.timestamp),
        "performer_id": event.performer_id,
        "source": event.source,
        **more,
    }
    headers = {**user_position(request, context, user_id), **answered.headers}
    return Response(msgspec.json.encode(fields), headers=headers, media_type="application/json")
