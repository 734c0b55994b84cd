"""Tells metrics, health and the log what the worker is doing."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from processor.core.model import Ended, Paused, Reopened, Resumed, Started, odd_words
from processor.errors import Aborted
from processor.observe.health import Health
from processor.observe.metrics import Metrics
from processor.runtime.ports import Alarm, Cause, RawRecord
from processor.runtime.tally import BOUNDARIES_MAX, Tally
from processor.runtime.task import Task
from processor.upstream.words.counting import counted

if TYPE_CHECKING:
    from processor.observe.spans import RecordSpans  # Of an extra that few have.

_STUCK_AFTER_S: Final = 60.0
_TOLD_AGAIN_S: Final = 60.0


@dataclass(slots=True)
class _Wait:
    """A stand-still that was told."""

    partition: int
    cause: Cause
    since_s: float
    why: str = ""
    position: str = ""
    remedy: str = ""
    told_s: float | None = None


class WorkerObserver:
    """The `Observer` of a worker on Kafka."""

    def __init__(
        self,
        metrics: Metrics,
        health: Health,
        log: FilteringBoundLogger,
        *,
        raw: str,
        spans: "RecordSpans | None" = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic_s = monotonic_s
        self._spans = spans
        self._metrics = metrics
        self._health = health
        self._log = self._unbound = log
        self._raw = raw
        self._moved_s: dict[int, float] = {}  # when a partition last made progress, or had nothing to do
        self._restoring_since_s: dict[int, float] = {}
        self._odd_told: set[str] = set()  # reasons for which messages did not conform
        self._away: str | None = None
        self._away_told_s = 0.0
        self._waits: dict[tuple[int, Cause], _Wait] = {}

    def beat(self) -> None:
        """The loop took a turn."""
        self._health.beat()
        for wait in self._waits.values():
            self._tell(wait)
        if self._away is not None and self._monotonic_s() - self._away_told_s >= _TOLD_AGAIN_S:
            self._tell_away()

    def slot(self, slot: int) -> None:
        """The worker runs in `slot` from now on: each line says so, since several workers write into one log."""
        self._log = self._unbound.bind(slot=slot)

    def started(self, partitions: int, group_id: str) -> None:
        """The worker is about to join its group."""
        self._log.info("started", operation="start", partitions=partitions, group=group_id)

    def stopped(self) -> None:
        """The worker has come to its end in good order."""
        self._log.info("stopped", operation="stop")

    def broker(self, why: str | None) -> None:
        """No broker answers, or one does (None); only what is new is told, and once a minute that it is still so."""
        if why == self._away:
            return
        self._away = why
        self._health.away(why)
        if why is None:
            self._log.info("the broker answers again", operation="poll")
        else:
            self._tell_away()

    def _tell_away(self) -> None:
        self._away_told_s = self._monotonic_s()
        self._log.warning("no broker answers", operation="poll", reason=self._away)

    def assigned(self, partitions: Iterable[int]) -> None:
        """Partitions came; their states are to be restored."""
        numbers = sorted(partitions)
        self._metrics.assigned(numbers)
        self._health.assigned(numbers)
        for partition in numbers:
            self._restoring_since_s[partition] = self._moved_s[partition] = self._monotonic_s()
        self._log.info("assigned", operation="rebalance", partitions=numbers)

    def revoked(self, partitions: Iterable[int], lost: bool) -> None:
        """Partitions went."""
        numbers = sorted(partitions)
        self._metrics.revoked(numbers, lost)
        self._health.revoked(numbers)
        for partition in numbers:
            self._moved_s.pop(partition, None)
            self._restoring_since_s.pop(partition, None)
        self._waits = {place: wait for place, wait in self._waits.items() if place[0] not in numbers}
        self._log.info("lost" if lost else "revoked", operation="rebalance", partitions=numbers)

    def restoring(self, partition: int, records: int, finished: bool) -> None:
        """A part of a partition's state was read."""
        self._metrics.restoring(partition, records, finished)
        if finished:
            self._health.restored(partition)
            now_s = self._monotonic_s()
            seconds = now_s - self._restoring_since_s.pop(partition, now_s)
            self._moved_s[partition] = now_s
            self._log.info(
                "restored", operation="restore", partition=partition, records=records, seconds=round(seconds, 3)
            )

    def holds(self, partition: int, task: Task) -> None:
        """What is remembered of a partition, once it is restored and after each commit."""
        self._metrics.holds(partition, users=task.users, open_sessions=task.open_sessions, unix_s=time.time())

    def stuck(self, where: str) -> None:
        """A restore stands still, though the broker answers."""
        self._log.warning(
            "a restore stands still",
            operation="restore",
            where=where,
            see="docs/operations.md, 'A transaction that hangs'",
        )

    def waiting(self, partition: int, cause: Cause, why: str | None, *, position: str = "", remedy: str = "") -> None:
        """See `processor.runtime.ports.LogObserver.waiting`; told at once, and again each minute."""
        wait = self._waits.get((partition, cause))
        if why is None and wait is None:
            return
        self._metrics.waiting(partition, cause.value, why is not None)
        if why is None:
            del self._waits[partition, cause]
            self._health.waiting(partition, cause.value, None)
            self._moved_s[partition] = self._monotonic_s()
            self._log.info("goes on", operation="wait", partition=partition, cause=cause.value)
            return
        if wait is None:
            wait = self._waits[partition, cause] = _Wait(partition, cause, self._monotonic_s())
        wait.why, wait.position, wait.remedy = why, position, remedy
        at = f"{self._raw}[{partition}] waits" + (f" at {position}" if position else "")
        self._health.waiting(partition, cause.value, f"{at}: {why}" + (f"; {remedy}" if remedy else ""))
        self._tell(wait)

    def alarm(self, partition: int, alarm: Alarm, why: str, *, remedy: str, lost: int = 0) -> None:
        """See `processor.runtime.ports.LogObserver.alarm`."""
        told = f"{self._raw}[{partition}]: {why}"
        self._metrics.alarm(partition, alarm.value)
        self._metrics.lost(lost)
        self._health.warn(partition, alarm.value, f"{told}; {remedy}")
        self._log.error(told, operation="begin", partition=partition, alarm=alarm.value, remedy=remedy)

    def _tell(self, wait: "_Wait") -> None:
        now_s = self._monotonic_s()
        if wait.told_s is None or now_s - wait.told_s >= _TOLD_AGAIN_S:
            wait.told_s = now_s
            tell = self._log.error if wait.cause is Cause.UNREADABLE else self._log.warning  # No time mends the former.
            tell(
                "stands still", operation="wait", partition=wait.partition, cause=wait.cause.value,
                position=wait.position, reason=wait.why, remedy=wait.remedy, seconds=round(now_s - wait.since_s),
            )  # fmt: skip

    def begun(self, records: Sequence[RawRecord]) -> None:
        """A batch was polled, and is processed from now on."""
        if self._spans is not None:
            self._spans.begun(records)

    def committed(self, tallies: dict[int, Tally], records: int, commit_s: float, tasks: dict[int, Task]) -> None:
        """A transaction was committed."""
        metrics = self._metrics
        metrics.committed(records, commit_s)
        if self._spans is not None:
            self._spans.committed(commit_s)
        now_s = self._monotonic_s()
        for partition, tally in tallies.items():
            metrics.count(tally)
            self.holds(partition, tasks[partition])
            self._moved_s[partition] = now_s
            self._tell_boundaries(partition, tally)
            if tally.repeated:
                self._log.warning(
                    "records came again and were skipped: the states hold them already",
                    operation="process",
                    partition=partition,
                    records=tally.repeated,
                    up_to=f"{self._raw}[{partition}]@{tally.repeated_offset}",
                    see="docs/operations.md, 'Input that comes again'",
                )
            self._tell_oddities(tally)
            if tally.dead:
                self._log.warning(
                    "records went to the dead letters",
                    operation="process",
                    partition=partition,
                    stages=dict(tally.dead),
                )

    def _tell_oddities(self, tally: Tally) -> None:
        """Log a reason for which messages do not conform when it is met first; how often it is, the metric counts."""
        words = {word for odd in tally.odd for word in odd_words(odd)} - self._odd_told
        if words:
            self._odd_told |= words
            self._log.warning(
                "messages do not conform",
                operation="process",
                reasons=sorted(words),
                see="a3cp_messages_nonconforming_total counts them by reason",
            )

    def _tell_boundaries(self, partition: int, tally: Tally) -> None:
        """Log what began and ended, one by one unless it is very much."""
        tell = self._log.debug if self._log.is_enabled_for(logging.DEBUG) else self._log.info  # There ids are in clear.
        for user_id, event in tally.boundaries:
            told = {"session_id": event.session_id, "user_id": user_id, "partition": partition}
            match event:
                case Started():
                    tell("session started", operation="session", **told, reason=event.reason.value)
                case Ended():
                    reason, count, length_ms = event.reason.value, event.messages, event.end_ms - event.start_ms
                    tell(
                        "session ended",
                        operation="session",
                        **told,
                        reason=reason,
                        messages=count,
                        duration_ms=length_ms,
                    )
                case Paused() | Resumed() | Reopened():
                    tell(f"session {type(event).__name__.lower()}", operation="session", **told)
        if len(tally.boundaries) == BOUNDARIES_MAX:
            tell(
                "more boundaries than are told one by one", operation="session", partition=partition,
                started=tally.started.total(), ended=tally.ended.total(),
            )  # fmt: skip

    def lagging(self, lag: dict[int, int]) -> None:
        """How far each partition is behind."""
        now_s = self._monotonic_s()
        for partition, offsets in lag.items():
            self._metrics.lag(partition, offsets)
            if offsets == 0 or partition in self._restoring_since_s or self._is_waiting(partition):
                self._moved_s[partition] = now_s
            still_s = now_s - self._moved_s.get(partition, now_s)
            if still_s > _STUCK_AFTER_S:
                self._health.stuck(
                    partition, f"{self._raw}[{partition}]", f"{counted(offsets, 'offset')} behind for {still_s:.0f} s"
                )
            else:
                self._health.unstuck(partition)

    def _is_waiting(self, partition: int) -> bool:
        return any(place[0] == partition for place in self._waits)

    def failed(self, error: Exception, backoff_s: float) -> None:
        """A turn failed; what it did is undone and tried again."""
        self._metrics.aborted()
        if self._spans is not None:
            self._spans.undone(str(error))
        if isinstance(error, Aborted):  # All that was restored still stands.
            self._log.info("batch undone", operation="commit", reason=str(error))
            return
        self._health.assigned(self._moved_s)  # They are restored anew, and not tagged until then.
        self._log.warning(
            "starting again from the log", operation="recover", error=type(error).__name__, reason=str(error),
            backoff_s=backoff_s,
        )  # fmt: skip
