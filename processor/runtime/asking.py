"""Asks the schema registry for the schemas of polled records, before their transaction begins and outside of the loop.

A question can take seconds, and may never be answered. So threads ask, and the loop goes on: a partition is held back
at its first record whose schema is still unknown, and read again from there once the answer has come. What is before
that record, and the other partitions, go on meanwhile.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from processor.codec.schema import EVENTS, Schemas
from processor.runtime.ports import Cause, Clock, Log, RawRecord
from processor.runtime.questions import PATIENCE_S, Questions


class AskingObserver(Protocol):
    """Is told which partitions wait for the registry."""

    def waiting(
        self, partition: int, cause: Cause, why: str | None, *, position: str = "", remedy: str = ""
    ) -> None: ...


class Asking:
    """Holds back partitions whose next record needs an unknown schema. Used by the loop's thread."""

    def __init__(
        self,
        schemas: Schemas,
        log: Log,
        observer: AskingObserver,
        clock: Clock,
        *,
        raw: str,
        start: Callable[[Callable[[], None]], object],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Ask for `schemas`; `raw` names the topic of the records. For `start` and `patience_s` see `Questions`."""
        self._schemas = schemas
        self._log = log
        self._observer = observer
        self._raw = raw
        self._waits: dict[int, tuple[bytes, int]] = {}  # partition -> what its record needs, the record's offset
        self._silent: set[int] = set()  # partitions whose sessions cannot be ended by the clock
        self._questions: Questions[bytes] = Questions(schemas.ask, clock, start=start, patience_s=patience_s)

    def ready(self, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        """Return the records that can be processed now. A partition is held back at its first record that cannot."""
        lacking = self._schemas.lacking(records)
        if not lacking:
            return records
        self._ask([*lacking, EVENTS])  # What is known soon causes events.
        self._questions.wait(lacking)
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
        """Let partitions go on whose schema is known now; ask for the others again when it is time."""
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
        """Note that `partition` has ended sessions whose events wait for a schema of the registry."""
        self._silent.add(partition)

    def let_go(self) -> None:
        """Let all partitions go on: a batch was undone, and its records are polled again."""
        for partition in list(self._waits):
            self.forget((partition,))
            self._log.go_on(partition)

    def forget(self, partitions: Iterable[int]) -> None:
        """Forget what waits in `partitions`."""
        for partition in partitions:
            self._waits.pop(partition, None)
            self._silent.discard(partition)
            self._observer.waiting(partition, Cause.REGISTRY, None)

    def _insist(self, partition: int, need: bytes, position: str) -> None:
        """Report why `need` has no answer yet, and ask for it if it is time."""
        failure = self._questions.failure(need)
        if failure is not None:
            self._observer.waiting(partition, Cause.REGISTRY, failure.what, position=position, remedy=failure.remedy)
        self._ask([need])

    def _ask(self, needs: Iterable[bytes]) -> None:
        self._questions.ask(need for need in needs if self._schemas.lacks(need))

    def _take_answers(self) -> None:
        self._questions.answered({EVENTS, *(need for need, _ in self._waits.values())})
