"""Answers what other limits would make of stored sessions."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from processor.faces.auth.doors import Asking
from processor.faces.problems import Problem
from processor.faces.replica.context import Given
from processor.faces.requests.ids import Owner
from processor.faces.requests.roles import needs
from processor.faces.v1.filters import Time
from processor.faces.v1.reading import answer, in_thread
from processor.sessions.forms.jsonforms import what_if_fields
from processor.sessions.ports import SessionFilter
from processor.sessions.what_if import OtherLimits, histories, policy_of, what_if

router: Final = APIRouter(tags=["Sessions"])

_YEAR_MS: Final = 366 * 86_400_000

Ms = Annotated[int, Field(ge=1, le=_YEAR_MS)]


class WhatIfLimits(BaseModel):
    """Other limits; those of templates and of users themselves go before them, as always."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    gap_ms: Ms | None = None
    max_session_ms: Ms | None = None
    pause_ms: Ms | None = None
    user_id: Annotated[Owner | None, Field(description="Only this person's sessions.")] = None
    since: Annotated[Time | None, Field(description="Only sessions that started then or later.")] = None


@router.post("/what-if", dependencies=[needs("operator")])
async def ask_what_if(body: WhatIfLimits, who: Asking, context: Given) -> Response:
    """Tell which stored sessions would split and which would join under other limits. It changes nothing.

    The processor's rules run over the stored messages once more, and over the commands as their outcomes tell them.
    """
    store = context.store
    if store is None:
        raise Problem("store_unavailable", "there is no store, so there is no history to look at")
    wanted = SessionFilter(
        owner=body.user_id, since_ms=body.since, owners=None if who.sees_all else frozenset(who.users)
    )
    limits = OtherLimits(body.gap_ms, body.max_session_ms, body.pause_ms)

    def asked() -> Any:
        found = histories(store, wanted, policy_of(context.sender.codec))
        return what_if_fields(what_if(found, context.settings.rules(), limits, since_ms=body.since or 0))

    return answer(await in_thread(asked), {})
