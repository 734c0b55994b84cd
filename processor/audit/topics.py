"""What an audit reads: the five topics, each partition up to where it stood when the audit began.

The processor may be running. So each partition has two bounds. Records below `certain` were committed when the audit
began. All that belongs to them lies below the `end` of the other topics, since that was asked for afterwards.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from processor.runtime.adopting import Adopted
from processor.runtime.growing import Grown
from processor.runtime.ports import TopicRecord


class Span(NamedTuple):
    """The offsets of a partition that are read."""

    start: int  # of the first record that is left; above 0 if retention has removed earlier ones
    certain: int
    end: int  # of the first that is not read
    inherits_cut: bool = False  # whether records are gone of the partition that its first users came from

    @property
    def is_cut(self) -> bool:
        """Whether records of its users are gone."""
        return self.start > 0 or self.inherits_cut


class Topics(Protocol):
    """The topics, by their full names."""

    partitions: int

    def span(self, topic: str, partition: int) -> Span:
        """Return the offsets of the partition that are read."""

    def committed(self) -> Mapping[int, int]:
        """Return the processor's committed offset of each raw partition that has one, when the audit began."""

    def lost(self) -> Mapping[int, tuple[int, int]]:
        """Return by partition the raw offsets, first and next, that were removed before the processor read them.

        Of each partition only the latest.
        """

    def late(self) -> Mapping[int, int]:
        """Return where each raw partition began when the processor first read it, if its beginning was gone."""

    def grown(self, partition: int) -> Sequence[Grown]:
        """Return how many raw partitions there were before, the earliest first."""

    def adopted(self, partition: int) -> Adopted | None:
        """Return where a mirror of another cluster had filled the partition. Returns None if none has."""

    def read(self, topic: str, partition: int) -> Iterator[TopicRecord]:
        """Yield the partition's committed records in offset order."""
