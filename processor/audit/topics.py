"""What an audit reads: the five topics, each partition up to where it stood when the audit began.

The processor may be running. So each partition has two bounds: what lies below `certain` was committed when the audit
began, and all that belongs to it lies below the `end` of the other topics, which was asked for afterwards.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from processor.runtime.ports import TopicRecord


class Span(NamedTuple):
    """Which offsets of a partition are read."""

    start: int  # of the first record that is still there; above 0 when the retention has cut off what was before
    certain: int
    end: int  # of the first that is not read

    @property
    def is_cut(self) -> bool:
        """Whether records at its beginning are gone."""
        return self.start > 0


class Topics(Protocol):
    """The topics, by their full names."""

    partitions: int

    def span(self, topic: str, partition: int) -> Span:
        """Return which offsets of the partition are read."""

    def committed(self) -> Mapping[int, int]:
        """Return the processor's committed offset of each raw partition that has one, as of the audit's beginning."""

    def lost(self) -> Mapping[int, tuple[int, int]]:
        """Return the raw offsets, first and next, that the processor found removed before it read them, by partition.

        The latest ones of each partition.
        """

    def late(self) -> Mapping[int, int]:
        """Return where a raw partition began when the processor first read it, if its beginning was gone by then."""

    def read(self, topic: str, partition: int) -> Iterator[TopicRecord]:
        """Yield the partition's committed records in offset order."""
