"""What the service answers when it does not do what it was asked for: one class a code, all of them `ServiceError`.

A class says what to do next; `code`, `session_id` and `remedy` say the rest:

ServiceError
├── Refused              the request will be refused again: change it
│   ├── SessionNotFound, SessionClosed, SessionRemoved, IllegalTransition, AlreadyActive, …
│   └── Unauthenticated, Forbidden, …
├── Unavailable          the same request may succeed later; a client has tried several times before it raises this
│   └── BrokerAway, StoreAway, Starting, NotCaughtUp, RateLimited, Unreachable, …
└── NoOutcomeYet         the command is in the log: repeat it with the same `idempotency_key`
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from processor.client.outcomes import NoOutcome
from processor.errors import A3CPError, BrokerUnavailable, StoreUnavailable


class ServiceError(A3CPError):
    """The service did not do what it was asked for."""

    code: str = "internal_error"

    def __init__(
        self,
        what: str,
        *,
        remedy: str = "",
        code: str | None = None,
        status: int | None = None,
        session_id: str | None = None,
        request_id: str | None = None,
        errors: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        """Tell what the service answered.

        Args:
            what: what happened; remedy: what to do.
            code: the service's word for it; docs/api.md has the list.
            status: of the answer; None when there was none.
            session_id: the session that it is about.
            request_id: under which the service's log has the request.
            errors: of an invalid request: each with `loc`, the field, and `msg`.
        """
        super().__init__(what, remedy=remedy)
        self.code = code or self.code
        self.status = status
        self.session_id = session_id
        self.request_id = request_id
        self.errors = errors
        self.idempotency_key: str | None = None  # of the command that met it


class Refused(ServiceError):
    """The service will not do that, now or later."""


class Unavailable(ServiceError):
    """The service could not do that at the moment."""


class InvalidRequest(Refused):
    """A field or parameter is missing, unknown or wrong."""

    code = "invalid_request"


class MediaNotAllowed(Refused):
    """Raw video, audio and images stay out of the log."""

    code = "media_not_allowed"


class IdempotencyKeyReused(Refused):
    """Another request used this key."""

    code = "idempotency_key_reused"


class PerformerRequired(Refused):
    """It must be said who does this."""

    code = "performer_required"


class Unauthenticated(Refused):
    """The service wants a token, or does not know this one."""

    code = "unauthenticated"


class Forbidden(Refused):
    """The token's role does not allow it."""

    code = "forbidden"


class UserMismatch(Refused):
    """The session is another user's."""

    code = "user_mismatch"


class NothingHere(Refused):
    """The path is none of the service's."""

    code = "not_found"


class SessionNotFound(Refused):
    """There is no such session, or the token does not see its user."""

    code = "session_not_found"


class SessionRemoved(Refused):
    """The session was erased, or its time of retention is over."""

    code = "session_removed"


class SessionClosed(Refused):
    """The session is closed, and takes nothing more."""

    code = "session_closed"


class IllegalTransition(Refused):
    """The session's template does not allow this next status."""

    code = "illegal_transition"


class AlreadyActive(Refused):
    """The user has an open session."""

    code = "already_active"


class ErasureInTheWay(Refused):
    """Something is in the way of erasing the person now."""

    code = "erasure_in_the_way"


class PreconditionFailed(Refused):
    """The session has changed since it was read."""

    code = "precondition_failed"


class TooLarge(Refused):
    """The request is larger than the service takes."""

    code = "too_large"


class UnsupportedMediaType(Refused):
    """The service does not take this content type."""

    code = "unsupported_media_type"


class TimedOut(Unavailable):
    """The request took too long to come."""

    code = "timed_out"


class InFlight(Unavailable):
    """The same command is still under way."""

    code = "in_flight"


class RateLimited(Unavailable):
    """Too many requests."""

    code = "rate_limited"


class BrokerAway(Unavailable, BrokerUnavailable):
    """Kafka does not answer the service. It is a `BrokerUnavailable` too."""

    code = "broker_unavailable"


class StoreAway(Unavailable, StoreUnavailable):
    """The store does not answer the service. It is a `StoreUnavailable` too."""

    code = "store_unavailable"


class NotCaughtUp(Unavailable):
    """The service has not read the log as far as was asked for."""

    code = "not_caught_up"


class Starting(Unavailable):
    """The service is starting."""

    code = "starting"


class OutboxFull(Unavailable):
    """Kafka has been away for too long to keep more."""

    code = "outbox_full"


class Unreachable(Unavailable):
    """No answer came: the service is away, or something between is."""

    code = "unreachable"


class NoOutcomeYet(ServiceError, NoOutcome):
    """The command is kept, and will be carried out. To repeat it with the same key is safe."""

    code = "no_outcome"


def _below(error: type[ServiceError]) -> list[type[ServiceError]]:
    return [each for child in error.__subclasses__() for each in (child, *_below(child))]


BY_CODE: Final[Mapping[str, type[ServiceError]]] = {
    error.code: error for error in _below(ServiceError) if error.code != ServiceError.code
}
"""The class of each code."""


_BY_STATUS: Final[Mapping[int, type[ServiceError]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NothingHere,
    413: TooLarge,
    415: UnsupportedMediaType,
    422: InvalidRequest,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""What an answer without a code means: A3CP's own routes have none, nor have proxies."""


class _Told(msgspec.Struct):
    """What the client reads of application/problem+json."""

    code: str = ""
    detail: str | list[Any] = ""
    remedy: str = ""
    session_id: str | None = None
    request_id: str | None = None
    errors: tuple[dict[str, Any], ...] = ()


def error_of(status: int, body: bytes) -> ServiceError:
    """Return the error that an answer tells; one that is not the service's own by its status."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = _Told()  # A proxy's own words.
    kind = BY_CODE.get(told.code) or _BY_STATUS.get(status, ServiceError)
    return kind(
        told.detail if isinstance(told.detail, str) and told.detail else f"the service answered {status}",
        remedy=told.remedy,
        code=told.code or None,
        status=status,
        session_id=told.session_id,
        request_id=told.request_id,
        errors=told.errors,
    )
