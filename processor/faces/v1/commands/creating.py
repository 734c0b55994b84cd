"""Begins sessions, several at a time for one person."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from processor.client.lanes import lane_of
from processor.faces.problems import Problem
from processor.faces.requests.asking import Answered, refuse_unfit
from processor.faces.requests.ids import Owner
from processor.faces.requests.persons import keep_resume, user_of
from processor.faces.texts import Said, Word
from processor.faces.v1.commands.asked import Ask, Asked
from processor.faces.v1.commands.commanding import PARTICIPANTS, Performed
from processor.faces.v1.commands.interviews import RESUME
from processor.faces.v1.reading import answer, etag_of, headers_of
from processor.faces.v1.telling import session_resource
from processor.profiles import resume_digest
from processor.settings.contexts import faults_in
from processor.settings.templates import Template

router: Final = APIRouter(tags=["Commands"])

_MADE: Final = "anon-"


class Create(Performed):
    """A session that is to begin."""

    user_id: Annotated[Owner | None, Field(description="Whose session; a pseudonym is made when there is none.")] = None
    user_info: Annotated[
        dict[str, Any] | None,
        Field(description="Who that is. It is kept in the profile store alone, never in the log."),
    ] = None
    resume_data: Annotated[
        dict[str, Any] | None,
        Field(description="What an interview begins with. It is kept likewise; the log holds its SHA-256."),
    ] = None
    template: Annotated[Word | None, Field(description="Whose limits and statuses hold.")] = None
    parallel: Annotated[
        bool, Field(description="Beside the person's other sessions; false: the one that their messages belong to.")
    ] = True
    if_open: Annotated[
        Literal["return", "new", "fail"],
        Field(description="What to do if the one session is open, with `parallel: false`; `new` ends it first."),
    ] = "return"
    context: Annotated[dict[str, Any] | None, Field(description="Under which circumstances it is held.")] = None
    session_notes: Said | None = None
    is_training_data: bool = False
    training_intent_label: Said | None = None


@router.post("/sessions", status_code=201, dependencies=[PARTICIPANTS])
async def create(body: Create, ask: Ask) -> Response:
    """Begin a session: 201, or 200 if the person's one session was open already."""
    given = body.user_id if body.user_id is not None else _owner_of(ask)
    owner = await user_of(ask.context, given, body.user_info)
    if not ask.who.sees(owner):
        raise Problem("forbidden", "the token does not cover this user")
    if body.template is not None:
        _refuse_unfit_context(body.context or {}, body.template, ask.context.settings.templates)
    resume, circumstances = body.resume_data, dict(body.context or {})
    if resume is not None:
        circumstances[RESUME] = resume_digest(resume)
    if circumstances:  # They follow the start, and must not fail when the session has begun.
        refuse_unfit(ask.context.sender.command(owner, "context", context=circumstances))
    if resume is not None:
        await keep_resume(ask.context, owner, resume)
    answered = await _started(ask, body, owner)
    event = answered.event
    assert event.session_id is not None
    if circumstances and event.kind == "started":
        await ask.carry_out(
            event.user_id, "context", part="context", session_id=event.session_id,
            performer_id=body.performer_id, context=circumstances,
        )  # fmt: skip
    held, events = await ask.afterwards(event.session_id)
    headers = {
        **headers_of(ask.request, held),
        **answered.headers,
        "ETag": etag_of(held, events),
        "Location": f"/v1/sessions/{event.session_id}",
    }
    told = answer(session_resource(held, events), headers)
    told.status_code = 201 if event.kind == "started" else 200
    return told


async def _started(ask: Asked, body: Create, owner: str) -> Answered:
    user_id = lane_of(owner, ask.record_id) if body.parallel else owner
    fails = body.if_open == "fail" and not body.parallel
    open_id = ask.context.view.memory.open_session(user_id) if fails else None
    if open_id is not None and ask.replayed(user_id) is None:
        raise _already_active(open_id)
    answered = await ask.carry_out(
        user_id,
        "start",
        performer_id=body.performer_id,
        force_new=body.if_open == "new" and not body.parallel,
        owner=owner,
        template=body.template,
        session_notes=body.session_notes,
        is_training_data=body.is_training_data,
        training_intent_label=body.training_intent_label,
    )
    if fails and answered.event.kind != "started":
        raise _already_active(answered.event.session_id)
    return answered


def _refuse_unfit_context(context: Mapping[str, Any], name: str, templates: Mapping[str, Template]) -> None:
    """Refuse a template that there is not, and a context that it does not take.

    Raises:
        Problem: invalid_request, with what is wrong where.
    """
    if name not in templates:
        raise Problem("invalid_request", f"there is no such template; there are {', '.join(sorted(templates))}")
    schema = templates[name].config_schema
    faults = [] if schema is None else faults_in(context, schema)
    if faults:
        errors = [{"type": "config", "loc": ["body", "context", *where], "msg": what} for where, what in faults]
        where = ".".join(map(str, ("context", *faults[0].where)))
        raise Problem("invalid_request", f"{where} is not as the template {name} wants it", errors=errors)


def _already_active(session_id: str | None) -> Problem:
    return Problem("already_active", "the user has an open session", session_id=session_id)


def _owner_of(ask: Asked) -> str:
    """Return whose session it is when the request does not say: the token's only user, or a made pseudonym.

    Raises:
        Problem: invalid_request, since the token has several users.
    """
    if ask.who.sees_all:
        return _MADE + (token_hex(8) if ask.record_id is None else ask.record_id.replace("-", "")[:16])
    if len(ask.who.users) != 1:
        raise Problem("invalid_request", "the token covers several users, so user_id must say whose session it is")
    return next(iter(ask.who.users))
