"""Where a view stands in the topics, and who waits until it has come further."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from processor.sessions.ports import SESSIONS, TAGGED, Source

STATE: Final = "state"
"""The third topic that a view follows, beside `TAGGED` and `SESSIONS`."""

_CLUSTER_DIGITS: Final = 6


class Position(NamedTuple):
    """Next offsets of one partition of the two topics. As text: `<6 hex digits of the cluster>:p3:s1042.t8871`."""

    cluster: str
    partition: int
    sessions: int
    tagged: int

    def __str__(self) -> str:
        return f"{self.cluster}:p{self.partition}:s{self.sessions}.t{self.tagged}"

    def behind(self, topic: str, offset: int) -> "Position":
        """Return the position behind the record at `offset` of one topic, as far as this in the other."""
        end = offset + 1
        return self._replace(sessions=end) if topic == SESSIONS else self._replace(tagged=end)

    @property
    def ends(self) -> Mapping[Source, int]:
        """The offsets by source, as `View.passed` takes them."""
        return {(SESSIONS, self.partition): self.sessions, (TAGGED, self.partition): self.tagged}


class AsOf(NamedTuple):
    """How much of the log counts: what is before `position`, and what arrived at `at_ms` or earlier."""

    position: Position | None = None
    at_ms: int | None = None

    def holds(self, topic: str, partition: int, offset: int, append_ms: int) -> bool:
        """Whether the record there, which arrived at `append_ms`, counts."""
        if self.position is not None and offset >= self.position.ends.get((topic, partition), 0):
            return False
        return self.at_ms is None or append_ms <= self.at_ms


class _Waiter(NamedTuple):
    ends: Mapping[Source, int]
    loop: asyncio.AbstractEventLoop
    passed: "asyncio.Future[None]"


class Progress:
    """How far the topics were read. One thread moves it, any may ask."""

    def __init__(self, cluster_id: str, partitions: int) -> None:
        """Nothing was read yet of the cluster with Kafka's id `cluster_id`."""
        self.cluster: Final = sha256(cluster_id.encode()).hexdigest()[:_CLUSTER_DIGITS]
        self._partitions = partitions
        self._next: dict[Source, int] = {}
        self._lock = threading.Lock()
        self._waiters: list[_Waiter] = []

    def move(self, positions: Mapping[Source, int]) -> None:
        """Take note that everything before `positions` was taken; none moves back."""
        for source, offset in positions.items():
            if offset > self._next.get(source, 0):
                self._next[source] = offset
        if self._waiters:
            self._wake()

    def position(self, partition: int) -> Position:
        """Return how far one partition was read."""
        at = self._next.get
        return Position(self.cluster, partition, at((SESSIONS, partition), 0), at((TAGGED, partition), 0))

    def positions(self) -> Sequence[Position]:
        """Return how far each partition was read."""
        return [self.position(partition) for partition in range(self._partitions)]

    def left(self, ends: Mapping[Source, int]) -> int:
        """Return how many offsets are left up to `ends`."""
        return sum(max(0, end - self._next.get(source, 0)) for source, end in ends.items())

    def has_passed(self, ends: Mapping[Source, int]) -> bool:
        """Whether all before `ends` was taken."""
        return all(self._next.get(source, 0) >= end for source, end in ends.items())

    async def passed(self, ends: Mapping[Source, int], timeout_s: float) -> bool:
        """Wait until all before `ends` was taken; return whether it was in time."""
        if self.has_passed(ends):
            return True
        loop = asyncio.get_running_loop()
        waiter = _Waiter(ends, loop, loop.create_future())
        with self._lock:
            self._waiters.append(waiter)
        try:
            if not self.has_passed(ends):  # Else it came to pass just before there was a waiter.
                async with asyncio.timeout(timeout_s):
                    await waiter.passed
        except TimeoutError:
            return self.has_passed(ends)
        finally:
            with self._lock:
                self._waiters.remove(waiter)
        return True

    def _wake(self) -> None:
        with self._lock:
            for waiter in self._waiters:
                if self.has_passed(waiter.ends):
                    waiter.loop.call_soon_threadsafe(_tell, waiter.passed)


def _tell(passed: "asyncio.Future[None]") -> None:
    if not passed.done():
        passed.set_result(None)
