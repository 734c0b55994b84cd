"""ISO 8601 text and ms since the epoch.

Python's own parser differs between versions, so it only gets what all of them read alike.
"""

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TIME_MS_MAX: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_ONE_MS: Final = timedelta(milliseconds=1)
_FORM: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt _](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:Z|([+-])(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)
_ZONE: Final = re.compile(r"(?:Z|[+-]\d\d:?\d\d)\Z", re.ASCII)


def wall_ms() -> int:
    """Return the time of this machine's clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


def parse_time(text: str) -> int:
    """Return ms since the epoch for an ISO 8601 date or time, floored; a time without offset is UTC.

    Raises:
        ValueError: it is no such text, or names a day, hour, minute, second or offset that does not exist.

    Source: what upstream's model accepts (leap seconds and a lower-case z are refused there too).
    """
    # The common form, YYYY-MM-DDTHH:MM:SS.mmmZ: the marks at their places leave `fromisoformat` one reading.
    if (
        len(text) == 24
        and text[4] == text[7] == "-"
        and text[10] == "T"
        and text[19] == "."
        and text[23] == "Z"
        and text[11:13] != "24"
    ):
        return (datetime.fromisoformat(text) - EPOCH) // _ONE_MS
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("no ISO 8601 time")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    whole = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
    )  # Raises ValueError itself.
    time_ms = (whole - EPOCH) // _ONE_MS + int((fraction or "0")[:3].ljust(3, "0"))
    if sign:
        hours, minutes = int(offset_hours), int(offset_minutes or 0)
        if hours > 23 or minutes > 59:
            raise ValueError("no such offset")
        offset_ms = (hours * 60 + minutes) * 60_000
        time_ms += offset_ms if sign == "-" else -offset_ms
    return time_ms


def is_without_zone(text: str) -> bool:
    """Return whether `text`, which `parse_time` reads, names neither `Z` nor an offset."""
    return _ZONE.search(text) is None


def format_time(time_ms: int) -> str:
    """Return `time_ms` as A3CP writes times: UTC, ms, Z."""
    assert 0 <= time_ms <= TIME_MS_MAX
    seconds, ms = divmod(time_ms, 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=4096)  # Those of one session, and the times of writing of one batch, come again and again.
def _second(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()[:-6]
