"""How often one caller may ask."""

from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from processor.faces.problems import Problem

PER_S: Final = 2_000


class RateLimits:
    """Counts the requests of each caller, in the memory of this process."""

    def __init__(self, per_s: int = PER_S) -> None:
        """Let each caller send `per_s` requests a second; 0 for no limit."""
        self._limit = RateLimitItemPerSecond(per_s) if per_s else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(self, key: str) -> None:
        """Count a request of the caller `key`.

        Raises:
            Problem: rate_limited.
        """
        if self._limit is not None and not self._limiter.hit(self._limit, key):
            raise Problem("rate_limited", f"more than {self._limit.amount} requests in a second")
