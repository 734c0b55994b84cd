"""The port of the output topics: what an exporter reads, and how it follows them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from processor.runtime.identities import Identities
from processor.runtime.ports import Assigned, Cause, Revoked
from processor.sessions.ports import Place, Source


class OutputRecord(NamedTuple):
    """A record of one of the two topics."""

    topic: str  # TAGGED or SESSIONS
    partition: int
    offset: int
    append_ms: int
    value: bytes | None
    traceparent: str | None = None  # names the trace that it belongs to


class Standstill(NamedTuple):
    """A partition that stands still at a record; what is behind it is not read meanwhile."""

    topic: str  # TAGGED or SESSIONS
    partition: int
    offset: int
    cause: Cause
    why: str
    remedy: str


class Read(NamedTuple):
    """What was found at some places."""

    records: Sequence[OutputRecord]
    unreadable: Sequence[Standstill] = ()  # batches that cannot be read; what is behind them was not looked for


class Feed(Protocol):
    """The two topics as a member of the exporters' group reads them: committed records only.

    Every method raises `BrokerUnavailable` when no broker answers and `OwnershipLost` when the group goes on without
    this member; then it is closed and another one made.
    """

    def poll(self, records_max: int, timeout_s: float) -> Sequence[OutputRecord]:
        """Return the next records of the assigned partitions, in the order of each; empty after `timeout_s`.

        Changes of assignment happen in here and are told by `assignments`.
        """

    def assignments(self) -> Sequence[Assigned | Revoked]:
        """Return the changes of assignment since the last call. A partition's number stands for it in both topics.

        What was assigned is read after `begin`.
        """

    def begin(self, starts: Mapping[Source, int]) -> None:
        """Read all that is assigned, each partition from its offset in `starts`, else from its beginning."""

    def positions(self) -> Mapping[Source, int]:
        """Return the next offset of each assigned partition that was polled or found to be at its end."""

    def hold_back(self, source: Source, offset: int) -> None:
        """Read no more of `source`, whose position is `offset` from now on, until `go_on` or an assignment."""

    def go_on(self, source: Source) -> None:
        """Read `source` again, from where it was held back."""

    def unreadable(self) -> Sequence[Standstill]:
        """Return where partitions stand still since a batch cannot be read. They are tried again without being told."""

    def ends(self) -> Mapping[Source, int]:
        """Return where every partition of both topics ends now, for a reader of committed records."""

    def identities(self) -> Identities:
        """Return the ids of the cluster and, by their names, of the two topics, as they are now."""

    def read(self, places: Iterable[Place]) -> Read:
        """Return the records at `places`, as far as they are still there and can be read; it moves no position."""

    def stored(self, offsets: Mapping[Source, int]) -> None:
        """Take note that the store holds everything before `offsets`; only for those who look at the group's lag."""

    def close(self) -> None:
        """Leave the group."""
