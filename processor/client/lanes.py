"""Lanes: user ids of the form `<owner>~<8 hex digits>`, so that one person can have several sessions open at once."""

from hashlib import sha256
from secrets import token_hex
from typing import Final

from processor.codec.spine import USER_ID_BYTES_MAX
from processor.core.ids import LANE_CHARS
from processor.errors import UsageError

_DIGITS: Final = LANE_CHARS - len("~")
_OWNER_BYTES_MAX: Final = USER_ID_BYTES_MAX - LANE_CHARS


def lane_of(owner: str, record_id: str | None) -> str:
    """Return a lane of `owner`: always the same for a command's `record_id`, a new one when that is None.

    Raises:
        UsageError: the lane would be too long for a user's id.
    """
    if (size := len(owner.encode())) > _OWNER_BYTES_MAX:
        what = f"user_id has {size} bytes, and may have {_OWNER_BYTES_MAX} where a person has several sessions at once"
        raise UsageError(what, remedy="send a shorter pseudonym")
    digits = token_hex(_DIGITS // 2) if record_id is None else sha256(record_id.encode()).hexdigest()[:_DIGITS]
    return f"{owner}~{digits}"
