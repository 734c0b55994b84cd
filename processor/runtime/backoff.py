"""Waiting longer after each failure in a row."""

from typing import Final

_DOUBLINGS_MAX: Final = 60  # A float has room for them; the longest wait is reached long before.


def backoff_s(failures: int, *, first_s: float, max_s: float) -> float:
    """Return how long to wait after so many failures in a row: `first_s`, twice as long each time, at most `max_s`."""
    assert failures > 0
    return float(min(max_s, first_s * 2 ** min(failures - 1, _DOUBLINGS_MAX)))
