"""The latest records of one topic, as they came: those that the store may not hold yet, by user."""

import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import islice, takewhile
from typing import Final

from processor.codec.traces import traceparent_of
from processor.runtime.ports import TopicRecord
from processor.sessions.projection.feed import OutputRecord

RECORD_BYTES: Final = 400  # what a record takes in memory beside its key and value
DROPPED_MAX: Final = 2_000
_session_ids: Final = re.compile(rb"sess_(?:[0-9]{8}_[0-9]{6}_[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-f])").findall


class Tail:
    """Holds the records of each partition from its floor on, an offset. For one thread at a time."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._records: defaultdict[int, deque[TopicRecord]] = defaultdict(deque)  # by partition
        self._of_user: dict[bytes, list[TopicRecord]] = {}
        self._floors: dict[int, int] = {}
        self._floors_ms: dict[int, int] = {}
        self._named: dict[str, dict[tuple[bytes, int], int]] = {}  # session: by user and partition the last offset
        self._looked: dict[int, int] = {}  # up to which offset `_named` was filled

    def begin(self, floors: Mapping[int, int], floor_ms: int) -> None:
        """Hold what is at `floors` and later, by partition; what is before was written before `floor_ms`."""
        self._floors.update(floors)
        self._floors_ms.update(dict.fromkeys(floors, floor_ms))

    def add(self, records: Iterable[TopicRecord]) -> None:
        """Take the next records, those of a partition in their order."""
        floor_of, of_partition, of_user = self._floors.get, self._records, self._of_user
        size_bytes = 0
        for record in records:
            _, partition, offset, _, key, value, _ = record
            if offset >= floor_of(partition, 0):
                key = key or b""
                of_partition[partition].append(record)
                if (of_this := of_user.get(key)) is None:
                    of_user[key] = [record]
                else:
                    of_this.append(record)
                size_bytes += RECORD_BYTES + len(key) + len(value or b"")
        self.size_bytes += size_bytes

    def lacks(self, partition: int, end: int) -> bool:
        """Whether records at `end` or later are missing: the floor is above."""
        return self._floors.get(partition, 0) > end

    def floor_ms(self, partition: int) -> int:
        """Return when the first record that is held was written, or a time no earlier, ms: what is missing is older."""
        records = self._records.get(partition)
        return records[0].timestamp_ms if records else self._floors_ms.get(partition, 0)

    def end(self, key: bytes) -> int:
        """Return the offset behind a user's last record; 0 if there is none. Any thread may ask."""
        records = self._of_user.get(key)
        return records[-1].offset + 1 if records else 0

    def of(self, key: bytes, ends: Mapping[int, int]) -> Sequence[TopicRecord]:
        """Return a user's records at `ends`, by partition, and later; those of a partition in their order."""
        return [record for record in self._of_user.get(key, ()) if record.offset >= ends.get(record.partition, 0)]

    def named(self, ends: Mapping[int, int]) -> Iterator[tuple[str, bytes]]:
        """Yield which sessions are named in records at `ends` and later, and in whose: the user's key.

        Some are only claimed or spoken of. Each record is looked into once, the first time that somebody asks.
        """
        self._look_into_new()
        for session_id, users in self._named.items():
            for (key, partition), offset in users.items():
                if offset >= ends.get(partition, 0):
                    yield session_id, key

    def naming(self, session_id: str) -> Collection[bytes]:
        """Return the keys of the users whose records name a session."""
        self._look_into_new()
        return {key for key, _ in self._named.get(session_id, ())}

    def latest(self, ends: Mapping[int, int], count_max: int) -> Sequence[TopicRecord]:
        """Return the records at `ends` and later, of each partition the last `count_max` at most."""
        found: list[TopicRecord] = []
        for partition, records in self._records.items():
            latest = list(islice(reversed(records), count_max))
            found += [record for record in reversed(latest) if record.offset >= ends.get(partition, 0)]
        return found

    def drop(self, floors: Mapping[int, int]) -> bool:
        """Hold nothing before `floors` any more, by partition; return whether it has to be called again for that.

        It drops no more than `DROPPED_MAX` records at a time, so that nobody waits for it for long.
        """
        dropped: list[TopicRecord] = []
        is_left = False
        for partition, floor in floors.items():
            records = self._records[partition]
            while records and records[0].offset < floor and len(dropped) < DROPPED_MAX:
                dropped.append(records.popleft())
            is_left = bool(records) and records[0].offset < floor
            reached = records[0].offset if is_left else floor
            self._floors[partition] = max(reached, self._floors.get(partition, 0))
            if is_left:
                break
        self._forget(dropped)
        return is_left

    def drop_oldest(self, size_bytes: int) -> None:
        """Forget the records that were written first, `size_bytes` of them or a little more."""
        heads = [(records[0].timestamp_ms, partition) for partition, records in self._records.items() if records]
        heapify(heads)
        dropped: list[TopicRecord] = []
        while size_bytes > 0 and heads:
            _, partition = heads[0]
            records = self._records[partition]
            record = records.popleft()
            self._floors[partition] = record.offset + 1
            dropped.append(record)
            size_bytes -= _size_of(record)
            if records:
                heapreplace(heads, (records[0].timestamp_ms, partition))
            else:
                heappop(heads)
        self._forget(dropped)

    def forget(self, key: bytes) -> None:
        """Forget all records of one user."""
        for record in self._of_user.pop(key, ()):
            self._records[record.partition].remove(record)
            self.size_bytes -= _size_of(record)
            self._forget_named(record)

    def _forget(self, dropped: Sequence[TopicRecord]) -> None:
        """Forget what was taken out of `_records`."""
        for record in dropped:
            self.size_bytes -= _size_of(record)
            before_ms = self._floors_ms.get(record.partition, 0)
            self._floors_ms[record.partition] = max(before_ms, record.timestamp_ms)
            self._forget_named(record)
        for key in {record.key or b"" for record in dropped}:
            left = self.of(key, self._floors)
            if left:
                self._of_user[key] = list(left)
            else:
                self._of_user.pop(key, None)

    def _look_into_new(self) -> None:
        for partition, records in self._records.items():
            looked = self._looked.get(partition, 0)
            new = list(takewhile(lambda record: record.offset >= looked, reversed(records)))  # noqa: B023  # Used at once.
            for record in reversed(new):
                for session_id in sessions_named_in(record):
                    self._named.setdefault(session_id, {})[record.key or b"", partition] = record.offset
                self._looked[partition] = record.offset + 1

    def _forget_named(self, record: TopicRecord) -> None:
        user = record.key or b"", record.partition
        for session_id in sessions_named_in(record) if self._named else ():
            users = self._named.get(session_id, {})
            if users.get(user) == record.offset:  # None that names it is held any more.
                del users[user]
                if not users:
                    del self._named[session_id]


def sessions_named_in(record: TopicRecord) -> Iterator[str]:
    """Yield the ids of sessions that `record` names anywhere, some twice; nothing is decoded for that."""
    for name in _session_ids(record.value or b""):
        yield name.decode()


def output_of(topic: str, record: TopicRecord) -> OutputRecord:
    """Return `record` as those who decode it take it."""
    return OutputRecord(
        topic, record.partition, record.offset, record.timestamp_ms, record.value, traceparent_of(record.headers)
    )


def _size_of(record: TopicRecord) -> int:
    return RECORD_BYTES + len(record.key or b"") + len(record.value or b"")
