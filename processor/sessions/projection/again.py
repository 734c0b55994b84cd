"""Reads what was set aside once more: what can be read now comes into its session."""

from hashlib import sha256
from itertools import islice
from typing import Final, NamedTuple

from processor.runtime.ports import Clock
from processor.sessions.ports import SessionReader
from processor.sessions.projection.decoding import RecordWaits
from processor.sessions.projection.feed import Feed
from processor.sessions.projection.materializer import Materializer
from processor.sessions.projection.waiting import Waiting

AGAIN_RECORDS: Final = 2_500  # read again in one transaction
AGAIN_MIN_S: Final = 10.0  # before all that is set aside is read again; twice as long each time
AGAIN_MAX_S: Final = 600.0


class ReadAgain(NamedTuple):
    """How many of the records that were set aside could be read now, and how many still wait."""

    written: int = 0
    waiting: int = 0  # still in the topics, but not to be read


class Again:
    """Knows when it is time to read again."""

    def __init__(self, store: SessionReader, materializer: Materializer, waiting: Waiting, clock: Clock) -> None:
        self._store = store
        self._materializer = materializer
        self._waiting = waiting
        self._clock = clock
        self._pause_s = AGAIN_MIN_S / 2
        self._due_s = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return self._clock.monotonic_s() > self._due_s

    def soon(self) -> None:
        """Take note that something was set aside just now."""
        self._pause_s = AGAIN_MIN_S
        self._due_s = self._clock.monotonic_s() + AGAIN_MIN_S

    def read(self, feed: Feed) -> ReadAgain:
        """Read all that is set aside; what the schema registry does not answer for waits, and all else goes on."""
        written = waiting = 0
        aside = self._store.unreadable()
        while rows := {row.place: row.content_hash for row in islice(aside, AGAIN_RECORDS)}:
            found = feed.read(rows)
            records = [record for record in found.records if sha256(record.value or b"").digest() == rows[record[:3]]]
            while True:
                readable = self._waiting.readable(records)
                try:
                    applied = self._materializer.apply_again(readable)
                    break
                except RecordWaits as error:  # Each time one schema less is left.
                    self._waiting.failed(readable, error)
            written += applied.messages + applied.events
            waiting += len(records) - len(readable) + applied.unreadable
        self._pause_s = AGAIN_MIN_S if written else min(2 * self._pause_s, AGAIN_MAX_S)
        self._due_s = self._clock.monotonic_s() + self._pause_s
        return ReadAgain(written, waiting)
