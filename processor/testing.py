"""The fakes we ship: a log in memory with transactions and failures, a clock that stands still."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from processor.codec.headers import Headers
from processor.codec.isotime import wall_ms
from processor.errors import A3CPError, Aborted, BrokerUnavailable, OutcomeUnknown
from processor.runtime.growing import Grown, moves
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import Assigned, Output, RawRecord, Revoked, StateChunk


class ManualClock:
    """A clock that shows what it is set to."""

    def __init__(self, now_ms: int = 1_750_000_000_000) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        """Return the time it was set to, ms."""
        return self.time_ms

    def monotonic_s(self) -> float:
        """Return the same time in seconds."""
        return self.time_ms / 1000


class RunningClock(ManualClock):
    """A clock that shows the machine's time, and can be set ahead as well."""

    def __init__(self) -> None:
        super().__init__(wall_ms())
        self._begun_s = time.monotonic()

    def now_ms(self) -> int:
        """Return the time, ms."""
        return self.time_ms + int((time.monotonic() - self._begun_s) * 1000)

    def monotonic_s(self) -> float:
        """Return the same time in seconds."""
        return self.now_ms() / 1000


class MemoryRecord(NamedTuple):
    """A record in memory, with the methods of `RawRecord`."""

    number: int
    position: int
    raw_key: bytes | None
    raw_value: bytes | None
    append_ms: int
    raw_headers: Headers | None = None

    def partition(self) -> int:
        """Return its partition."""
        return self.number

    def offset(self) -> int:
        """Return its offset."""
        return self.position

    def key(self) -> bytes | None:
        """Return its key."""
        return self.raw_key

    def value(self) -> bytes | None:
        """Return its value."""
        return self.raw_value

    def timestamp(self) -> tuple[int, int]:
        """Return the kind LogAppendTime and the append time, ms."""
        return 2, self.append_ms

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        """Return its headers."""
        return self.raw_headers


class MemoryBroker:
    """Topics, committed offsets and one consumer group in memory; what several `MemoryLog`s share."""

    def __init__(self, clock: ManualClock, *, partitions: int = 4) -> None:
        self.clock = clock
        self.partitions = partitions
        self.topics: dict[str, list[list[MemoryRecord]]] = defaultdict(lambda: [[] for _ in range(self.partitions)])
        self.committed: dict[int, int] = defaultdict(int)
        self.grown: dict[int, list[Grown]] = defaultdict(list)
        self.hidden: dict[int, int] = {}  # raw partition -> first offset that an open transaction hides from readers
        self.generation = 0
        self._members: list[object] = []
        self._owners: dict[int, object] = {}

    def append(self, output: Output) -> None:
        """Append a record, with the clock's time as append time."""
        topic, value, key, partition, headers = output
        log = self.topics[topic][partition]
        log.append(MemoryRecord(partition, len(log), key, value, self.clock.now_ms(), headers))

    def produce(self, topic: str, user_id: str, value: bytes | None, *, partition: int | None = None) -> None:
        """Append a record under a user's key, in the user's partition unless another is given."""
        key = user_id.encode()
        right = partition_of(key, self.partitions) if partition is None else partition
        self.append((topic, value, key, right, None))

    def values(self, topic: str) -> list[bytes | None]:
        """Return all values of a topic, partition after partition, in offset order."""
        return [record.raw_value for log in self.topics[topic] for record in log]

    def grow(self, partitions: int, *, state: str) -> None:
        """Give all topics more partitions, and move the states, as `a3cp topics grow` does; nobody is in the group."""
        assert not self._members
        outputs: list[Output] = []
        for partition, log in enumerate(self.topics[state]):
            latest = {record.raw_key or b"": record.raw_value for record in log}
            states = {key: value for key, value in latest.items() if value is not None}
            outputs += moves(state, partition, states, partitions)
        before, self.partitions = self.partitions, partitions
        for logs in self.topics.values():
            logs.extend([] for _ in range(before, partitions))
        for partition in range(partitions):
            self.grown[partition].append(Grown(before, self.committed[partition]))
        for output in outputs:
            self.append(output)

    def join(self, member: object) -> None:
        """Let `member` into the group: a new generation begins."""
        if member not in self._members:
            self._members.append(member)
            self.generation += 1

    def remove(self, member: object) -> None:
        """Take `member` out of the group, as when its heartbeats fail to come; its partitions are free at once."""
        if member in self._members:
            self._members.remove(member)
            self._owners = {partition: owner for partition, owner in self._owners.items() if owner is not member}
            self.generation += 1

    def has(self, member: object) -> bool:
        """Whether `member` is in the group."""
        return member in self._members

    def settle(self, member: object) -> frozenset[int]:
        """Return what `member` owns from now on: it gives up what others should have, and takes what is free for it."""
        place, members = self._members.index(member), len(self._members)
        wanted = {partition for partition in range(self.partitions) if partition % members == place}
        for partition, owner in list(self._owners.items()):
            if owner is member and partition not in wanted:
                del self._owners[partition]
        for partition in wanted:
            self._owners.setdefault(partition, member)
        return frozenset(partition for partition, owner in self._owners.items() if owner is member)


