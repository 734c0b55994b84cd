"""Where a view stands in the output topics, as values."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from processor.sessions.ports import SESSIONS, TAGGED, Source

STATE: Final = "state"
"""The third topic that a view follows, beside `TAGGED` and `SESSIONS`."""

CLUSTER_DIGITS: Final = 6  # of the cluster's id, in hex, that a position begins with


class Position(NamedTuple):
    """Next offsets of one partition of the two topics. As text: `<6 hex of the cluster>:p3:s1042.t8871`."""

    cluster: str
    partition: int
    sessions: int
    tagged: int

    def __str__(self) -> str:
        return f"{self.cluster}:p{self.partition}:s{self.sessions}.t{self.tagged}"

    @property
    def ends(self) -> Mapping[Source, int]:
        """The offsets by source, as `View.passed` takes them."""
        return {(SESSIONS, self.partition): self.sessions, (TAGGED, self.partition): self.tagged}


class AsOf(NamedTuple):
    """How much of the log counts: records before `position`, or those that arrived at `at_ms` or earlier."""

    position: Position | None = None
    at_ms: int | None = None

    def holds(self, source: Source, offset: int, append_ms: int) -> bool:
        """Whether the record of `source` at `offset`, which arrived at `append_ms`, counts."""
        if self.position is not None and offset >= self.position.ends.get(source, 0):
            return False
        return self.at_ms is None or append_ms <= self.at_ms
