"""Output topics for tests: what the real processor makes of messages, as records, and a feed that reads them."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from processor.codec import Codec, Schemas
from processor.codec.schema import SHIPPED
from processor.core.model import Rules
from processor.runtime.identities import Identities
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import Assigned, Cause, Revoked
from processor.runtime.task import Task
from processor.sessions.ports import SESSIONS, TAGGED, Place, Source
from processor.sessions.projection.decoding import decode
from processor.sessions.projection.feed import OutputRecord, Read, Standstill
from processor.settings.documents import schema_text
from processor.settings.model import TopicNames
from processor.testing import MemoryRecord

TOPICS = TopicNames("raw", TAGGED, SESSIONS, "state", "dlq")
SCHEMAS = Schemas({name: schema_text(name) for name in SHIPPED})
CODEC = Codec(SCHEMAS)
DECODE = partial(decode, CODEC)
START_MS = 1_750_000_000_000  # 2025-06-15T15:06:40Z
START = "2025-06-15T15:06:40.000Z"
PARTITIONS = 2
MARKER_EVERY = 7  # records, then an offset that a transaction marker takes


def message(user_id: str, at_ms: int, **fields: Any) -> bytes:
    """Return a conforming JSON message `at_ms` after START_MS."""
    from processor.codec.isotime import format_time

    spine = {
        "schema_version": "1.0.1",
        "record_id": f"00000000-0000-4000-8000-{at_ms:012d}",
        "user_id": user_id,
        "timestamp": format_time(START_MS + at_ms),
    }
    return json.dumps({**spine, **fields}, separators=(",", ":")).encode()


def processed(values: Iterable[bytes], *, quiet: bool = True) -> list[OutputRecord]:
    """Return what the processor writes for `values`, in order; with `quiet` the clock ends what is idle at the end."""
    values = list(values)
    tasks = {
        number: Task(number, PARTITIONS, codec=CODEC, rules=Rules(), topics=TOPICS, record_bytes_max=2 << 20)
        for number in range(PARTITIONS)
    }
    written: Counter[Source] = Counter()
    offsets: Counter[Source] = Counter()
    records: list[OutputRecord] = []

    def keep(outputs: Iterable[tuple[str, bytes | None, bytes | None, int, object]]) -> None:
        for topic, value, _, partition, _ in outputs:
            if topic in (TAGGED, SESSIONS):
                source = (topic, partition)
                records.append(OutputRecord(topic, partition, offsets[source], START_MS + len(records), value))
                written[source] += 1
                offsets[source] += 2 if written[source] % MARKER_EVERY == 0 else 1

    for number, value in enumerate(values):
        key = json.loads(value)["user_id"].encode()
        partition = partition_of(key, PARTITIONS)
        append_ms = CODEC.decode(value, START_MS + 10**9).timestamp_ms
        keep(tasks[partition].process([MemoryRecord(partition, number, key, value, append_ms)]))
        tasks[partition].state_records()
        tasks[partition].committed()
    if quiet:
        for task in tasks.values():
            keep(task.punctuate(START_MS + 10**9))
    return records


class MemoryFeed:
    """The `Feed` port over records in memory, one member that owns all."""

    def __init__(
        self,
        records: Sequence[OutputRecord],
        *,
        chunk: int = 10**9,
        ids: Identities | None = None,
        damaged: Collection[Source] = (),
    ) -> None:
        """Read `records`, `chunk` at a time; of partitions in `damaged`, single records cannot be read."""
        self._damaged = damaged
        self._ids = ids or {}
        self._chunk = chunk
        self._logs: dict[Source, list[OutputRecord]] = {
            (topic, number): [] for topic in (TAGGED, SESSIONS) for number in range(PARTITIONS)
        }
        for record in records:
            self._logs[record.topic, record.partition].append(record)
        self._records = records
        self._left: list[OutputRecord] = []
        self._back: dict[Source, int] = {}  # held back, from these offsets on
        self._positions: dict[Source, int] = {}
        self._changes: list[Assigned | Revoked] = [Assigned(frozenset(range(PARTITIONS)))]
        self._begun = False
        self.closed = False

    def begin(self, starts: Mapping[Source, int]) -> None:
        self._back.clear()
        self._positions.clear()
        self._left = [record for record in self._records if record.offset >= starts.get(record[:2], 0)]
        self._begun = True

    def poll(self, records_max: int, timeout_s: float) -> Sequence[OutputRecord]:
        if not self._begun:
            return []
        count = min(records_max, self._chunk)
        reading = [record for record in self._left if (record.topic, record.partition) not in self._back]
        taken = reading[:count]
        self._left = [record for record in self._left if record not in taken]
        for record in taken:
            self._positions[record.topic, record.partition] = record.offset + 1
        if len(taken) == len(reading):
            self._positions.update({source: end for source, end in self.ends().items() if source not in self._back})
        return taken

    def hold_back(self, source: Source, offset: int) -> None:
        self._back[source] = self._positions[source] = offset

    def go_on(self, source: Source) -> None:
        offset = self._back.pop(source)
        again = [record for record in self._logs[source] if record.offset >= offset]
        self._left = [record for record in self._left if (record.topic, record.partition) != source] + again

    def unreadable(self) -> Sequence[Standstill]:
        return ()

    def assignments(self) -> Sequence[Assigned | Revoked]:
        changes, self._changes = self._changes, []
        return changes

    def positions(self) -> Mapping[Source, int]:
        return dict(self._positions)

    def ends(self) -> Mapping[Source, int]:
        return {source: log[-1].offset + 2 if log else 0 for source, log in self._logs.items()}

    def identities(self) -> Identities:
        return {"cluster": "c1", "tagged": "t1", "sessions": "s1", **self._ids}

    def read(self, places: Iterable[Place]) -> Read:
        wanted = frozenset(places)
        found = [record for log in self._logs.values() for record in log if record[:3] in wanted]
        return Read(
            [record for record in found if record[:2] not in self._damaged],
            [Standstill(*r[:3], Cause.UNREADABLE, "it is damaged", "mend it") for r in found if r[:2] in self._damaged],
        )

    def stored(self, offsets: Mapping[Source, int]) -> None:
        pass

    def close(self) -> None:
        self.closed = True
