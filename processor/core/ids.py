"""Session ids: readable, sortable, the same for the same input (rule R6)."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

from processor.core.model import IdFormat

_SHORT: Final = IdFormat.SHORT
_CHECK_DIGITS: Final = 8
_is_dated: Final = re.compile(r"sess_[0-9]{8}_[0-9]{6}_[0-9a-f]{32}").fullmatch
_DATED_LENGTH: Final = len("sess_YYYYMMDD_HHMMSS_") + 32
_LANE: Final = "~[0-9a-f]{8}"  # what follows the owner in a lane's user id
LANE_CHARS: Final = len("~12345678")
_is_lane: Final = re.compile(rf".+{_LANE}", re.DOTALL).fullmatch


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


def owner_of(user_id: str) -> str:
    """Return the person whose sessions `user_id` has: of a lane its owner, else `user_id` itself.

    A lane is a user id of the form `<owner>~<8 hex digits>`. To the rules it is a user of its own, so one person can
    have several sessions open at once. What is looked for, counted or erased by person goes by the owner.
    """
    return user_id[:-LANE_CHARS] if _is_lane(user_id) else user_id


def started_ms(candidate: str) -> int | None:
    """Return when the session of a `dated` id started, by the second; None if `candidate` is no such id."""
    if _is_dated(candidate) is None:
        return None
    try:
        start = datetime.fromisoformat(f"{candidate[5:13]}T{candidate[14:20]}Z")
    except ValueError:  # There is no such day or hour.
        return None
    return int(start.timestamp()) * 1000


def is_of(user_id: str, person: str) -> bool:
    """Whether `user_id` is the one of `person`, or a lane of theirs."""
    return person in (user_id, owner_of(user_id))


@lru_cache(maxsize=1024)
def _minute(minute: int) -> str:
    """Return a minute since the epoch as text; making it takes longer than all the rest, and many share one."""
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y%m%d_%H%M}"


def _check(main: str, user_id: str) -> str:
    return sha256(f"{main}\0{user_id}".encode()).hexdigest()[:_CHECK_DIGITS]
