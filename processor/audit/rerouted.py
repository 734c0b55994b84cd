"""Checks that each misplaced raw record was sent to its user's partition, once and unaltered (rule R13).

Give it all partitions, then call `finish`. Anybody can write the header of a copy. So a copy counts only if the record
that it names is misplaced and has the same bytes. Memory: 150 bytes for each misplaced record and copy.
"""

from collections import defaultdict
from typing import NamedTuple

from processor.audit.alignment import short_hash
from processor.audit.report import AuditReport
from processor.audit.topics import Topics
from processor.codec.codec import Codec
from processor.codec.headers import REROUTED, RETRIED
from processor.errors import RecordError
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord


class _Misplaced(NamedTuple):
    """A record in a partition that is not its user's."""

    where: str
    is_due: bool  # it is wrong if there is no copy
    waits: bool  # the processor has not come to it


class _Copy(NamedTuple):
    """A record in its user's partition that says where it was before."""

    where: str
    origin: str


class ReroutedCheck:
    """The misplaced records of all partitions of the raw topic, and their copies."""

    def __init__(self, topics: Topics, raw: str, report: AuditReport, *, is_mirror: bool) -> None:
        """Begin with nothing seen.

        Args:
            topics: what they hold; raw: the raw topic; report: takes what is wrong.
            is_mirror: whether the topic may come from another cluster. Its positions differ, so a copy may name any.
        """
        self._topics = topics
        self._raw = raw
        self._report = report
        self._is_mirror = is_mirror
        self._misplaced: dict[tuple[bytes, int], list[_Misplaced]] = defaultdict(list)  # by content, right partition
        self._copies: dict[tuple[bytes, int], list[_Copy]] = defaultdict(list)

    def misplaced(self, where: str, content: bytes, right: int, *, is_due: bool, waits: bool) -> None:
        """Take a record at `where` that belongs in the partition `right`, and has no other outcome.

        Args:
            content: the hash of its value.
            is_due: whether it must have been sent there.
            waits: whether it was counted as waiting.
        """
        may_be_gone = self._topics.span(self._raw, right).is_cut
        self._misplaced[content, right].append(_Misplaced(where, is_due and not may_be_gone, waits))

    def placed(self, record: TopicRecord, where: str, content: bytes, partition: int) -> None:
        """Take a record in its user's partition. It may be the copy of a misplaced one."""
        names = [name for name, _ in record.headers]
        if REROUTED not in names or RETRIED in names:  # What is put back from the dead letters keeps its headers.
            return
        origin = next(text or b"" for name, text in reversed(record.headers) if name == REROUTED)  # Ours came last.
        self._copies[content, partition].append(_Copy(where, origin.decode(errors="replace")))

    def finish(self) -> list[str]:
        """Compare the misplaced records with the copies. Return the positions of records that lack their copy."""
        alone = []
        for key, misplaced in self._misplaced.items():
            copies = self._copies.get(key, [])
            named = {record.where: [copy for copy in copies if copy.origin == record.where] for record in misplaced}
            others = len(copies) - sum(map(len, named.values())) if self._is_mirror else 0
            for record in misplaced:
                first, more = next(iter(named[record.where]), None), named[record.where][1:]
                if first is not None:
                    for copy in more:
                        self._report.add(copy.where, f"it is a copy of {record.where}, as {first.where} is already")
                elif others:
                    others -= 1
                else:
                    if record.is_due:
                        told = "it is neither tagged, nor set aside, nor sent to its user's partition"
                        self._report.add(record.where, told)
                        alone.append(record.where)
                    continue
                self._report.rerouted += 1
                self._report.waiting -= record.waits
        return alone


def misplaced_without_copy(topics: Topics, codec: Codec, raw: str) -> list[str]:
    """Return the positions of the misplaced records in `raw` that have no copy.

    A copy may name any position: the topic may be a mirror of another cluster's. A record that cannot be read has no
    user, so it is not misplaced.
    """
    check = ReroutedCheck(topics, raw, AuditReport(), is_mirror=True)
    for partition in range(topics.partitions):
        for record in topics.read(raw, partition):
            try:
                user_id = codec.decode(record.value, record.timestamp_ms).user_id
            except RecordError:
                continue
            where, content = record.position, short_hash(record.value)
            right = partition_of(user_id.encode(), topics.partitions)
            if right == partition:
                check.placed(record, where, content, partition)
            else:
                check.misplaced(where, content, right, is_due=True, waits=False)
    return check.finish()