class MemoryProducer:
    """Appends to the raw topic of a `MemoryBroker` as a client does; what is sent while the broker is away fails."""

    def __init__(self, broker: MemoryBroker, topic: str, *, then: Callable[[], None] = lambda: None) -> None:
        """Append to `topic` of `broker`; `then` is called after each record."""
        self.is_away = False
        self._broker = broker
        self._topic = topic
        self._then = then
        self._lock = threading.Lock()

    def send(
        self,
        value: bytes,
        key: bytes | None,
        *,
        headers: Headers | None = None,
        on_done: Callable[[A3CPError | None], None] | None = None,
    ) -> int:
        """Append a record in its key's partition, call back at once, and return the partition.

        Raises:
            BrokerUnavailable: the broker is away.
        """
        if self.is_away:
            raise BrokerUnavailable("no broker answers")
        partition = partition_of(value if key is None else key, self._broker.partitions)
        with self._lock:
            self._broker.append((self._topic, value, key, partition, headers))
        if on_done is not None:
            on_done(None)
        self._then()
        return partition

    def waiting(self, timeout_s: float = 0) -> int:
        """Return 0: nothing waits here."""
        del timeout_s
        return 0

    def flush(self) -> None:
        """Nothing waits here."""

    def give_up(self) -> None:
        """Nothing waits here."""


class Fault(Enum):
    """What goes wrong with a commit."""

    OUTDATED = "the group has moved on, and the transaction is aborted"
    LOST = "the transaction is aborted, but that is not known"
    UNHEARD = "the transaction is committed, but the answer does not come"


