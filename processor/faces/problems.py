"""What a request can meet, each with a code, a status and an explanation; and the form in which it is told.

`/v1` and the service's own pages tell a problem as `application/problem+json` (RFC 9457). Routes whose form a
document fixes (`DETAIL_ONLY`) tell it as FastAPI does: `{"detail": text}`.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from processor.erasing.erasing import InTheWay
from processor.errors import A3CPError, BrokerUnavailable, OutboxFull, RegistryUnavailable, StoreUnavailable, UsageError
from processor.faces.texts import NO_NUL
from processor.settings.wanted import in_words

DETAIL_ONLY: Final = ("/session_manager/", "/api/session_manager/", "/session/")
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
_TOLD_MAX: Final = 3  # errors of one request that its detail tells


class Kind(NamedTuple):
    """One kind of problem."""

    status: int
    title: str
    meaning: str  # what it means, and what to do; GET /problems/CODE shows it


KINDS: Final[Mapping[str, Kind]] = {
    "invalid_request": Kind(
        422, "The request is not valid", "A field or parameter is missing, unknown or wrong; `errors` says which."
    ),
    "media_not_allowed": Kind(
        422, "Media is not allowed", "Raw video, audio and images stay out of the log. Send what was seen in them."
    ),
    "idempotency_key_reused": Kind(
        422, "The idempotency key was used before", "Another request used this key. Take a new key for a new request."
    ),
    "performer_required": Kind(
        400, "A performer is required", "Say who does this in `performer_id`; `system` if no person does."
    ),
    "unauthenticated": Kind(
        401, "A token is required", "Send `Authorization: Bearer TOKEN` with a token that this service knows."
    ),
    "forbidden": Kind(403, "This is not allowed", "The token's role does not allow it, or the page is a foreign one."),
    "user_mismatch": Kind(403, "The session is another user's", "Send the user id that the session was started with."),
    "not_found": Kind(404, "There is nothing here", "The path is none of this service's; see /docs."),
    "session_not_found": Kind(
        404, "There is no such session", "The session does not exist, or this token does not see its user."
    ),
    "timed_out": Kind(408, "The request took too long to come", "Send it again, in one go."),
    "method_not_allowed": Kind(405, "The method is not allowed", "The path takes other methods; see /docs."),
    "session_closed": Kind(
        409,
        "The session is closed",
        "A closed session takes nothing more. Start a new one; to add words to this one, bookmark a moment of it.",
    ),
    "illegal_transition": Kind(
        409, "The session cannot go there from where it is", "The session's template does not allow this next status."
    ),
    "already_active": Kind(
        409, "The user has an open session", "End it first, or ask for `if_open: return` or `if_open: new`."
    ),
    "in_flight": Kind(
        409, "The same request is still under way", "Wait, then repeat it with the same idempotency key."
    ),
    "erasure_in_the_way": Kind(
        409, "The person cannot be erased now",
        "The detail says what is in the way. Take it away, and repeat the request.",
    ),
    "session_removed": Kind(410, "The session was removed", "It was erased, or its time of retention is over."),
    "precondition_failed": Kind(
        412, "The session has changed", "Read it again, and decide again; then send its new ETag as `If-Match`."
    ),
    "too_large": Kind(413, "The request is too large", "Send less at a time; the detail says how much is taken."),
    "unsupported_media_type": Kind(415, "The content type is not supported", "The detail says which types are taken."),
    "rate_limited": Kind(429, "Too many requests", "Wait as long as `Retry-After` says, then repeat the request."),
    "internal_error": Kind(
        500, "The service failed", "This is a fault of the service. Its log has the reason under the `request_id`."
    ),
    "broker_unavailable": Kind(
        503,
        "Kafka does not answer",
        "Kafka has not acknowledged it. Repeat the request; a key makes that safe for a command.",
    ),
    "store_unavailable": Kind(503, "The store does not answer", "Open sessions can be read; for the others try again."),
    "not_caught_up": Kind(
        503, "This replica has not read that far yet", "Repeat the request, or wait longer with `Prefer: wait=N`."
    ),
    "starting": Kind(503, "The service is starting", "Repeat the request; /readyz says what is still missing."),
    "no_outcome": Kind(
        504, "There is no outcome yet",
        "The command is kept and will be carried out. To repeat it with the same idempotency key is safe.",
    ),
    "outbox_full": Kind(507, "The outbox is full", "Kafka has been away too long to keep more. Repeat it later."),
}  # fmt: skip

_CODES: Final = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
"""Those that FastAPI raises by itself."""


class Problem(HTTPException):
    """A request cannot be answered as asked; raised by routes, told by the handlers here.

    In an application that has not these handlers, FastAPI's own tell its status and detail.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        remedy: str = "",
        session_id: str | None = None,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        """Name the problem.

        Args:
            code: one of `KINDS`.
            detail: what happened in this request; no payload, no person.
            remedy: what to do; the meaning of the code when empty.
            session_id: the session that it is about.
            headers: further headers of the answer.
            more: further members of the problem, such as `errors`.
        """
        self.code = code
        self.kind = KINDS[code]
        self.remedy = remedy or self.kind.meaning
        self.session_id = session_id
        self.more = more
        if retry_after_s is None and self.kind.status in (429, 503):
            retry_after_s = RETRY_AFTER_S
        after = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        super().__init__(self.kind.status, detail, {**(headers or {}), **after})


