"""Partitions that wait for the schema registry: each is held back at a record, and the others go on."""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from processor.errors import RegistryUnavailable
from processor.runtime.ports import Cause
from processor.sessions.decoding import RecordWaits, schema_header
from processor.sessions.ports import Feed, OutputRecord, Source, Standing

AGAIN_MIN_S: Final = 1.0  # before the registry is asked again; twice as long each time
AGAIN_MAX_S: Final = 30.0

_Need: TypeAlias = tuple[str, bytes]
"""What a record waits for: its topic, and the header that names its schema."""


class Waiting:
    """Knows which partitions are held back, and tries their records again; used by one thread."""

    def __init__(self, read: Callable[[OutputRecord], object]) -> None:
        """`read` reads a record; it raises `RegistryUnavailable` as long as there is no answer."""
        self._read = read
        self._records: dict[Source, OutputRecord] = {}  # where each waits; what was tried last comes last
        self._errors: dict[_Need, RegistryUnavailable] = {}
        self._pause_s = AGAIN_MIN_S
        self._again_at_s = 0.0

    def forget(self) -> None:
        """Forget all: the partitions are assigned anew."""
        self._records.clear()
        self._errors.clear()
        self._pause_s = AGAIN_MIN_S

    def standing(self) -> list[Standing]:
        """Return where each partition waits, and why."""
        told = []
        for record in self._records.values():
            error = self._errors[_need(record)]
            told.append(Standing(*record[:3], Cause.REGISTRY, error.what, error.remedy))
        return told

    def ready(self, feed: Feed, records: Sequence[OutputRecord]) -> Sequence[OutputRecord]:
        """Return those of `records` that wait for nothing known; hold each partition back at its first that does."""
        if not self._records:
            return records
        ready = []
        for record in records:
            if _need(record) in self._errors:
                self._hold(feed, record)
            waits = self._records.get((record.topic, record.partition))
            if waits is None or record.offset < waits.offset:
                ready.append(record)
        return ready

    def hold_back(self, feed: Feed, records: Sequence[OutputRecord], error: RecordWaits) -> None:
        """Hold a partition back at the one of `records` that `error` names."""
        (record,) = (record for record in records if record[:3] == error.place)
        if not self._records:
            self._again_at_s = time.monotonic() + self._pause_s
        self._errors[_need(record)] = error
        self._hold(feed, record)

    def look(self, feed: Feed) -> None:
        """Try a record again, if it is time; when it can be read, all that wait for the same schema go on.

        One record at a time: a question takes seconds when the registry is slow, and all else waits meanwhile.
        """
        if not self._records or time.monotonic() < self._again_at_s:
            return
        tried = next(iter(self._records.values()))
        need = _need(tried)
        alike = [source for source, record in self._records.items() if _need(record) == need]
        try:
            self._read(tried)
        except RegistryUnavailable as error:
            self._errors[need] = error
            for source in alike:
                self._records[source] = self._records.pop(source)
            self._pause_s = min(2 * self._pause_s, AGAIN_MAX_S)
        else:
            del self._errors[need]
            for source in alike:
                del self._records[source]
                feed.go_on(source)
            self._pause_s = AGAIN_MIN_S
        self._again_at_s = time.monotonic() + self._pause_s

    def _hold(self, feed: Feed, record: OutputRecord) -> None:
        source = record.topic, record.partition
        if source not in self._records:
            self._records[source] = record
            feed.hold_back(source, record.offset)


def _need(record: OutputRecord) -> _Need:
    return record.topic, schema_header(record)
