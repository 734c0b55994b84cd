"""Where one is in the topics: as text for those who ask, and as a bound of what counts."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from processor.sessions.ports import SESSIONS, TAGGED, Source

STATE: Final = "state"
"""The third topic that a view follows, beside `TAGGED` and `SESSIONS`."""


class Position(NamedTuple):
    """Next offsets of one partition of the two topics. As text: `<6 hex digits of the cluster>:p3:s1042.t8871`."""

    cluster: str
    partition: int
    sessions: int
    tagged: int

    def __str__(self) -> str:
        return f"{self.cluster}:p{self.partition}:s{self.sessions}.t{self.tagged}"

    def behind(self, topic: str, partition: int, offset: int) -> "Position":
        """Return the position behind a record of one topic, as far as this in the other."""
        end, here = offset + 1, self if partition == self.partition else Position(self.cluster, partition, 0, 0)
        return here._replace(sessions=end) if topic == SESSIONS else here._replace(tagged=end)

    def has(self, topic: str, partition: int, offset: int) -> bool:
        """Whether a record of the position's user is before it. Who moved came from a partition with a lower number."""
        return partition < self.partition or offset < self.ends.get((topic, partition), 0)

    @property
    def ends(self) -> Mapping[Source, int]:
        """The offsets by source, as `Progress.passed` takes them."""
        return {(SESSIONS, self.partition): self.sessions, (TAGGED, self.partition): self.tagged}


class AsOf(NamedTuple):
    """How much of the log counts: what is before `position`, and what arrived at `at_ms` or earlier."""

    position: Position | None = None
    at_ms: int | None = None

    def holds(self, topic: str, partition: int, offset: int, append_ms: int) -> bool:
        """Whether the record there, which arrived at `append_ms`, counts."""
        if self.position is not None and not self.position.has(topic, partition, offset):
            return False
        return self.at_ms is None or append_ms <= self.at_ms
