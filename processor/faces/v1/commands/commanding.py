"""What is asked of a session: end, pause, resume, touch, and what is added to it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field

from processor.client.commands import CommandWord
from processor.faces.headers import header
from processor.faces.problems import Problem
from processor.faces.requests.asking import Answered
from processor.faces.requests.finding import Place
from processor.faces.requests.ids import PerformerId
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import user_position
from processor.faces.requests.roles import needs
from processor.faces.texts import Said, Word
from processor.faces.v1.commands.asked import Ask, Asked
from processor.faces.v1.reading import answer, etag_of, held_of
from processor.faces.v1.telling import event_fields
from processor.sessions.model import SessionRow
from processor.sessions.phases import Phases, is_last, why_not
from processor.view.standing import Standing

router: Final = APIRouter(tags=["Commands"])

TAGS_MAX: Final = 100  # that one request puts on, and as many that it takes off
PARTICIPANTS: Final = needs("producer")
REVIEWERS: Final = needs("reviewer")
_IF_MATCH: Final = b"if-match"


class Performed(BaseModel):
    """A body that may say who does it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    performer_id: Annotated[PerformerId | None, Field(description="Who does it; `system` if no person does.")] = None


class Note(Performed):
    """A note about the session."""

    text: Said
    kind: Annotated[Word | None, Field(description="What kind of note, in your own words.")] = None


class Step(Performed):
    """A step that was done in the session."""

    name: Word
    status: Annotated[Word | None, Field(description="Without one the step is done.")] = None
    duration_ms: Annotated[float | None, Field(ge=0, le=1e15, allow_inf_nan=False)] = None
    timing_key: Annotated[Word | None, Field(description="Its name in `timing`; the step's own unless given.")] = None
    data: Any = None


class Status(Performed):
    """Where the session is, in a word."""

    status: Word


Words = Annotated[list[Word], Field(max_length=TAGS_MAX)]


class Tags(Performed):
    """Words that are put on the session, and words that are taken off it."""

    add: Words = []
    remove: Words = []


Maybe = Annotated[Performed | None, Body()]


@router.post("/sessions/{session_id}/end", dependencies=[PARTICIPANTS])
async def end(session_id: SessionId, ask: Ask, body: Maybe = None) -> Response:
    """End the session. What comes for it later is still tagged with it, and its end is then told again."""
    return await _boundary(ask, session_id, "end", body)


@router.post("/sessions/{session_id}/pause", dependencies=[PARTICIPANTS])
async def pause(session_id: SessionId, ask: Ask, body: Maybe = None) -> Response:
    """Pause the session: silence does not end it until the pause is too long. If it is paused, nothing changes."""
    return await _boundary(ask, session_id, "pause", body)


@router.post("/sessions/{session_id}/resume", dependencies=[PARTICIPANTS])
async def resume(session_id: SessionId, ask: Ask, body: Maybe = None) -> Response:
    """Go on with a paused session. If it is not paused, nothing changes."""
    return await _boundary(ask, session_id, "resume", body)


@router.post("/sessions/{session_id}/touch", dependencies=[PARTICIPANTS])
async def touch(session_id: SessionId, ask: Ask, body: Maybe = None) -> Response:
    """Say that somebody is still there, so that silence does not end the session. Once a minute is enough."""
    place = await ask.place_of(session_id)
    touches, now_ms = ask.context.touches, ask.context.now_ms()
    recent = touches.recent(session_id, now_ms)
    if recent is not None and place.standing.is_open:
        await _check(ask, session_id)
        return await _answer(ask, place, Answered(recent), 200)
    answered = await _carried_out(ask, place, "touch", body)
    touches.note(session_id, now_ms, answered.event)
    return await _answer(ask, place, answered, 200)


@router.post("/sessions/{session_id}/notes", status_code=201, dependencies=[REVIEWERS])
async def note(session_id: SessionId, body: Note, ask: Ask) -> Response:
    """Write a note about the session."""
    return await _addition(ask, session_id, "note", body, {"note": body.text, "kind": body.kind})


@router.post("/sessions/{session_id}/context", status_code=201, dependencies=[PARTICIPANTS])
async def context(session_id: SessionId, body: Annotated[dict[str, Any], Body()], ask: Ask) -> Response:
    """Say under which circumstances the session is held. The latest of each name holds."""
    return await _addition(ask, session_id, "context", None, {"context": body})