class MemoryLog:
    """The `Log` port in memory, one member of its broker's group; `faults` says which commits (from 0) fail and how."""

    def __init__(
        self, broker: MemoryBroker, *, raw: str, state: str, faults: Mapping[int, Fault] | None = None
    ) -> None:
        self._broker = broker
        self._raw = raw
        self._state = state
        self._faults = dict(faults or {})
        self._commits = 0
        self._open: list[Output] = []
        self._owned: frozenset[int] = frozenset()
        self._positions: dict[int, int] = {}  # of the owned partitions
        self._batch: dict[int, int] = {}  # partition -> where the batch that is not committed yet began
        self._reassigned: list[Assigned | Revoked] = []
        self._to_restore: set[int] = set()
        self._held: set[int] = set()
        self._generation = -1
        self.closed = False
        broker.join(self)
        self._settle()

    def poll(self, records_max: int, timeout_s: float) -> Sequence[RawRecord]:
        """See `Log.poll`; never waits."""
        del timeout_s
        self._settle()
        records: list[MemoryRecord] = []
        for partition, position in self._positions.items():
            if partition not in self._to_restore and partition not in self._held:
                log = self._broker.topics[self._raw][partition]
                end = self._broker.hidden.get(partition, len(log))
                records += log[position : min(end, position + records_max - len(records))]
        for record in records:
            self._batch.setdefault(record.number, record.position)
            self._positions[record.number] = record.position + 1
        return records

    def assignments(self) -> Sequence[Assigned | Revoked]:
        """See `Log.assignments`."""
        told, self._reassigned = self._reassigned, []
        return told

    def restore(self, timeout_s: float) -> Iterable[StateChunk]:
        """See `Log.restore`: one chunk a partition."""
        del timeout_s
        chunks = []
        for partition in sorted(self._to_restore):
            records = [
                (record.raw_key or b"", record.raw_value) for record in self._broker.topics[self._state][partition]
            ]
            chunks.append(StateChunk(partition, records, finished=True))
        self._to_restore.clear()
        return chunks

    def hold_back(self, partition: int, offset: int) -> None:
        """See `Log.hold_back`."""
        self._held.add(partition)
        self._positions[partition] = offset

    def go_on(self, partition: int) -> None:
        """See `Log.go_on`."""
        self._held.discard(partition)

    def caught_up(self, partition: int) -> bool:
        """See `Log.caught_up`."""
        return self.lag().get(partition) == 0

    def lag(self) -> Mapping[int, int]:
        """See `Log.lag`."""
        topic = self._broker.topics[self._raw]
        return {partition: len(topic[partition]) - position for partition, position in self._positions.items()}

    def now_ms(self) -> int:
        """See `Log.now_ms`."""
        assert not self._open, "a transaction is open"
        return self._broker.clock.now_ms()

    def send(self, outputs: Sequence[Output]) -> None:
        """See `Log.send`."""
        self._open += outputs

    def commit(self) -> None:
        """See `Log.commit`; refused when the group has another generation than when the batch was polled."""
        fault = self._faults.get(self._commits)
        self._commits += 1
        if self._generation != self._broker.generation or fault is Fault.OUTDATED:
            self._open = []
            self._positions.update(self._batch)
            self._batch = {}
            raise Aborted(f"commit {self._commits - 1}: the group has moved on")
        if fault is not Fault.LOST:
            for output in self._open:
                self._broker.append(output)
            self._broker.committed.update(self._positions)
            self._open, self._batch = [], {}
        if fault is not None:
            raise OutcomeUnknown(f"commit {self._commits - 1}: {fault.value}")

    def settle(self) -> None:
        """See `Log.settle`; there are no markers here."""

    def recover(self) -> None:
        """See `Log.recover`."""
        self._open, self._batch = [], {}
        self._settle()
        self._take(self._owned)

    def close(self) -> None:
        """See `Log.close`."""
        self._open = []
        self._broker.remove(self)
        self.closed = True

    def _settle(self) -> None:
        """Follow the group: a rebalance is noticed here, and nowhere else."""
        if self._generation != self._broker.generation and not self._broker.has(self):
            self._give(self._owned, lost=True)
            self._broker.join(self)
        owned = self._broker.settle(self)
        self._generation = self._broker.generation
        if gone := self._owned - owned:
            self._give(gone, lost=False)
        if new := owned - self._owned:
            self._take(new)

    def _take(self, partitions: frozenset[int]) -> None:
        self._owned |= partitions
        self._held -= partitions
        self._to_restore |= partitions
        self._positions.update({partition: self._broker.committed[partition] for partition in partitions})
        self._reassigned.append(Assigned(partitions))

    def _give(self, partitions: frozenset[int], *, lost: bool) -> None:
        self._owned -= partitions
        self._held -= partitions
        self._to_restore -= partitions
        for partition in partitions:
            del self._positions[partition]
        self._reassigned.append(Revoked(partitions, lost))
