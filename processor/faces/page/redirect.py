"""To the OpenID provider and back: the routes by which people sign in to the page there."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from processor.faces.auth.cookie import cookie_of, set_cookie
from processor.faces.auth.provider import NAME, PATH, UNDER_WAY_S, NotSignedIn, Provider
from processor.faces.headers import header
from processor.faces.middleware.shell import Shell
from processor.faces.pages import said_page
from processor.faces.problems import Problem
from processor.faces.v1.reading import answer

router: Final = APIRouter(include_in_schema=False)


class SetOut(BaseModel):
    """Where on the page somebody comes back to."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    back: Annotated[str, Field(max_length=1_000)] = "/"


@router.get("/page/doors")
async def doors(request: Request) -> Response:
    """Tell how one can sign in: at a provider too, or with a token alone."""
    shell: Shell = request.app.state.shell
    return answer({"provider": shell.provider is not None}, {})


@router.post(PATH)
async def set_out(body: SetOut, request: Request) -> Response:
    """Tell where at the provider to sign in (`go_to`), and give the browser the cookie with which it comes back."""
    provider = _provider(request)
    origin = header(request.scope, b"origin")
    if origin is None:
        raise Problem("invalid_request", "the request has no Origin, so it is no page's")
    try:
        go_to, sealed = await provider.way_there(origin, body.back)
    except NotSignedIn as error:
        _note(request, error)
        raise Problem("starting", f"signing in is not possible at the moment: {error.what}") from None
    told = answer({"go_to": go_to}, {})
    told.headers["Set-Cookie"] = _under_way(sealed, UNDER_WAY_S, secure=origin.startswith("https://"))
    return told


@router.get(PATH)
async def come_back(request: Request) -> Response:
    """Take the browser back from the provider, and give it the page's cookie."""
    provider, shell = _provider(request), request.app.state.shell
    try:
        back = await provider.back(request.query_params, cookie_of(request.scope, NAME))
        token = provider.sign_ins.token_of(back.who)
    except NotSignedIn as error:
        _note(request, error)
        return said_page(request, 403, "sign", "failed", f"failed_{error.words}", link="failed_again")
    except Problem as problem:
        _note(request, problem)
        return said_page(request, 403, "sign", "failed", "failed_role", link="failed_again")
    request.state.caller = back.who
    told = Response(status_code=303, headers={"Location": back.place})
    told.headers.append("Set-Cookie", shell.cookies.header_of(token, secure=back.over_tls))
    told.headers.append("Set-Cookie", _under_way("", 0, secure=back.over_tls))
    return told


def _under_way(sealed: str, lasts_s: int, *, secure: bool) -> str:
    # Lax, since the browser comes back from another site.
    return set_cookie(NAME, sealed, lasts_s, secure=secure, path=PATH, same_site="Lax")


def _provider(request: Request) -> Provider:
    shell: Shell = request.app.state.shell
    if shell.provider is None:
        raise Problem("not_found", "this service has no provider where one could sign in")
    address, _ = request.scope.get("client") or ("", 0)
    shell.limits.count(f"address {address}")
    return shell.provider


def _note(request: Request, error: NotSignedIn | Problem) -> None:
    shell: Shell = request.app.state.shell
    what = error.detail if isinstance(error, Problem) else error.what
    shell.log.warning("nobody was signed in", operation="sign_in", reason=what)
