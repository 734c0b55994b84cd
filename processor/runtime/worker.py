"""The loop: poll, process, commit, or throw away and restore. Control flow only; no session rules."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import methodcaller
from typing import Final, Protocol

from processor.errors import Aborted, BrokerUnavailable, OutcomeUnknown, OwnershipLost, RegistryUnavailable
from processor.runtime.asking import Asking
from processor.runtime.backoff import backoff_s
from processor.runtime.brokertime import BrokerTime
from processor.runtime.ports import LOG_APPEND_TIME, Cause, Clock, Log, RawRecord, Revoked
from processor.runtime.tally import Tally
from processor.runtime.task import Task

_BATCH_RECORDS_FIRST: Final = 5_000
_BATCH_RECORDS_LEAST: Final = 1
_TURN_LONG_S: Final = 3.0  # Far below the transaction time-out, which would undo the batch.
_TURN_SHORT_S: Final = 1.0  # A larger batch writes fewer states a message.
_CHUNK_RECORDS: Final = 1_000  # processed before their outputs are handed to the producer, which sends them meanwhile
_PARTITION: Final = methodcaller("partition")
_RESTORE_SLICE_S: Final = 0.05
_ASSIGNED_WITHIN_S: Final = 0.1  # Ten looks a second: that costs a worker without partitions little.
_TIME_ASKED_EVERY_S: Final = 600.0  # The monotonic clock of a machine that sleeps stands still.
_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_MAX_S: Final = 3.0  # Meanwhile a rebalance waits for us, and so do the partitions of a dead member.
_CALM_S: Final = 60.0  # without a failure for so long, the next one counts as the first


class Observer(Protocol):
    """Is told how the worker is doing: for metrics, health and the log."""

    def beat(self) -> None: ...
    def assigned(self, partitions: Iterable[int]) -> None: ...
    def revoked(self, partitions: Iterable[int], lost: bool) -> None: ...
    def restoring(self, partition: int, records: int, finished: bool) -> None: ...
    def holds(self, partition: int, task: Task) -> None: ...
    def begun(self, records: Sequence[RawRecord]) -> None: ...
    def committed(self, tallies: dict[int, Tally], records: int, commit_s: float, tasks: dict[int, Task]) -> None: ...
    def lagging(self, lag: dict[int, int]) -> None: ...
    def failed(self, error: Exception, backoff_s: float) -> None: ...
    def waiting(
        self, partition: int, cause: Cause, why: str | None, *, position: str = "", remedy: str = ""
    ) -> None: ...


class Worker:
    """Runs the tasks of the partitions that this member owns.

    One turn polls, processes what came, punctuates partitions that are caught up, and commits all of it in one
    transaction.
    """

    def __init__(
        self,
        log: Log,
        task_of: Callable[[int], Task],
        clock: Clock,
        observer: Observer,
        *,
        batch_records_max: int,
        punctuate_ms: int,
        sleep: Callable[[float], object],
        asking: Asking | None = None,
    ) -> None:
        assert batch_records_max > 0
        assert punctuate_ms > 0
        self._log = log
        self._asking = asking
        self._task_of = task_of
        self._clock = clock
        self._observer = observer
        self._batch_records_max = batch_records_max
        self._batch_records = min(_BATCH_RECORDS_FIRST, batch_records_max)
        self._punctuate_ms = punctuate_ms
        self._sleep = sleep
        self._tasks: dict[int, Task] = {}
        self._restoring: dict[int, tuple[Task, int]] = {}  # partition -> task, records so far
        self._time = BrokerTime(clock.monotonic_s)
        self._time_asked_s: float | None = None
        self._punctuated_s = clock.monotonic_s()
        self._begun_s: float | None = None  # when the batch that is not committed yet was begun
        self._failures = 0
        self._failed_s = 0.0
        self._recovering = False
        self._stopping = False

    @property
    def tasks(self) -> dict[int, Task]:
        """The restored tasks by partition."""
        return self._tasks

    def stop(self) -> None:
        """Make `run` return after the turn it is in; safe to call from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Take turns until stopped.

        Raises:
            Fatal: going on would risk the guarantees.
        """
        try:
            while not self._stopping:
                self.step()
        finally:
            self._log.close()

    def step(self) -> None:
        """Take a turn; if the turn before failed, recover first. An error that can be overcome is not raised."""
        try:
            if self._recovering:
                self._observer.beat()
                self._log.recover()
                self._recovering = False
            self.turn()
        except Aborted as error:
            self._take_fewer_if_it_took_long()
            self._undo(error)
        except (OutcomeUnknown, OwnershipLost, BrokerUnavailable, RegistryUnavailable) as error:
            self._take_fewer_if_it_took_long()
            self._recovering = True
            self._forget(error)

    def turn(self) -> None:
        """Take one turn: at most one transaction."""
        self._observer.beat()
        self._follow_assignment()
        if self._restoring:
            self._restore()
        if self._tasks:
            self._ask_the_time()
        if self._asking is not None:
            self._asking.look()
        # The log may be given partitions in the middle of a poll, and goes on to wait for records.
        timeout_s = 0.0 if self._restoring else self._punctuate_ms / 1000 if self._tasks else _ASSIGNED_WITHIN_S
        records = self._log.poll(self._batch_records, timeout_s)
        self._follow_assignment()
        if self._asking is not None and records:
            records = self._asking.ready(records)
        self._begun_s = begun_s = self._clock.monotonic_s()
        touched = self._process(records) if records else set()
        now_s = self._clock.monotonic_s()
        if now_s - self._punctuated_s >= self._punctuate_ms / 1000:
            self._punctuated_s = now_s
            touched |= self._punctuate()
            self._observer.lagging(dict(self._log.lag()))
            if not (records or touched):
                self._log.settle()
        if records or touched:
            self._commit(touched, len(records))
            self._adapt(len(records), self._clock.monotonic_s() - begun_s)
        self._begun_s = None

    def _ask_the_time(self) -> None:
        """Ask for the broker's time, once and then rarely: without records, no append time says it."""
        now_s = self._clock.monotonic_s()
        if self._time_asked_s is None or now_s - self._time_asked_s >= _TIME_ASKED_EVERY_S:
            self._time.saw(self._log.now_ms())
            self._time_asked_s = now_s

    def _adapt(self, records: int, turn_s: float) -> None:
        """Take more records at a time when full batches are done quickly, fewer when they take long (design §6)."""
        if turn_s > _TURN_LONG_S:
            self._batch_records = max(_BATCH_RECORDS_LEAST, self._batch_records // 2)
        elif turn_s < _TURN_SHORT_S and records >= self._batch_records:
            self._batch_records = min(self._batch_records_max, self._batch_records * 2)

    def _take_fewer_if_it_took_long(self) -> None:
        """Make the next batch smaller if the failed one took long: with the same size it would fail again."""
        if self._begun_s is not None:
            self._adapt(0, self._clock.monotonic_s() - self._begun_s)
            self._begun_s = None

    def _process(self, records: Sequence[RawRecord]) -> set[int]:
        touched = set()
        self._observer.begun(records)
        kind, append_ms = records[-1].timestamp()
        if kind == LOG_APPEND_TIME:
            self._time.saw(append_ms)
        for start in range(0, len(records), _CHUNK_RECORDS):
            chunk = records[start : start + _CHUNK_RECORDS]
            for partition, run in groupby(chunk, _PARTITION):
                self._log.send(self._tasks[partition].process(run))
                touched.add(partition)
        return touched

    def _punctuate(self) -> set[int]:
        touched = set()
        for partition, task in self._tasks.items():
            if self._log.caught_up(partition):
                outputs = task.punctuate(self._time.now_ms())
                if outputs or task.dirty:
                    self._log.send(outputs)
                    touched.add(partition)
                if task.lacks_events and self._asking is not None:
                    self._asking.events_wanted(partition)
        return touched

    def _commit(self, touched: set[int], records: int) -> None:
        for partition in touched:
            self._log.send(self._tasks[partition].state_records())
        begun_s = self._clock.monotonic_s()
        self._log.commit()
        commit_s = self._clock.monotonic_s() - begun_s
        tallies = {partition: self._tasks[partition].committed() for partition in touched}
        self._observer.committed(tallies, records, commit_s, self._tasks)

    def _follow_assignment(self) -> None:
        for change in self._log.assignments():
            if self._asking is not None:
                self._asking.forget(change.partitions)
            for partition in change.partitions:
                self._tasks.pop(partition, None)
                self._restoring.pop(partition, None)
            if isinstance(change, Revoked):
                self._observer.revoked(change.partitions, change.lost)
            else:
                self._observer.assigned(change.partitions)
                for partition in change.partitions:
                    self._restoring[partition] = (self._task_of(partition), 0)

    def _restore(self) -> None:
        for chunk in self._log.restore(_RESTORE_SLICE_S):
            task, count = self._restoring[chunk.partition]
            task.restore(chunk.records)
            count += len(chunk.records)
            self._restoring[chunk.partition] = (task, count)
            if chunk.finished:
                task.restored()
                self._tasks[chunk.partition] = task
                del self._restoring[chunk.partition]
            self._observer.restoring(chunk.partition, count, chunk.finished)
            if chunk.finished:
                self._observer.holds(chunk.partition, task)

    def _undo(self, error: Aborted) -> None:
        """Undo the batch in memory, as in the log. It is polled again where the partitions are still ours."""
        self._observer.failed(error, 0.0)
        for task in self._tasks.values():
            task.aborted()
        if self._asking is not None:
            self._asking.let_go()

    def _forget(self, error: Exception) -> None:
        """Throw away what is in memory, and wait a little: only the log knows what was committed."""
        now_s = self._clock.monotonic_s()
        if now_s - self._failed_s > _CALM_S:
            self._failures = 0
        self._failed_s = now_s
        self._failures += 1
        wait_s = backoff_s(self._failures, first_s=_BACKOFF_FIRST_S, max_s=_BACKOFF_MAX_S)
        self._observer.failed(error, wait_s)
        self._tasks.clear()
        self._restoring.clear()
        self._sleep(wait_s)
