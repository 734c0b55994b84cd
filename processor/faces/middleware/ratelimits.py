"""How often one caller may ask.

The library `limits` was tried: in memory it starts a thread every 10 ms while requests come, which took a third of the
CPU time of a short request.
"""

import time
from collections.abc import Callable
from typing import Final

from processor.faces.problems import Problem

PER_S: Final = 2_000
CALLERS_MAX: Final = 10_000  # that are remembered


class RateLimits:
    """A leaking bucket for each caller, in the memory of this process; used by one thread."""

    def __init__(self, per_s: int = PER_S, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Let each caller send `per_s` requests a second, at once if need be; 0 for no limit."""
        self._per_s = per_s
        self._monotonic_s = monotonic_s
        self._levels: dict[str, tuple[float, float]] = {}  # how full a bucket was, and when

    def count(self, key: str) -> None:
        """Count a request of the caller `key`.

        Raises:
            Problem: rate_limited.
        """
        if not self._per_s:
            return
        now_s = self._monotonic_s()
        level = self._level(key, now_s)
        if level + 1 > self._per_s:
            raise Problem("rate_limited", f"more than {self._per_s:,} requests in a second")
        if len(self._levels) >= CALLERS_MAX and key not in self._levels:
            self._levels = {known: level for known, level in self._levels.items() if self._level(known, now_s) > 0}
        self._levels[key] = level + 1, now_s

    def _level(self, key: str, now_s: float) -> float:
        level, at_s = self._levels.get(key, (0.0, now_s))
        return max(0.0, level - (now_s - at_s) * self._per_s)
