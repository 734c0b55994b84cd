"""Partitions that wait for the schema registry: each is held back at a record, and the others go on.

A question can take seconds. So threads ask, before a batch is written, and again later for what has no answer.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, TypeAlias

from processor.runtime.ports import Cause, Clock
from processor.runtime.questions import Questions
from processor.sessions.ports import Source
from processor.sessions.projection.decoding import RecordWaits, schema_header
from processor.sessions.projection.feed import Feed, OutputRecord, Standstill

ANSWERED_MAX: Final = 10_000  # schemas that are known to be known

_Need: TypeAlias = tuple[str, bytes]
"""What a record needs: its topic, and the header that names its schema in the registry."""


class Waiting:
    """Knows which schemas have no answer yet, and which partitions are held back for them; used by one thread."""

    def __init__(
        self,
        read: Callable[[OutputRecord], object],
        clock: Clock,
        *,
        start: Callable[[Callable[[], None]], object],
    ) -> None:
        """Ask by `read`, which reads a record and raises RegistryUnavailable when no answer comes.

        `start` runs a function in a thread.
        """
        self._samples: dict[_Need, OutputRecord] = {}  # a record of each need that is not answered
        self._questions: Questions[_Need] = Questions(lambda need: read(self._samples[need]), clock, start=start)
        self._answered: set[_Need] = set()
        self._held: dict[Source, OutputRecord] = {}  # where each partition is held back

    def forget(self) -> None:
        """Forget what is held back: the partitions are assigned anew."""
        self._held.clear()

    def standing(self) -> list[Standstill]:
        """Return where each partition waits, and why; one whose question has no answer yet is not among them."""
        return [
            Standstill(*record[:3], Cause.REGISTRY, error.what, error.remedy)
            for record in self._held.values()
            if (error := self._questions.failure(_need(record))) is not None
        ]

    def readable(self, records: Sequence[OutputRecord]) -> Sequence[OutputRecord]:
        """Return those of `records` whose schema is known; what is not known is asked for."""
        lacking = self._ask(records)
        return [record for record in records if _need(record) not in lacking] if lacking else records

    def ready(self, feed: Feed, records: Sequence[OutputRecord]) -> Sequence[OutputRecord]:
        """Return what can be read now of each partition; hold it back at its first record that cannot be."""
        lacking = self._ask(records)
        if not lacking and not self._held:
            return records
        ready = []
        for record in records:
            source = record.topic, record.partition
            if source not in self._held and _need(record) in lacking:
                self._held[source] = record
                feed.hold_back(source, record.offset)
            if source not in self._held or record.offset < self._held[source].offset:
                ready.append(record)
        return ready

    def failed(self, records: Iterable[OutputRecord], error: RecordWaits) -> None:
        """Take note that the one of `records` that `error` names cannot be read after all: its schema was forgotten."""
        (record,) = (record for record in records if record[:3] == error.place)
        need = _need(record)
        assert need[1]
        self._answered.discard(need)
        self._samples[need] = record
        self._questions.fail(need, error)

    def look(self, feed: Feed) -> None:
        """Let go on what has its answer; ask again, when it is time, for what has none."""
        if not self._held:
            return
        self._take_answers()
        for source, record in list(self._held.items()):
            if _need(record) in self._answered:
                del self._held[source]
                feed.go_on(source)
        self._questions.ask({_need(record) for record in self._held.values()})

    def _ask(self, records: Iterable[OutputRecord]) -> Collection[_Need]:
        """Return the needs of `records` that have no answer, once the registry was asked for a moment."""
        framed = {_need(record): record for record in records if record.value and record.value[0] == 0}
        lacking = {need: record for need, record in framed.items() if need[1] and need not in self._answered}
        if not lacking:
            return ()
        self._samples.update(lacking)
        self._questions.ask(lacking)
        self._questions.wait([need for need in lacking if self._questions.failure(need) is None])
        self._take_answers()
        return lacking.keys() - self._answered

    def _take_answers(self) -> None:
        for need in self._questions.answered({_need(record) for record in self._held.values()}):
            if len(self._answered) >= ANSWERED_MAX:
                self._answered.clear()
            self._answered.add(need)
            self._samples.pop(need, None)


def _need(record: OutputRecord) -> _Need:
    return record.topic, schema_header(record)
