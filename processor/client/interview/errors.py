"""What can go wrong with an interview: all are `InterviewPlatformError`, and each has a code."""

from collections.abc import Iterator
from contextlib import contextmanager

from processor.client.service.problems import (
    IllegalTransition,
    InvalidRequest,
    SessionClosed,
    SessionNotFound,
    SessionRemoved,
)
from processor.errors import A3CPError, UsageError


class InterviewPlatformError(A3CPError):
    """An interview could not do what it was asked for."""

    code: str = "interview_failed"

    def __init__(self, what: str, *, session_id: str | None = None, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.session_id = session_id

    @property
    def cause(self) -> BaseException | None:
        """The error behind it, such as a component's own; None if there is none."""
        return self.__cause__


class SessionNotFoundError(InterviewPlatformError):
    """There is no such interview, or it was removed."""

    code = "session_not_found"


class InvalidTransitionError(InterviewPlatformError):
    """The interview's status does not allow this step."""

    code = "invalid_transition"


class ConfigurationError(InterviewPlatformError):
    """The configuration of an interview is wrong."""

    code = "invalid_configuration"


class ComponentError(InterviewPlatformError):
    """A component failed: the AI interviewer, the communication manager or the evaluation manager."""

    code = "component_failed"


class DataStoreError(InterviewPlatformError):
    """What is kept of interviews could not be written or read."""

    code = "data_store_failed"


def told(error: A3CPError, session_id: str | None) -> InterviewPlatformError:
    """Return how an error of the service is told of an interview; that one is its cause."""
    what = error.what
    match error:
        case InterviewPlatformError():
            error.session_id = error.session_id or session_id
            return error
        case SessionNotFound() | SessionRemoved():
            kind: type[InterviewPlatformError] = SessionNotFoundError
            what = f"session {session_id} not found: {what}"
        case IllegalTransition() | SessionClosed():
            kind = InvalidTransitionError
        case InvalidRequest() | UsageError():
            kind = ConfigurationError
        case _:
            kind = DataStoreError
    failed = kind(what, session_id=session_id, remedy=error.remedy)
    failed.__cause__ = error
    return failed


@contextmanager
def failing(kind: type[InterviewPlatformError], what: str) -> Iterator[None]:
    """Tell whatever `what` raises as an error of this kind; its own is the cause."""
    try:
        yield
    except Exception as error:
        raise kind(f"{what} failed ({type(error).__name__})", remedy="see the cause of this error") from error
