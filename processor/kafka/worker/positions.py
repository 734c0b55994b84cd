"""How far a worker is: what it polled since the last commit, which ends it has reached, what is committed."""

import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import methodcaller
from typing import Final

from processor.runtime.ports import RawRecord

_PARTITION: Final = methodcaller("partition")


class Positions:
    """Offsets by partition."""

    def __init__(self, settle_s: float) -> None:
        """`settle_s`: how long an end that moved past transaction markers may stay uncommitted."""
        self._settle_s = settle_s
        self.first: dict[int, int] = {}
        """The first offset of what was polled since the last commit."""
        self.next: dict[int, int] = {}
        """The next offset behind what was polled."""
        self.ends: dict[int, int] = {}
        """The last stable offset of each partition that is read up to there."""
        self._committed: dict[int, int] = {}
        self._committed_s = time.monotonic()

    def polled(self, records: Sequence[RawRecord]) -> None:
        """Note records that were polled, those of a partition together and in their order."""
        for partition, run in groupby(records, _PARTITION):
            first, *rest = run
            self.first.setdefault(partition, first.offset())
            position = self.next[partition] = (rest[-1] if rest else first).offset() + 1
            if self.ends.get(partition, position) < position:
                del self.ends[partition]

    def take_back(self, partition: int, offset: int) -> None:
        """Forget what was polled of `partition` from `offset` on."""
        if self.first[partition] == offset:
            del self.first[partition], self.next[partition]
        else:
            self.next[partition] = offset

    def to_commit(self) -> Mapping[int, int]:
        """Return the offsets to commit.

        The ends are among them: if only the clock ended sessions, there is no other offset, and without one nothing
        would fence a late owner.
        """
        return {**self.next, **self.ends}

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Note from which committed offsets partitions are read."""
        self._committed.update(offsets)

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Note a commit. A new batch begins."""
        self.forget_batch()
        self._committed.update(offsets)
        self._committed_s = time.monotonic()

    def forget_batch(self) -> None:
        """Forget what was polled since the last commit."""
        self.first.clear()
        self.next.clear()

    def is_to_settle(self) -> bool:
        """Whether an end behind transaction markers has been uncommitted for a while."""
        is_time = time.monotonic() - self._committed_s >= self._settle_s
        return is_time and any(self._committed[partition] < end for partition, end in self.ends.items())
