"""Session ids: readable, sortable, the same for the same input (rule R6)."""

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

from processor.core.model import IdFormat

_SHORT: Final = IdFormat.SHORT
_CHECK_DIGITS: Final = 8
_DATED_LENGTH: Final = len("sess_YYYYMMDD_HHMMSS_") + 32


def session_id(user_id: str, start_ms: int, record_id: str, id_format: IdFormat, repeat: int = 0) -> str:
    """Return the id of the session that the record `record_id` of `user_id` opens at `start_ms`.

    `repeat` counts the user's remembered sessions that had the same start and record; nearly always none.
    `dated` is `sess_YYYYMMDD_HHMMSS_<32 hex>`, start time in UTC; its last 8 hex digits are a hash of the first 24 and
    the user id, so that `belongs_to` needs no memory (ADR 0003). `short` is upstream's `sess_<16 hex>`.
    """
    opened_by = f"{user_id}\0{start_ms}\0{record_id}\0{repeat}" if repeat else f"{user_id}\0{start_ms}\0{record_id}"
    digest = sha256(opened_by.encode()).hexdigest()
    if id_format is _SHORT:
        return f"sess_{digest[:16]}"
    minute, second = divmod(start_ms // 1000, 60)
    main = digest[: 32 - _CHECK_DIGITS]
    return f"sess_{_minute(minute)}{second:02d}_{main}{_check(main, user_id)}"


def belongs_to(candidate: str, user_id: str) -> bool:
    """Whether `candidate` may be an id of one of `user_id`'s sessions; a `dated` id of another user never may."""
    if len(candidate) != _DATED_LENGTH or not candidate.startswith("sess_"):
        return True  # Not a dated id: nothing in it tells whose it is.
    return candidate.endswith(_check(candidate[-32:-_CHECK_DIGITS], user_id))


@lru_cache(maxsize=1024)
def _minute(minute: int) -> str:
    """Return a minute since the epoch as text; making it takes longer than all the rest, and many share one."""
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y%m%d_%H%M}"


def _check(main: str, user_id: str) -> str:
    return sha256(f"{main}\0{user_id}".encode()).hexdigest()[:_CHECK_DIGITS]
