"""Lanes: user ids of the form `<owner>~<8 hex digits>`, so that one person can have several sessions open at once."""

from hashlib import sha256
from secrets import token_hex

_DIGITS = 8


def lane_of(owner: str, record_id: str | None) -> str:
    """Return a lane of `owner`: always the same for a command's `record_id`, a new one when that is None."""
    digits = token_hex(_DIGITS // 2) if record_id is None else sha256(record_id.encode()).hexdigest()[:_DIGITS]
    return f"{owner}~{digits}"
