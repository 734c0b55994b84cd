"""Asks the schema registry for what polled records need, before their transaction begins and outside of the loop.

A question can take seconds, and may never be answered. So threads ask, and the loop goes on: a partition is held back
at its first record whose schema is still unknown, and read again from there once the answer has come. What is before
that record, and the other partitions, go on meanwhile.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from processor.codec.schema import EVENTS, Schemas
from processor.errors import RegistryUnavailable
from processor.runtime.backoff import backoff_s
from processor.runtime.ports import Cause, Clock, Log, RawRecord

PATIENCE_S: Final = 0.5  # of the loop, for answers to a batch; usually they take some ms
THREADS_MAX: Final = 8
QUESTIONS_MAX: Final = 1_000  # that wait to be asked
_AGAIN_FIRST_S: Final = 1.0
_AGAIN_MAX_S: Final = 30.0


class AskingObserver(Protocol):
    """Whoever wants to know what waits for the registry."""

    def waiting(
        self, partition: int, cause: Cause, why: str | None, *, position: str = "", remedy: str = ""
    ) -> None: ...


class _Failure(NamedTuple):
    """A question to which no answer came."""

    error: RegistryUnavailable
    tries: int
    again_s: float


class Asking:
    """Knows what waits for the registry; its methods are called by the loop's thread, between transactions."""

    def __init__(
        self,
        schemas: Schemas,
        log: Log,
        observer: AskingObserver,
        clock: Clock,
        *,
        raw: str,
        start: Callable[[Callable[[], None]], object],
    ) -> None:
        """Ask for `schemas`; `raw` names the topic of the records, `start` runs a function in a thread of its own."""
        self._schemas = schemas
        self._log = log
        self._observer = observer
        self._clock = clock
        self._raw = raw
        self._start = start
        self._waits: dict[int, tuple[bytes, int]] = {}  # partition -> what its record needs, the record's offset
        self._silent: set[int] = set()  # partitions whose sessions cannot be ended by the clock
        self._failures: dict[bytes, _Failure] = {}
        self._changed = threading.Condition()  # holds what the threads share: all below
        self._queue: deque[bytes] = deque()
        self._open: set[bytes] = set()  # questions in the queue or being asked
        self._answers: dict[bytes, Exception | None] = {}
        self._threads = 0

    def ready(self, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        """Return those of `records` that can be processed now; hold each partition back at its first that cannot."""
        lacking = self._schemas.lacking(records)
        if not lacking:
            return records
        self._ask([*lacking, EVENTS])  # What is known soon causes events.
        with self._changed:
            self._changed.wait_for(lambda: self._open.isdisjoint(lacking), PATIENCE_S)
        self._take_answers()
        ready = []
        for record in records:
            partition = record.partition()
            if partition in self._waits:
                continue
            need = self._schemas.lacking((record,))
            if need:
                self._waits[partition] = (need[0], record.offset())
                self._log.hold_back(partition, record.offset())
            else:
                ready.append(record)
        self.look()
        return ready

    def look(self) -> None:
        """Let go on what has its answer; ask again, after a while, for what has none."""
        if not self._waits and not self._silent:
            return
        self._take_answers()
        for partition, (need, offset) in list(self._waits.items()):
            if not self._schemas.lacks(need):
                self.forget((partition,))
                self._log.go_on(partition)
            else:
                self._insist(partition, need, f"{self._raw}[{partition}]@{offset}")
        for partition in self._silent - self._waits.keys():
            if not self._schemas.lacks(EVENTS):
                self.forget((partition,))
            else:
                self._insist(partition, EVENTS, "")

    def events_wanted(self, partition: int) -> None:
        """Take note that sessions of `partition` have ended, which cannot be told before the registry has answered."""
        self._silent.add(partition)

    def let_go(self) -> None:
        """Let all that waits be polled again: a batch was undone, so more of it comes again."""
        for partition in list(self._waits):
            self.forget((partition,))
            self._log.go_on(partition)

    def forget(self, partitions: Iterable[int]) -> None:
        """Forget what waits in `partitions`: it waits no longer, or is read by another worker, or anew."""
        for partition in partitions:
            self._waits.pop(partition, None)
            self._silent.discard(partition)
            self._observer.waiting(partition, Cause.REGISTRY, None)

    def _insist(self, partition: int, need: bytes, position: str) -> None:
        """Tell why `need` has no answer yet, and ask for it if it is time."""
        failure = self._failures.get(need)
        if failure is not None:
            error = failure.error
            self._observer.waiting(partition, Cause.REGISTRY, error.what, position=position, remedy=error.remedy)
        if failure is None or self._clock.monotonic_s() >= failure.again_s:
            self._ask([need])

    def _ask(self, needs: Sequence[bytes]) -> None:
        """Put the questions that are not open yet into the queue, as many as it takes."""
        now_s = self._clock.monotonic_s()
        with self._changed:
            for need in needs:
                failure = self._failures.get(need)
                is_early = failure is not None and now_s < failure.again_s
                if is_early or need in self._open or not self._schemas.lacks(need):
                    continue
                if len(self._queue) >= QUESTIONS_MAX:
                    break
                self._open.add(need)
                self._queue.append(need)
            threads = min(THREADS_MAX, len(self._queue)) - self._threads
            self._threads += max(0, threads)
        for _ in range(threads):
            self._start(self._work)

    def _work(self) -> None:
        """Ask what is in the queue; a thread's work."""
        while True:
            with self._changed:
                if not self._queue:
                    self._threads -= 1
                    return
                need = self._queue.popleft()
            error: Exception | None = None
            try:
                self._schemas.ask(need)
            except Exception as raised:  # The loop raises it, unless it only says that there is no answer.
                error = raised
            with self._changed:
                self._open.discard(need)
                self._answers[need] = error
                if error is not None:  # Others would fare no better; what waits is asked for again.
                    self._open.difference_update(self._queue)
                    self._queue.clear()
                self._changed.notify_all()

    def _take_answers(self) -> None:
        with self._changed:
            answers, self._answers = self._answers, {}
        now_s = self._clock.monotonic_s()
        for need, error in answers.items():
            if error is None:
                self._failures.pop(need, None)
            elif isinstance(error, RegistryUnavailable):
                tries = self._failures[need].tries + 1 if need in self._failures else 1
                again_s = now_s + backoff_s(tries, first_s=_AGAIN_FIRST_S, max_s=_AGAIN_MAX_S)
                self._failures[need] = _Failure(error, tries, again_s)
            else:
                raise error
        if len(self._failures) > QUESTIONS_MAX:
            waited = {need for need, _ in self._waits.values()} | {EVENTS}
            self._failures = {need: failure for need, failure in self._failures.items() if need in waited}
