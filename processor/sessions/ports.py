"""The ports of the store: what is read, written, exported and removed. That of the output topics is in feed.py."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol, TypeAlias

from processor.runtime.identities import Identities
from processor.sessions.model import EventRow, MessageRow, SessionRow, TextRow, UnreadableRow

TAGGED: Final = "tagged"
SESSIONS: Final = "sessions"

BEGUN: Final = "begun"
ROWS: Final = "parquet"
SEALED: Final = "sealed"
"""How names of targets end that hold no bundles; what is before the last blank is the root."""

Source: TypeAlias = tuple[str, int]
"""A partition that is followed: `TAGGED` or `SESSIONS`, and its number."""


Place: TypeAlias = tuple[str, int, int]
"""Where a record is: a source and an offset in it."""


class Rows(NamedTuple):
    """What records say, as rows."""

    messages: list[MessageRow]
    events: list[EventRow]
    texts: list[TextRow]
    unreadable: list[UnreadableRow]


class SessionFilter(NamedTuple):
    """Which sessions are wanted; None and 0 let all pass.

    It has one meaning in two places: `sessions.filtering.passes` for a row, `store.filtering` for a query.
    """

    owner: str | None = None  # the person whose they are, in whichever lanes
    since_ms: int | None = None  # started then or later
    until_ms: int | None = None  # started before then
    notices: int = 0  # at least one of these bits of `Notice`
    status: str | None = None  # active, paused or closed; or the value of a `Status`
    session_id: str | None = None
    ended: bool = False  # those that are partial or complete
    template: str | None = None
    tag: str | None = None  # one of its tags
    phase: str | None = None
    min_duration_ms: int | None = None  # so long or longer, pauses included, up to its latest activity
    has_notes: bool | None = None
    owners: frozenset[str] | None = None  # the persons whose sessions may be seen at all
    session_ids: frozenset[str] | None = None  # those alone, as a search has found them


EVERYTHING: Final = SessionFilter()

Cursor: TypeAlias = tuple[int, str]
"""Where a page of sessions ended: start, ms, and id of its last one."""


class Snapshot(NamedTuple):
    """Sessions, and how far the store was read into it when they were as they are here."""

    offsets: Mapping[Source, int]  # next offset of each partition
    rows: Sequence[SessionRow]
    removed: frozenset[str] = frozenset()  # of the ids that were asked for: those of sessions that were removed


class Found(NamedTuple):
    """A text that matches a search."""

    session_id: str | None
    user_id: str
    at_ms: int
    expressed_by: str  # the value of a `Voice`
    place: str
    text: str


class Gone(NamedTuple):
    """Which rows are to go: all of a user's, or those of sessions that ended long ago."""

    user_id: str | None = None  # a person: their lanes go too
    ended_before_ms: int | None = None  # sessions that ended before; what is in none and has an older time or arrival


class Removed(NamedTuple):
    """What was removed, or would be."""

    sessions: Sequence[tuple[str, int, int | None]]  # id, start and end, oldest start first
    messages: int
    without_session: int  # of the messages
    events: int
    texts: int


class Totals(NamedTuple):
    """How much a store holds."""

    sessions: Mapping[str, int]  # by `Status`
    messages: int
    without_session: int
    events: int
    unreadable: int


class Transaction(Protocol):
    """What is written at once. What belongs to a session that was removed for its age is left out."""

    last_removal: str | None
    """A word that each `Removal.remove` makes anew: when it is another one, what was known of sessions is void."""

    def add(self, new: Rows) -> None:
        """Insert rows."""

    def sessions_of(self, session_ids: Sequence[str]) -> Mapping[str, SessionRow]:
        """Return those of `session_ids` that are held."""

    def hashes(self, session_id: str) -> Iterable[tuple[int, bytes]]:
        """Return `seq` and `content_hash` of each message of a session, in the order of the log."""

    def event_values(self, session_id: str) -> Iterable[bytes]:
        """Return the `value` of each event of a session, in the order of the log."""

    def put(self, sessions: Sequence[SessionRow], counted: Sequence[SessionRow], known: Mapping[str, int]) -> None:
        """Write sessions as they are now: `sessions` whole, of `counted` only what messages change.

        `known`: by id, the `SessionRow.changes` that the store must hold; 0: nothing.

        Raises:
            StoreMoved: it holds others. Another exporter reads the partition that a user of this one came from, or
                went to (docs/adr/0031).
        """


