"""Topics in memory as an audit reads them: a processor's real outputs, which a test may damage."""

from collections.abc import Iterator, Mapping, Sequence

from processor.audit.topics import Span
from processor.runtime.adopting import Adopted
from processor.runtime.growing import Grown
from processor.runtime.ports import TopicRecord
from processor.settings.model import TopicNames
from processor.testing import MemoryBroker, MemoryRecord


def _record(topic: str, r: MemoryRecord) -> TopicRecord:
    return TopicRecord(topic, r.number, r.position, r.append_ms, r.raw_key, r.raw_value, r.raw_headers or ())


class MemoryTopics:
    """The `Topics` port on lists; `logs[topic][partition]` may be changed before the audit."""

    def __init__(self, broker: MemoryBroker, names: TopicNames) -> None:
        self.partitions = broker.partitions
        self.logs = {name: [[_record(name, r) for r in log] for log in broker.topics[name]] for name in names}
        self.done: dict[int, int] = dict(broker.committed)
        self.gone: dict[int, tuple[int, int]] = {}
        self.begun: dict[int, int] = {}
        self.mirrored: dict[int, Adopted] = {}
        self.marks: dict[int, Sequence[Grown]] = dict(broker.grown)
        self.certain: dict[tuple[str, int], int] = {}
        self.starts: dict[tuple[str, int], int] = {}

    def span(self, topic: str, partition: int) -> Span:
        log = self.logs[topic][partition]
        end = log[-1].offset + 1 if log else 0
        place = topic, partition
        return Span(self.starts.get(place, 0), self.certain.get(place, end), end)

    def committed(self) -> Mapping[int, int]:
        return self.done

    def lost(self) -> Mapping[int, tuple[int, int]]:
        return self.gone

    def late(self) -> Mapping[int, int]:
        return self.begun

    def grown(self, partition: int) -> Sequence[Grown]:
        return self.marks.get(partition, ())

    def adopted(self, partition: int) -> Adopted | None:
        return self.mirrored.get(partition)

    def read(self, topic: str, partition: int) -> Iterator[TopicRecord]:
        start = self.starts.get((topic, partition), 0)
        yield from (record for record in self.logs[topic][partition] if record.offset >= start)
