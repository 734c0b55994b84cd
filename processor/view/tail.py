"""The latest records of one topic, as they came: those that the store may not hold yet, by user."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from processor.runtime.ports import TopicRecord

RECORD_BYTES: Final = 300  # what a record takes in memory beside its key and value


class Tail:
    """Holds what came after `floors`; bounded by whoever calls `drop`. For one thread at a time."""

    def __init__(self) -> None:
        self._records: defaultdict[int, deque[TopicRecord]] = defaultdict(deque)  # by partition
        self._of_user: dict[bytes, list[TopicRecord]] = {}
        self._floors: dict[int, int] = {}
        self.size_bytes = 0

    def begin(self, floors: Mapping[int, int]) -> None:
        """Take note of where each partition is read from."""
        self._floors.update(floors)

    def add(self, record: TopicRecord) -> None:
        """Take the next record of its partition."""
        self._records[record.partition].append(record)
        self._of_user.setdefault(record.key or b"", []).append(record)
        self.size_bytes += size_of(record)

    def floor(self, partition: int) -> int:
        """Return the offset from which on all records of `partition` are held."""
        return self._floors.get(partition, 0)

    def of(self, key: bytes) -> Sequence[TopicRecord]:
        """Return the records of one user, those of a partition in their order."""
        return list(self._of_user.get(key, ()))

    def users(self) -> Collection[bytes]:
        """Return the keys of all whose records are held."""
        return list(self._of_user)

    def oldest_ms(self, partition: int) -> int | None:
        """Return when the first record that is held of `partition` was appended."""
        records = self._records.get(partition)
        return records[0].timestamp_ms if records else None

    def drop(self, floors: Mapping[int, int]) -> None:
        """Forget the records before `floors`, by partition."""
        touched: set[bytes] = set()
        for partition, floor in floors.items():
            if floor <= self.floor(partition):
                continue
            self._floors[partition] = floor
            records = self._records[partition]
            while records and records[0].offset < floor:
                record = records.popleft()
                self.size_bytes -= size_of(record)
                touched.add(record.key or b"")
        for key in touched:
            left = [record for record in self._of_user[key] if record.offset >= self.floor(record.partition)]
            if left:
                self._of_user[key] = left
            else:
                del self._of_user[key]

    def drop_oldest(self, size_bytes: int) -> None:
        """Forget the records that arrived first, `size_bytes` of them or a little more."""
        floors: dict[int, int] = {}
        queues = {partition: iter(records) for partition, records in self._records.items() if records}
        heads = {partition: next(queue) for partition, queue in queues.items()}
        while size_bytes > 0 and heads:
            partition = min(heads, key=lambda number: heads[number].timestamp_ms)
            record = heads[partition]
            floors[partition] = record.offset + 1
            size_bytes -= size_of(record)
            following = next(queues[partition], None)
            if following is None:
                del heads[partition]
            else:
                heads[partition] = following
        self.drop(floors)


def size_of(record: TopicRecord) -> int:
    """Return about how many bytes of memory `record` takes."""
    return RECORD_BYTES + len(record.key or b"") + len(record.value or b"")
