"""What the outbox needs of the outside: a producer to send with, and whoever is told how it stands."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from processor.codec.headers import Headers
from processor.errors import A3CPError

OnDone: TypeAlias = Callable[[A3CPError | None], None]
"""Called once a record is delivered (None) or was not (why)."""


class RawProducer(Protocol):
    """Who appends to the raw topic: `RecordProducer`, or memory."""

    def send(
        self, value: bytes, key: bytes | None, *, headers: Headers | None = None, on_done: OnDone | None = None
    ) -> int:
        """Queue a record, and return its partition. See `RecordProducer.send`."""

    def waiting(self, timeout_s: float = 0) -> int:
        """Return how many records are not delivered yet. See `RecordProducer.waiting`."""

    def flush(self) -> None:
        """Wait until all records are delivered or have failed. See `RecordProducer.flush`."""

    def give_up(self) -> None:
        """Try no longer to deliver what is not acknowledged. See `RecordProducer.give_up`."""


class Kept(NamedTuple):
    """A record that waits in the outbox."""

    seq: int  # its place in the order of all
    key: bytes
    record_id: str | None
    value: bytes
    kept_ms: int  # since when it waits, ms since the epoch
    trace: Headers | None = None  # the headers that say its trace


class Stock(NamedTuple):
    """What is in the outbox."""

    records: int = 0
    size_bytes: int = 0
    oldest_ms: int | None = None  # since when the oldest waits
    refused: int = 0  # records that Kafka has refused, set aside


class Watcher(Protocol):
    """Hears how the outbox stands. One thread calls it, and does not wait for it long."""

    def damaged(self, where: str) -> None:
        """Take note that the file was damaged, and is at `where` now."""

    def opened(self, why: A3CPError) -> None:
        """Take note that records wait from now on."""

    def emptied(self, sent: int, refused: int, seconds: float) -> None:
        """Take note that nothing waits any more."""

    def refused(self, why: A3CPError) -> None:
        """Take note that Kafka refuses a record, which was set aside."""

    def sent(self, count: int) -> None:
        """Take note that records that had waited were sent."""

    def holds(self, records: int, size_bytes: int, oldest_ms: int | None) -> None:
        """Take note of what is in it, and since when the oldest record waits."""

    def troubled(self, why: A3CPError) -> None:
        """Take note that the file cannot be written at the moment."""
