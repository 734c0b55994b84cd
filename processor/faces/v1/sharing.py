"""Sharing a session by a link: as it was known at one moment, for some days, and until it is taken back.

The link is signed with the site key, so the id of a share alone opens nothing. `processor.faces.page.shared` shows it.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Body, Path, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from processor.codec.isotime import format_time
from processor.faces.auth.doors import Asking
from processor.faces.problems import Problem
from processor.faces.replica.context import Context, Given
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import CaughtUp, position_in
from processor.faces.requests.roles import needs
from processor.faces.v1.filters import Text
from processor.faces.v1.reading import answer, as_of_in, held_of, in_thread
from processor.faces.v1.shapes import SharedSession, SharedSessions, answers
from processor.profiles.shares import Share, Shares
from processor.sessions.forms.redacting import KEPT
from processor.view.position import AsOf

DAYS_MAX: Final = 90
REDACT_MAX: Final = 50
_SHARE_ID_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 16
_REMEDY: Final = "Give the service a profile store (A3CP_PROFILE_STORE_URL): shares are kept there."

router: Final = APIRouter(tags=["Sharing"], dependencies=[needs("reviewer"), CaughtUp])

ShareId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


def _can_be_hidden(name: str) -> str:
    if name in KEPT:
        raise ValueError("this field cannot be hidden: a session is made of it")
    return name


class Sharing(BaseModel):
    """What of a session is shared, and for how long."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    expires_in_s: Annotated[int, Field(ge=1, le=DAYS_MAX * 86_400, description="How long the link can be read.")]
    as_of: Annotated[
        Text | None, Field(description="As it was known then: an `A3CP-Position`, or a time; now unless given.")
    ] = None
    redact: Annotated[
        list[Annotated[Text, AfterValidator(_can_be_hidden)]],
        Field(
            max_length=REDACT_MAX,
            description="Names of fields that the reader does not see, such as `user_id`, `performer_id`, `notes`. "
            "The contents cannot be checked then: only that nothing is missing.",
        ),
    ] = []


@router.post("/sessions/{session_id}/shares", status_code=201, responses=answers(SharedSession, 201))
async def share_session(
    request: Request, session_id: SessionId, who: Asking, context: Given, body: Annotated[Sharing, Body()]
) -> Response:
    """Share the session by a link, which needs no token: whoever has it can read the session until it expires.

    What comes later is not shown. `digest` is over the messages at that moment: the reader's page shows it too, and the
    reader's browser computes it from them.
    """
    shares = _shares(context)
    asked = as_of_in(body.as_of, context) or AsOf()
    held = await held_of(context, who, session_id)
    position = asked.position or held.position
    then = await in_thread(partial(context.view.session, session_id, as_of=AsOf(position, asked.at_ms)))
    if then is None:
        raise Problem("session_not_found", "nothing of the session was in the log then", session_id=session_id)
    if not then.is_whole:
        raise Problem("not_caught_up", "records of the session cannot be read at the moment, so nothing is pinned")
    now_ms = context.now_ms()
    share = Share(
        share_id=secrets.token_hex(_SHARE_ID_BYTES),
        session_id=session_id,
        user_id=held.row.owner,
        position=str(position),
        at_ms=asked.at_ms,
        digest=then.row.held_digest,
        redact=sorted(set(body.redact)),
        created_ms=now_ms,
        expires_ms=now_ms + body.expires_in_s * 1000,
    )
    await in_thread(shares.add, share)
    made = answer(_told(request, context, share), {})
    made.status_code = 201
    return made


@router.get("/sessions/{session_id}/shares", responses=answers(SharedSessions))
async def list_shares(request: Request, session_id: SessionId, who: Asking, context: Given) -> Response:
    """List the links to the session, the newest first, those too that expired or were taken back."""
    found = await _of_session(context, who, session_id)
    return answer(SharedSessions([_told(request, context, share) for share in found]), {})


@router.get("/sessions/{session_id}/shares/{share_id}", responses=answers(SharedSession))
async def show_share(
    request: Request, session_id: SessionId, share_id: ShareId, who: Asking, context: Given
) -> Response:
    """Show one link to the session."""
    return answer(_told(request, context, await _one(context, who, session_id, share_id)), {})


@router.delete("/sessions/{session_id}/shares/{share_id}", responses=answers(SharedSession))
async def revoke_share(
    request: Request, session_id: SessionId, share_id: ShareId, who: Asking, context: Given
) -> Response:
    """Take a link back: from now on nobody can read it, on any replica. To repeat this changes nothing."""
    await _one(context, who, session_id, share_id)
    await in_thread(_shares(context).revoke, share_id, context.now_ms())
    return answer(_told(request, context, await _one(context, who, session_id, share_id)), {})


def share_id_in(token: str, key: bytes) -> str | None:
    """Return which share a link's `token` opens; None if it was made up."""
    share_id = token.partition(".")[0]
    is_ours = hmac.compare_digest(token.encode(), _token(share_id, key).encode())
    return share_id if is_ours else None


def moment_of(share: Share, context: Context) -> AsOf:
    """Return as of when a share shows its session.

    Raises:
        Problem: the topics have fewer partitions by now, so they are others.
    """
    return AsOf(position_in(share.position, partitions=len(context.view.progress.positions())), share.at_ms)


def _token(share_id: str, key: bytes) -> str:
    signature = hmac.digest(key, b"a3cp share " + share_id.encode(), "sha256")[:_SIGNATURE_BYTES]
    return f"{share_id}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


def _shares(context: Context) -> Shares:
    if context.profiles is None:
        raise Problem("invalid_request", "there is no place where shares are kept", remedy=_REMEDY)
    return context.profiles.shares


async def _of_session(context: Context, who: Asking, session_id: str) -> Sequence[Share]:
    await held_of(context, who, session_id)
    return await in_thread(_shares(context).of_session, session_id)


async def _one(context: Context, who: Asking, session_id: str, share_id: str) -> Share:
    for share in await _of_session(context, who, session_id):
        if share.share_id == share_id:
            return share
    raise Problem("not_found", "the session has no such share", remedy="GET …/shares lists those there are.")


def _told(request: Request, context: Context, share: Share) -> SharedSession:
    is_valid = share.is_valid(context.now_ms())
    return SharedSession(
        share_id=share.share_id,
        session_id=share.session_id,
        url=str(request.url_for("read_share", token=_token(share.share_id, context.site_key))),
        status="valid" if is_valid else "expired" if share.revoked_ms is None else "revoked",
        position=share.position,
        as_of=_time(share.at_ms),
        digest=share.digest,
        redact=list(share.redact),
        created_at=format_time(share.created_ms),
        expires_at=format_time(share.expires_ms),
        revoked_at=_time(share.revoked_ms),
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_time(at_ms)
