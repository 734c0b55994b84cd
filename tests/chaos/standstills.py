"""Why a partition stood still: what was down then, or had been down just before."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.broker.fleet import Standstill

LATER_MS: Final = 10_000  # a member that died is missed after its session time-out and a heartbeat


@dataclass
class Trouble:
    """Something that was down, or happened."""

    what: str
    from_ms: int
    until_ms: int | None = None  # None: it still is

    def end(self) -> None:
        """Take note that it is over."""
        self.until_ms = now_ms()


class Troubles:
    """All of a run."""

    def __init__(self) -> None:
        self._all: list[Trouble] = []
        self._began_ms = now_ms()

    def begin(self, what: str) -> Trouble:
        """Take note that something is down from now on."""
        self._all.append(Trouble(what, now_ms()))
        return self._all[-1]

    @contextmanager
    def lasting(self, what: str) -> Iterator[None]:
        """Take note that something is down meanwhile."""
        trouble = self.begin(what)
        try:
            yield
        finally:
            trouble.end()

    def told(self, standstill: Standstill) -> str:
        """Return how long a partition stood still, what was down, and how long after the last of it it went on."""
        until_ms, from_ms = standstill.until_ms, standstill.until_ms - standstill.ms
        causes = [
            each for each in self._all
            if each.from_ms < until_ms and (each.until_ms or until_ms) > from_ms - LATER_MS
        ]  # fmt: skip
        told = [f"{(each.from_ms - self._began_ms) / 1000:.1f} s {each.what}" for each in causes] or [
            "nothing was down"
        ]
        last_ms = max((min(each.until_ms or until_ms, until_ms) for each in causes), default=from_ms)
        at_s, since_s = (from_ms - self._began_ms) / 1000, (until_ms - max(last_ms, from_ms)) / 1000
        return (
            f"{standstill.ms / 1000:.1f} s of partition {standstill.partition}, from {at_s:.1f} s on; it went on "
            f"{since_s:.1f} s after the last of: {'; '.join(told)}"
        )


def now_ms() -> int:
    """Return the time by this machine's clock, which is Kafka's too."""
    return time.time_ns() // 1_000_000