def problem_of(error: A3CPError) -> Problem:
    """Return how one of our errors is told."""
    match error:
        case BrokerUnavailable() | RegistryUnavailable():
            return Problem("broker_unavailable", error.what, remedy=error.remedy)
        case OutboxFull():
            return Problem("outbox_full", error.what, remedy=error.remedy)
        case StoreUnavailable():
            return Problem("store_unavailable", error.what, remedy=error.remedy)
        case InTheWay():
            return Problem("erasure_in_the_way", error.what, remedy=error.remedy)
        case UsageError():
            return Problem("invalid_request", error.what, remedy=error.remedy)
        case _:
            return Problem("internal_error", "the service failed")


def answer(request: Request, problem: Problem) -> Response:
    """Return `problem` in the form of the request's route."""
    if request.scope["path"].startswith(DETAIL_ONLY):
        body: dict[str, Any] = {"detail": problem.detail}
        return _json(body, problem, "application/json")
    body = {
        "type": f"/problems/{problem.code}",
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "code": problem.code,
        "remedy": problem.remedy,
        "request_id": getattr(request.state, "request_id", None),
        **problem.more,
    }
    if problem.session_id is not None:
        body["session_id"] = problem.session_id
    return _json(body, problem, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Make `app` tell all that routes raise as problems."""
    app.add_exception_handler(Problem, _told)
    app.add_exception_handler(A3CPError, _told)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _not_ours)


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem | A3CPError)
    return answer(request, error if isinstance(error, Problem) else problem_of(error))


async def _not_valid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if request.scope["path"].startswith(DETAIL_ONLY):
        return _fastapi_form(error)
    errors = [{"loc": list(one["loc"]), "msg": _in_words(one), "type": one["type"]} for one in error.errors()]
    told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in errors[:_TOLD_MAX])
    more = f"; and {len(errors) - _TOLD_MAX} more" if len(errors) > _TOLD_MAX else ""
    return answer(request, Problem("invalid_request", f"{told}{more}", errors=errors))


def _in_words(problem: Any) -> str:
    """Return what is wanted where a `problem` is; what was sent is not told."""
    match problem["type"]:
        case "json_invalid":
            return "JSON is wanted, and here it breaks off or is malformed"
        case "string_pattern_mismatch" if problem["ctx"]["pattern"] == NO_NUL:
            return "text without the character NUL is wanted"
        case "dict_type" | "model_attributes_type":
            return "an object is wanted"
        case _:
            return in_words(problem)


def _fastapi_form(error: RequestValidationError) -> Response:
    """Return FastAPI's own answer. Its own handler fails where the input is no JSON: bytes, lone surrogates, NaN."""
    try:
        body = json.dumps({"detail": jsonable_encoder(error.errors())}, allow_nan=False)
    except ValueError:
        told = [{name: one[name] for name in ("type", "loc", "msg")} for one in error.errors()]
        body = json.dumps({"detail": told})
    return Response(body, 422, media_type="application/json")


async def _not_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code)
    if code is None or request.scope["path"].startswith(DETAIL_ONLY):
        return await http_exception_handler(request, error)
    return answer(request, Problem(code, str(error.detail).lower(), headers=error.headers))


def _json(body: Mapping[str, Any], problem: Problem, media_type: str) -> Response:
    """Return the answer; what is no UTF-8 in it is escaped, for it may come from the request."""
    return Response(json.dumps(body), problem.status_code, problem.headers, media_type)
