"""The outside world as the runtime sees it: as few methods as will do."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

from processor.codec.headers import Headers

LOG_APPEND_TIME: Final = 2
"""The kind of a record's timestamp that the broker gave it."""

Output: TypeAlias = tuple[str, bytes | None, bytes | None, int, Headers | None]
"""A record to be produced: topic, value, key, partition, headers. A plain tuple: one is made for every message."""


class RawRecord(Protocol):
    """A record of `a3cp.raw`. A Kafka client's own message object fits, so nothing is converted."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...

    def timestamp(self) -> tuple[int, int]:
        """Return the timestamp's kind and its value, ms. In `a3cp.raw` it is the append time."""

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


class TopicRecord(NamedTuple):
    """A committed record of any topic, as it was read."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def position(self) -> str:
        """Where it is, such as a3cp.raw[1]@1042."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Assigned(NamedTuple):
    """This member owns the partitions from now on."""

    partitions: frozenset[int]


class Revoked(NamedTuple):
    """This member does not own the partitions any more. `lost`: another member may own them already."""

    partitions: frozenset[int]
    lost: bool


class StateChunk(NamedTuple):
    """A part of a partition's state: keys and encoded states in the order of the log, None deletes."""

    partition: int
    records: Sequence[tuple[bytes, bytes | None]]
    finished: bool


class Cause(StrEnum):
    """What a partition waits for while it stands still; the word is the label of a metric."""

    OPEN_TRANSACTION = "open_transaction"
    UNREADABLE = "unreadable"
    REGISTRY = "registry"
    OFFSETS = "offsets"
    TOPIC = "topic"
    PARTITIONS = "partitions"


class Alarm(StrEnum):
    """Why somebody must look at a partition, which goes on meanwhile; the word is the label of a metric."""

    LOST_INPUT = "lost_input"
    LATE_BEGINNING = "late_beginning"
    OFFSETS_SET = "offsets_set"
    ANOTHER_GROUP = "another_group"


class LogObserver(Protocol):
    """Is told what a log meets."""

    def slot(self, slot: int) -> None:
        """The member runs in another slot from now on."""

    def broker(self, why: str | None) -> None:
        """No broker answers, and why. `why` is None once one answers again."""

    def stuck(self, where: str) -> None:
        """A restore stands still; `where` says which one and how far it is."""

    def waiting(self, partition: int, cause: Cause, why: str | None, *, position: str = "", remedy: str = "") -> None:
        """A partition stands still, and why. `why` is None once it goes on. It may be called again with the same.

        Args:
            partition: which; cause: what it waits for; why: the same for people, with the figures.
            position: the first record that waits, `topic[partition]@offset`; remedy: what to do.
        """

    def alarm(self, partition: int, alarm: Alarm, why: str, *, remedy: str, lost: int = 0) -> None:
        """Somebody must look at a partition, which goes on meanwhile. The alarm lasts while this member owns it.

        Args:
            partition: which; alarm: what it is; why: the same for people; remedy: what to do.
            lost: how many more offsets are lost than the alarm said before.
        """


class Log(Protocol):
    """The input, the outputs and the transaction that holds both.

    Every method raises `OutcomeUnknown` when a transaction's fate is not known, `OwnershipLost` when this member was
    fenced, `BrokerUnavailable` when no broker answers, `Fatal` when going on is not safe.
    """

    def poll(self, records_max: int, timeout_s: float) -> Sequence[RawRecord]:
        """Return the next records of restored partitions, in offset order of each; empty after `timeout_s`.

        Changes of assignment happen in here and are told by `assignments`; none happens while a transaction is open.
        """

    def assignments(self) -> Sequence[Assigned | Revoked]:
        """Return the changes of assignment since the last call, oldest first."""

    def restore(self, timeout_s: float) -> Iterable[StateChunk]:
        """Return those states of assigned partitions that came within `timeout_s`.

        A partition whose last chunk (`finished`) was returned is read by `poll` from then on.
        """

    def hold_back(self, partition: int, offset: int) -> None:
        """Take back what was polled of `partition` from `offset` on; `poll` returns it again after `go_on`.

        Only between `poll` and `send`. What was polled before `offset` counts.
        """

    def go_on(self, partition: int) -> None:
        """Read `partition` again from where it was held back. It does nothing if the partition is not held back."""

    def caught_up(self, partition: int) -> bool:
        """Whether all of the partition was returned by `poll`, and nothing waits behind an open transaction."""

    def lag(self) -> Mapping[int, int]:
        """Return how many offsets are left in each restored partition, those of open transactions included."""

    def now_ms(self) -> int:
        """Return what the broker's clock shows, ms since the epoch. Only between transactions."""

    def send(self, outputs: Sequence[Output]) -> None:
        """Produce `outputs` in the open transaction. If there is none, open one."""

    def commit(self) -> None:
        """Commit what was sent and the position of all that was polled, or raise.

        Raises:
            Aborted: the group has changed. `poll` returns the batch again, without partitions that others own now.
        """

    def settle(self) -> None:
        """Commit positions that moved on without a record, such as past transaction markers.

        It is called again and again while nothing is polled or sent, and commits rarely.
        """

    def recover(self) -> None:
        """Abort whatever is open, become usable again, and go back to the committed positions.

        Then `assignments` returns all partitions as newly assigned, to be restored.
        """

    def close(self) -> None:
        """Leave the group and let go of everything; an open transaction is aborted."""


class Clock(Protocol):
    """The passing of time. The machine's date is not asked for: it may be wrong, and may jump."""

    def monotonic_s(self) -> float:
        """Return seconds since some moment, for measuring how long something takes."""