@router.post("/sessions/{session_id}/steps", status_code=201, dependencies=[PARTICIPANTS])
async def step(session_id: SessionId, body: Step, ask: Ask) -> Response:
    """Say that a step was done, and how long it took."""
    told = body.model_dump(exclude={"performer_id"}, exclude_none=True)
    return await _addition(ask, session_id, "step", body, {"step": told})


@router.post("/sessions/{session_id}/tags", status_code=201, dependencies=[REVIEWERS])
async def tag(session_id: SessionId, body: Tags, ask: Ask) -> Response:
    """Put words on the session, or take them off."""
    words = {key: list(words) for key, words in (("add", body.add), ("remove", body.remove)) if words}
    return await _addition(ask, session_id, "tag", body, {"tags": words})


@router.post("/sessions/{session_id}/status", status_code=201, dependencies=[PARTICIPANTS])
async def status(session_id: SessionId, body: Status, ask: Ask) -> Response:
    """Say where the session is.

    A template may say which words there are, which may follow which, and which of them end the session.
    """
    place = await ask.place_of(session_id)
    row = (await held_of(ask.context, ask.who, session_id)).row
    template = ask.context.settings.templates.get(row.template or "")
    phases = None if template is None else template.phases
    if ask.replayed(place.user_id) is None and place.standing.is_open:
        _refuse_status(row, phases, body.status)
    answered = await _carried_out(ask, place, "status", body, {"status": body.status})
    if is_last(phases, body.status) and (await ask.place_of(session_id)).standing.is_open:
        await ask.carry_out(place.user_id, "end", part="end", session_id=session_id, performer_id=body.performer_id)
    return await _answer(ask, place, answered, 201)


def _refuse_status(row: SessionRow, phases: Phases | None, wanted: str) -> None:
    """Refuse a status that the session's template does not allow where the session is.

    Raises:
        Problem: invalid_request or illegal_transition.
    """
    match why_not(phases, row.phase, wanted):
        case "unknown":
            words = ", ".join(phases or ())
            raise Problem("invalid_request", f"the template {row.template} has no such status; it has {words}")
        case "illegal":
            detail = f"a session of the template {row.template} cannot go from {row.phase or 'its start'} to {wanted}"
            raise Problem("illegal_transition", detail, session_id=row.session_id)


async def _boundary(ask: Asked, session_id: str, word: CommandWord, body: Performed | None) -> Response:
    place = await ask.place_of(session_id)
    return await _answer(ask, place, await _carried_out(ask, place, word, body), 200)


async def _addition(
    ask: Asked,
    session_id: str,
    word: CommandWord,
    body: Performed | None,
    arguments: Mapping[str, Any],
) -> Response:
    place = await ask.place_of(session_id)
    answered = await _carried_out(ask, place, word, body, arguments)
    return await _answer(ask, place, answered, 201)


async def _carried_out(
    ask: Asked,
    place: Place,
    word: CommandWord,
    body: Performed | None,
    arguments: Mapping[str, Any] | None = None,
) -> Answered:
    """Return what comes of a command to a session.

    Raises:
        Problem: session_closed; precondition_failed; as `Asked.carry_out` raises it.
    """
    if ask.replayed(place.user_id) is None:
        if place.standing is Standing.CLOSED:
            raise Problem("session_closed", "the session is closed", session_id=place.session_id)
        await _check(ask, place.session_id)
    performer_id = None if body is None else body.performer_id
    return await ask.carry_out(
        place.user_id, word, session_id=place.session_id, performer_id=performer_id, **(arguments or {})
    )


async def _check(ask: Asked, session_id: str) -> None:
    """Compare the session's ETag with `If-Match`. The log orders and locks nothing: another may come in between.

    Raises:
        Problem: precondition_failed.
    """
    wanted = header(ask.request.scope, _IF_MATCH)
    if wanted is None or wanted.strip() == "*":
        return
    held = await held_of(ask.context, ask.who, session_id)
    if etag_of(held, list(held.events())) not in {each.strip() for each in wanted.split(",")}:
        raise Problem("precondition_failed", "the session has changed since it was read", session_id=session_id)


async def _answer(ask: Asked, place: Place, answered: Answered, status_code: int) -> Response:
    """Return the session event; to a request with `If-Match` also the ETag that the session has now."""
    headers = {**user_position(ask.request, ask.context, place.user_id), **answered.headers}
    if header(ask.request.scope, _IF_MATCH) is not None:
        held, events = await ask.afterwards(place.session_id)
        headers["ETag"] = etag_of(held, events)
    kept = {"backend": "fallback"} if answered.is_kept else {}
    told = answer({**event_fields(answered.event, place.owner), **kept}, headers)
    told.status_code = status_code
    return told
