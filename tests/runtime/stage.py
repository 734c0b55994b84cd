"""A stage for workers without a broker: one `MemoryBroker`, a clock, and as many workers as a test wants."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from processor.codec import Codec
from processor.core.model import Rules
from processor.runtime.ports import Cause, RawRecord
from processor.runtime.tally import Tally
from processor.runtime.task import Task
from processor.runtime.worker import Worker
from processor.settings.model import TopicNames
from processor.testing import Fault, ManualClock, MemoryBroker, MemoryLog
from tests.broker.audit import Audit, audit, make_codec, read_memory
from tests.broker.fleet import BASE_MS, day, message

NAMES = TopicNames("a3cp.raw", "a3cp.tagged", "a3cp.sessions", "a3cp.state", "a3cp.dlq")
RULES = Rules(gap_ms=60_000, max_session_ms=600_000, pause_ms=120_000, late_horizon_ms=3_600_000, quiet_ms=1_000)
PARTITIONS = 4
STEPS_MAX = 10_000
CODEC = make_codec()


class Told:
    """Remembers what the worker told its observer."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.tallies: list[Tally] = []
        self.restored: list[int] = []
        self.records = 0
        self.waits: dict[tuple[int, Cause], tuple[str, str, str]] = {}  # position, why, remedy

    def beat(self) -> None: ...

    def assigned(self, partitions: Iterable[int]) -> None: ...

    def revoked(self, partitions: Iterable[int], lost: bool) -> None: ...

    def restoring(self, partition: int, records: int, finished: bool) -> None:
        if finished:
            self.restored.append(partition)

    def holds(self, partition: int, task: Task) -> None: ...

    def begun(self, records: Sequence[RawRecord]) -> None: ...

    def committed(self, tallies: dict[int, Tally], records: int, commit_s: float, tasks: dict[int, Task]) -> None:
        self.tallies += tallies.values()
        self.records += records

    def lagging(self, lag: dict[int, int]) -> None: ...

    def failed(self, error: Exception, backoff_s: float) -> None:
        self.failures.append(error)

    def waiting(self, partition: int, cause: Cause, why: str | None, *, position: str = "", remedy: str = "") -> None:
        if why is None:
            self.waits.pop((partition, cause), None)
        else:
            self.waits[partition, cause] = (position, why, remedy)


class Member:
    """One worker and its log."""

    def __init__(self, stage: "Stage", log: MemoryLog, batch_records_max: int) -> None:
        self.log = log
        self.told = Told()
        self.worker = Worker(
            self.log,
            stage.task,
            stage.clock,
            self.told,
            batch_records_max=batch_records_max,
            punctuate_ms=100,
            sleep=lambda _: None,
        )

    @property
    def done(self) -> bool:
        """Whether it has read all that there is, of all that it owns."""
        lag = self.log.lag()
        return set(self.worker.tasks) == set(lag) and not any(lag.values())

    def finish(self) -> "Member":
        """Take steps until done."""
        for _ in range(STEPS_MAX):
            self.worker.step()
            if self.done:
                return self
        raise AssertionError("it does not come to an end")


class Stage:
    """A broker in memory with the raw topic of one test."""

    def __init__(
        self,
        rules: Rules = RULES,
        *,
        codec: Codec = CODEC,
        clock: ManualClock | None = None,
        log_type: type[MemoryLog] = MemoryLog,
        **limits: Any,
    ) -> None:
        self.rules = rules
        self.codec = codec
        self.clock = clock or ManualClock(BASE_MS)
        self.broker = MemoryBroker(self.clock, partitions=PARTITIONS)
        self.limits = {"record_bytes_max": 2 << 20, **limits}
        self._log_type = log_type
        self._number = 0

    def task(self, partition: int) -> Task:
        """Return a new task."""
        return Task(partition, self.broker.partitions, codec=self.codec, rules=self.rules, topics=NAMES, **self.limits)

    def member(self, faults: Mapping[int, Fault] | None = None, *, batch_records_max: int = 1_000) -> Member:
        """Join with one more worker."""
        log = self._log_type(self.broker, raw=NAMES.raw, state=NAMES.state, faults=faults)
        return Member(self, log, batch_records_max)

    def grow(self, partitions: int) -> None:
        """Give the topics more partitions; nobody may be in the group."""
        self.broker.grow(partitions, state=NAMES.state)

    def say(self, user_id: str, at_ms: int = 0, **more: Any) -> bytes:
        """Append a user's message, `at_ms` after the stage's beginning; return its bytes."""
        self._number += 1
        value = message(user_id, BASE_MS + at_ms, number=self._number, **more)
        self.broker.produce(NAMES.raw, user_id, value)
        return value

    def send(self, partition: int, value: bytes | None, key: bytes | None = None, headers: Any = None) -> None:
        """Append any record."""
        self.broker.append((NAMES.raw, value, key, partition, headers))

    def views(self, topic: str) -> list[Any]:
        """Return the tagged messages or the events, partition after partition."""
        decode = self.codec.decode_tagged if topic == NAMES.tagged else self.codec.decode_event
        return [decode(value) for value in self.broker.values(topic) if value is not None]

    def kinds(self) -> list[str]:
        """Return the kinds of all events."""
        return [view.kind for view in self.views(NAMES.sessions)]

    def dead(self) -> list[tuple[bytes | None, dict[str, str]]]:
        """Return value and headers of all dead letters."""
        rows = [row for rows in read_memory(self.broker, NAMES).dlq for row in rows]
        return [(row.value, {name: content.decode() for name, content in row.headers}) for row in rows]

    def audit(self, *, clocked: bool = False) -> Audit:
        """Prove that all was processed exactly once."""
        return audit(
            read_memory(self.broker, NAMES), self.rules, names=NAMES, clocked=clocked, now_ms=self.clock.now_ms()
        )


def grown(seed: int) -> Stage:
    """Return a stage that was given more partitions twice, between parts of a lively day: open sessions moved."""
    stage = Stage()
    for turn, partitions in enumerate((8, 16, None)):
        fill(stage, 150, 100 * turn + seed)
        stage.member(batch_records_max=10).finish().log.close()
        if partitions is not None:
            stage.grow(partitions)
    return stage


def fill(stage: Stage, count: int, seed: int = 1) -> None:
    """Append a lively day, some of it misplaced and some of it broken."""
    for number, (user, value) in enumerate(day(seed, count, 9, gap_ms=RULES.gap_ms)):
        if number % 29 == 28:
            stage.send(number % PARTITIONS, b"{broken")
        elif number % 23 == 22:
            stage.send(number % PARTITIONS, value)
        else:
            stage.broker.produce(NAMES.raw, user, value)
