"""The broker's time, as a worker can know it: the machine's own clock may be days off."""

from collections.abc import Callable


class BrokerTime:
    """The latest append time that was seen, plus the time since then by a clock that nobody can set.

    The broker's clock has reached each append time that is seen. The latest by this measure counts, so time never goes
    back.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._ahead_ms: float | None = None  # what the broker's clock shows when ours shows 0

    def saw(self, append_ms: int) -> None:
        """Take note of an append time, ms since the epoch."""
        ahead_ms = append_ms - self._monotonic_s() * 1000
        if self._ahead_ms is None or ahead_ms > self._ahead_ms:
            self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        """Return a time that the broker's clock has reached, ms since the epoch."""
        assert self._ahead_ms is not None, "no append time was seen"
        return int(self._monotonic_s() * 1000 + self._ahead_ms)
