"""The codes with which sockets are closed, and what they tell the client: to come back, or not to."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from processor.faces.problems import Problem


class Code(IntEnum):
    """Why a socket is closed."""

    FAILED = 1011
    RESTART = 1012  # Come back, perhaps to another replica.
    TRY_LATER = 1013  # Kafka is away and nothing can wait for it, or it is not known yet what is true.
    SLOW = 4008  # Come back, and go on at the position that the close frame tells.
    BAD_FRAME = 4400
    NO_ENTRY = 4401
    FORBIDDEN = 4403
    NO_SESSION = 4404
    NO_TOKEN_IN_TIME = 4408
    TAKEN_OVER = 4409
    TOO_MANY = 4429


INVALID_SESSION: Final = "Invalid or expired session."

_SERVER_ERROR: Final = 500
_OF_PROBLEMS: Final[Mapping[str, Code]] = {
    "unauthenticated": Code.NO_ENTRY,
    "forbidden": Code.FORBIDDEN,
    "session_not_found": Code.NO_SESSION,
    "session_removed": Code.NO_SESSION,
    "session_closed": Code.NO_SESSION,
    "timed_out": Code.NO_TOKEN_IN_TIME,
    "rate_limited": Code.TOO_MANY,
    "internal_error": Code.FAILED,
}


def code_of(problem: Problem) -> Code:
    """Return with which code a socket is closed that cannot go on because of `problem`."""
    is_ours = problem.status_code >= _SERVER_ERROR
    return _OF_PROBLEMS.get(problem.code, Code.TRY_LATER if is_ours else Code.BAD_FRAME)


def ends(problem: Problem) -> bool:
    """Whether a socket cannot go on because of `problem` in one of its frames."""
    return problem.status_code >= _SERVER_ERROR and problem.code != "not_caught_up"
