"""Checks that each misplaced raw record was sent to its user's partition, once and unaltered (rule R13).

Feed it all partitions, then call `finish`. Memory: 150 bytes for each misplaced record.
"""

from typing import NamedTuple

from processor.exporter.audit.report import AuditReport
from processor.exporter.audit.topics import Topics


class _Copy(NamedTuple):
    """A misplaced record, or its copy."""

    where: str
    content: bytes
    is_due: bool  # it is wrong if the other is missing
    partition: int  # where it is, or is to be
    waits: bool = False  # the processor has not come to it


class ReroutedCheck:
    """The misplaced records of all partitions of the raw topic, and their copies."""

    def __init__(self, topics: Topics, raw: str, report: AuditReport) -> None:
        self._topics = topics
        self._raw = raw
        self._report = report
        self._misplaced: dict[str, _Copy] = {}
        self._copies: dict[str, _Copy] = {}

    def misplaced(self, where: str, content: bytes, right: int, *, is_due: bool, waits: bool) -> None:
        """Take a record at `where` that belongs in the partition `right`, and has no other outcome.

        Args:
            content: the hash of its value.
            is_due: whether it must have been sent there.
            waits: whether it was counted as waiting.
        """
        may_be_gone = self._topics.span(self._raw, right).is_cut
        self._misplaced[where] = _Copy(where, content, is_due and not may_be_gone, right, waits)

    def copy(self, where: str, content: bytes, partition: int, origin: str) -> None:
        """Take a record at `where` in `partition` that says it was at `origin`; `content` is the hash of its value."""
        if origin in self._copies:
            self._report.add(where, f"it is a copy of {origin}, as {self._copies[origin].where} is already")
            return
        self._copies[origin] = _Copy(where, content, self._is_there(origin), partition)

    def _is_there(self, origin: str) -> bool:
        """Whether the raw record at the position `origin` was not cut off."""
        topic, _, place = origin.rpartition("[")
        partition, _, offset = place.partition("]@")
        if topic != self._raw or not partition.isdigit() or not offset.isdigit():
            return True
        if int(partition) >= self._topics.partitions:
            return True
        return int(offset) >= self._topics.span(topic, int(partition)).start

    def finish(self) -> None:
        """Compare the misplaced records with the copies."""
        report = self._report
        for origin, record in self._misplaced.items():
            copy = self._copies.pop(origin, None)
            if copy is None:
                if record.is_due:
                    report.add(origin, "it is neither tagged, nor set aside, nor sent to its user's partition")
            elif copy.content != record.content:
                report.add(copy.where, f"it is said to be {origin}, but its bytes are others")
            elif copy.partition != record.partition:
                report.add(
                    copy.where, f"it is {origin} sent to where its user is not, partition {record.partition} is right"
                )
            else:
                report.rerouted += 1
                report.waiting -= record.waits
        for origin, copy in self._copies.items():
            if copy.is_due:
                report.add(copy.where, f"it is a copy of {origin}, which has another outcome or is not there")
