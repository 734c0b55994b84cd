"""How far a view has read the topics, and who waits until it has come further."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from processor.errors import A3CPError
from processor.runtime.partitioner import partition_of
from processor.sessions.ports import SESSIONS, TAGGED, Source
from processor.upstream.words.counting import counted
from processor.view.position import Position
from processor.view.shared import Shared

_CLUSTER_DIGITS: Final = 6


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
        self._begun: Mapping[Source, int] | None = None
        self._is_ready = False
        self._ends: Shared[Mapping[Source, int]] | None = None

    def begin(self, ends: Mapping[Source, int], ask_ends: Callable[[], Mapping[Source, int]] | None) -> None:
        """Take note of where the topics end as reading begins: all is read once that is passed.

        Args:
            ends: by kind and partition, for a reader of committed records.
            ask_ends: asks for later ends, as `caught_up` needs them; called in a thread.
        """
        self._begun = dict(ends)
        self._ends = None if ask_ends is None else Shared(lambda: asyncio.to_thread(ask_ends))

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

    def position_of(self, user_id: str) -> Position:
        """Return how far the partition of a user was read."""
        return self.position(partition_of(user_id.encode(), self._partitions))

    def left(self, ends: Mapping[Source, int]) -> int:
        """Return how many offsets are left up to `ends`."""
        return sum(max(0, end - self._next.get(source, 0)) for source, end in ends.items())

    def is_ready(self) -> bool:
        """Whether the ends that the topics had at `begin` are passed."""
        self._is_ready = self._is_ready or (self._begun is not None and self.has_passed(self._begun))
        return self._is_ready

    def why_not_ready(self) -> str | None:
        """Return what is waited for, in words; None when it is ready."""
        if self.is_ready():
            return None
        if self._begun is None:
            return "it has not begun to read the topics"
        return f"it reads the topics, {counted(self.left(self._begun), 'offset is', 'offsets are')} left"

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

    async def caught_up(self, timeout_s: float) -> bool:
        """Ask where the topics end now and wait until that is passed; return whether it has in time.

        What is unknown after that is in none of the topics. False also when no broker answers. The broker is asked once
        for all who want to know at the same time.
        """
        if self._ends is None:
            return False
        until_s = time.monotonic() + timeout_s
        try:
            ends = await asyncio.wait_for(self._ends(), timeout_s)
        except (A3CPError, TimeoutError):
            return False
        return await self.passed(ends, until_s - time.monotonic())

    def _wake(self) -> None:
        with self._lock:
            for waiter in self._waiters:
                if self.has_passed(waiter.ends):
                    waiter.loop.call_soon_threadsafe(_tell, waiter.passed)


def _tell(passed: "asyncio.Future[None]") -> None:
    if not passed.done():
        passed.set_result(None)