class SessionReader(Protocol):
    """What is held, to be read. Any number of threads may use it at once, also while an exporter writes."""

    def offsets(self) -> Mapping[Source, int]:
        """Return the next offset of each partition that was read."""

    def sessions(
        self, wanted: SessionFilter, *, limit: int, skip: int = 0, after: Cursor | None = None
    ) -> Sequence[SessionRow]:
        """Return the sessions that pass, newest start first; with `after`, those that follow it in that order."""

    def page(self, wanted: SessionFilter, *, limit: int, skip: int = 0, after: Cursor | None = None) -> Snapshot:
        """Return what `sessions` does, with the offsets, both as of one moment."""

    def held(self, session_ids: Sequence[str]) -> Snapshot:
        """Return those of `session_ids` that are held, in no order, with the offsets, both as of one moment."""

    def counted(self, wanted: SessionFilter, session_ids: Sequence[str]) -> tuple[int, Snapshot]:
        """Return what `count` and `held` do, both as of one moment."""

    def sessions_beginning(self, beginning: str, *, limit: int) -> Sequence[SessionRow]:
        """Return sessions whose id begins so, in order of their ids."""

    def count(self, wanted: SessionFilter) -> int:
        """Return how many sessions pass."""

    def messages(self, session_id: str, *, after_seq: int = 0, count_max: int | None = None) -> Iterator[MessageRow]:
        """Yield a session's messages in order of `seq`, those behind `after_seq`, reading some at a time."""

    def without_session(self, user_id: str | None = None) -> Iterator[MessageRow]:
        """Yield the messages that belong to no session, in the order of the log."""

    def events(self, session_id: str, *, count_max: int | None = None) -> Iterator[EventRow]:
        """Yield a session's events in the order of the log."""

    def unreadable(self) -> Iterator[UnreadableRow]:
        """Yield the records that could not be read."""

    def was_read_by(self, reader: str) -> bool:
        """Whether `reader` alone, as `SessionWriter.note_reader` knows it, has made all that is held."""

    def removed_of(self, session_ids: Sequence[str]) -> frozenset[str]:
        """Return those of `session_ids` that were removed, for their age or with their person."""

    def search(
        self, words: str, wanted: SessionFilter = EVERYTHING, *, limit: int, expressed_by: str | None = None
    ) -> Sequence[Found]:
        """Return texts that hold all of `words`, latest first, of sessions that pass `wanted`.

        What is in no session is found too, when `wanted` asks for no more than owners. With `expressed_by` only what
        somebody said whom that word means.
        """

    def totals(self) -> Totals:
        """Return how much is held."""

    def users(self) -> Iterator[str]:
        """Yield the ids of persons who have a session, or a message in none; some more than once."""


class SessionWriter(Protocol):
    """How an exporter writes what it reads, and knows how far it is; used by one thread."""

    def follow(self, topics: str) -> None:
        """Take note that this store holds what is in `topics`.

        Raises:
            UsageError: it holds what is in others.
        """

    def recognise(self, identities: Identities) -> None:
        """Take note of the ids of the cluster and the topics that this store is filled from; see `Feed.identities`.

        Raises:
            UsageError: it was filled from another cluster, or from topics of these names that were deleted since.
        """

    def note_reader(self, reader: str) -> bool:
        """Take note that `reader` makes the rows from now on; return whether it has made all that there are."""

    def offsets(self) -> Mapping[Source, int]:
        """Return the next offset of each partition that was read."""

    def last_records(self) -> Mapping[Source, tuple[int, int]]:
        """Return the offset of the last record that is held of each partition, and when that was appended."""

    def transaction(self, offsets: Mapping[Source, tuple[int | None, int]]) -> AbstractContextManager[Transaction]:
        """Begin to write; what follows is written whole when the `with` ends, and not at all when that raises.

        Args:
            offsets: by partition, what the store must hold (None: nothing yet) and what it holds then.

        Raises:
            StoreMoved: the offsets are not those expected, or rows are there already; nothing is written.
        """

    def correction(self, places: Sequence[Place]) -> AbstractContextManager[Transaction]:
        """Begin to write records that were set aside and can be read now, as `transaction` does; no offset moves.

        Args:
            places: those records, which count as set aside no longer.

        Raises:
            StoreMoved: another exporter was first; nothing is written.
        """


class ExportLedger(Protocol):
    """Which sessions were exported to which target, and in which state."""

    def unexported(
        self, target: str, wanted: SessionFilter, *, limit: int, after: SessionRow | None = None
    ) -> Sequence[SessionRow]:
        """Return sessions that were never noted as exported to `target`, or have changed since; oldest start first.

        `after`: only those behind it in that order.
        """

    def note_exported(self, target: str, changes: Mapping[str, int]) -> None:
        """Take note that sessions, with their `SessionRow.changes`, were exported to `target`."""

    def targets(self, gone: Gone | None = None) -> frozenset[str]:
        """Return what `note_exported` was told of as targets; those alone that have sessions that are to go, if given.

        A target that had all its sessions removed stays among them.
        """

    def exported(self, root: str, date: str | None = None) -> Iterator[tuple[str, int]]:
        """Yield id and start, ms, of the sessions with a bundle below the root that targets call `root`.

        `date`: those alone that started on that UTC date.
        """


class Removal(Protocol):
    """How sessions leave the store."""

    def removable(self, gone: Gone) -> Removed:
        """Return what `remove` would remove now."""

    def remove(self, gone: Gone) -> Removed:
        """Remove rows, all of them or none. The offsets stay, so nothing is read again.

        Sessions that go for their age are remembered by their ids: what the topics still tell of them is left out
        from now on, or it would come back as half a session. Those of a person are remembered by a hash of their ids,
        from which nobody can guess the person.
        """

    def scrub(self) -> None:
        """Take what removed rows held out of the database's files, as far as that is in a client's hands.

        Raises:
            StoreUnavailable: others use the store at the moment.
        """


class Store(Protocol):
    """The tables, by what they are used for. Every method raises `StoreUnavailable` when the database is away."""

    @property
    def name(self) -> str:
        """What people call it, without a password."""

    @property
    def identity(self) -> str:
        """A word that no other store has; exporters with the same store are one consumer group."""

    @property
    def reader(self) -> SessionReader:
        """Reads what is held."""

    @property
    def writer(self) -> SessionWriter:
        """Writes what an exporter reads."""

    @property
    def ledger(self) -> ExportLedger:
        """Knows what was exported."""

    @property
    def removal(self) -> Removal:
        """Removes sessions."""

    def close(self) -> None:
        """Let go of the connections."""
