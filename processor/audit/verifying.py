"""Verifies the sessions of the topics, one partition after the other: `a3cp verify --topic`."""

from collections.abc import Iterator, Sequence
from functools import partial

from processor.audit.sessions import Left, SessionsCheck
from processor.audit.topics import Topics
from processor.codec.codec import Codec
from processor.runtime.erased import read_mark
from processor.runtime.growing import next_partition, parent_of
from processor.sessions.report import Report
from processor.settings.model import TopicNames


def verify_topics(topics: Topics, codec: Codec, names: TopicNames) -> Iterator[Report]:
    """Yield a report for each session of the topics, by partition. Of the state topic only erasures are read."""
    left: dict[int, dict[int, Left]] = {}  # by the partition that users left, and by the one where they went
    cut: dict[int, Sequence[bool]] = {}  # whether its beginnings are gone
    for partition in range(topics.partitions):
        grown = topics.grown(partition)
        parent = parent_of(partition, grown)
        spans = [topics.span(name, partition) for name in (names.tagged, names.sessions)]
        if parent in cut:
            spans = [span._replace(inherits_cut=is_cut) for span, is_cut in zip(spans, cut[parent], strict=True)]
        check = SessionsCheck(codec, names, partition, tagged=spans[0], sessions=spans[1])
        if parent in left and (came := left[parent].pop(partition, None)) is not None:
            check.come(came)
        for record in topics.read(names.state, partition):
            if record.key is not None and (erased := read_mark(record.key)) is not None:
                check.erased(erased.user.decode(errors="replace"), record.timestamp_ms)
        for record in topics.read(names.sessions, partition):
            check.event(record)
        for record in topics.read(names.tagged, partition):
            check.message(record)
        if grown:
            goes_to = partial(next_partition, partition=partition, grown=grown, now=topics.partitions)
            left[partition] = check.leave(goes_to)
            cut[partition] = [span.is_cut for span in spans]
        yield from check.reports()
