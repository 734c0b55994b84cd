"""Signing in to the page with a token, and out again; who one is there, and for how long."""

import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from processor.codec.isotime import format_time
from processor.faces.auth.cookie import LASTS_S, forgotten
from processor.faces.auth.doors import Asking, Caller
from processor.faces.headers import header
from processor.faces.middleware.gate import admitted
from processor.faces.middleware.shell import Shell
from processor.faces.v1.reading import answer

router: Final = APIRouter(prefix="/page", include_in_schema=False)
_TOKEN_MAX: Final = 3_000  # Browsers keep cookies of 4 KiB.


class SignIn(BaseModel):
    """A token."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: Annotated[str, Field(min_length=1, max_length=_TOKEN_MAX)]


@router.post("/sign-in")
async def sign_in(body: SignIn, request: Request) -> Response:
    """Take a token in exchange for a cookie, which lasts 12 hours and which no script can read."""
    shell: Shell = request.app.state.shell
    token = body.token.strip()
    who = await admitted(shell.doors, shell.limits, request.scope, f"Bearer {token}")
    told = answer(_told(who, who.until_s), {})
    told.headers["Set-Cookie"] = shell.cookies.header_of(token, secure=_is_secure(request))
    return told


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Take the cookie away; tell where to sign out at the provider too (`go_to`), if one has signed in there."""
    told = answer({"go_to": await _way_out(request)}, {})
    told.headers["Set-Cookie"] = forgotten(secure=_is_secure(request))
    return told


@router.get("/me")
async def me(request: Request, who: Asking) -> Response:
    """Tell who asks, what it may do, and until when it is signed in; null: for good."""
    shell: Shell = request.app.state.shell
    began_s = shell.cookies.began_s(request.scope)
    ends = (who.until_s, None if began_s is None else began_s + LASTS_S)
    told = _told(who, min((each for each in ends if each is not None), default=None))
    return answer({**told, "at_provider": _is_of_provider(request)}, {})


async def _way_out(request: Request) -> str | None:
    shell: Shell = request.app.state.shell
    return await shell.provider.way_out() if shell.provider is not None and _is_of_provider(request) else None


def _is_of_provider(request: Request) -> bool:
    """Return whether one has signed in at the provider."""
    shell: Shell = request.app.state.shell
    token = shell.cookies.token(request.scope)
    return shell.provider is not None and token is not None and shell.provider.sign_ins.made(token)


def _is_secure(request: Request) -> bool:
    """Return whether the page came over TLS: a proxy may have taken that away, but the browser tells it."""
    return (header(request.scope, b"origin") or "").startswith("https://")


def _told(who: Caller, until_s: int | None) -> dict[str, Any]:
    return {
        "name": who.name,
        "role": who.role,
        "users": None if who.sees_all else sorted(who.users),
        "signed_in_until": None if until_s is None else format_time(until_s * 1000),
        "signed_in_for_s": None if until_s is None else round(until_s - time.time(), 3),
    }
