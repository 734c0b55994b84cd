"""The tables: a column for each field of the rows in `sessions.model`.

A record's `position` is partition and offset in one number, so rows stand in the order of the log.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args, get_type_hints

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from processor.sessions.model import EventRow, MessageRow, SessionRow, Sums, TextRow, UnreadableRow

OFFSET_BITS: Final = 40
"""Bits of a position that hold the offset: 10^12 records in a partition, and 2^23 partitions, before it overflows."""

METADATA: Final = MetaData()

_KEY: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own row number must be an INTEGER.

_TYPES: Final[Mapping[Any, Any]] = {
    str: Text,  # of several texts too: they stand in one
    int: BigInteger,
    float: Double,
    bool: Boolean,
    bytes: LargeBinary,
    Sums: Text,
}
_SMALL: Final = frozenset({"encoding", "note_count", "notices", "partition"})  # numbers that 32 bits hold


def _columns_of(row: Any) -> Iterator[Column[Any]]:
    """Yield the columns that hold the fields of `row`, a `NamedTuple`; `position` holds a record's place."""
    for name, hint in get_type_hints(row).items():
        if name in ("partition", "offset") and "offset" in row._fields:
            continue
        kinds = get_args(hint) or (hint,)
        yield Column(name, Integer if name in _SMALL else _TYPES[kinds[0]], nullable=type(None) in kinds)


def _position_key() -> Column[Any]:
    return Column("position", _KEY, primary_key=True, autoincrement=False)


META: Final = Table("meta", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

SOURCES: Final = Table(
    "sources",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

MESSAGES: Final = Table("messages", METADATA, _position_key(), *_columns_of(MessageRow))
# Not unique with `seq`: a record that comes again after its session was forgotten opens one of the same id (rule R6).
Index("messages_by_session", MESSAGES.c.session_id, MESSAGES.c.position)
Index(
    "messages_without_session",
    MESSAGES.c.user_id,
    sqlite_where=MESSAGES.c.session_id.is_(None),
    postgresql_where=MESSAGES.c.session_id.is_(None),
)

EVENTS: Final = Table("events", METADATA, _position_key(), *_columns_of(EventRow))
Index("events_by_session", EVENTS.c.session_id, EVENTS.c.position)

TEXTS: Final = Table(
    "texts",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("position", BigInteger, nullable=False),
    *_columns_of(TextRow),
)
Index("texts_by_session", TEXTS.c.session_id)

UNREADABLE: Final = Table(
    "unreadable",
    METADATA,
    Column("position", BigInteger, nullable=False, autoincrement=False),
    *_columns_of(UnreadableRow),
    PrimaryKeyConstraint("topic", "position"),
)

SESSIONS: Final = Table(
    "sessions",
    METADATA,
    *_columns_of(SessionRow),
    # These are derived, to be asked for.
    Column("owner", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    PrimaryKeyConstraint("session_id"),
)
Index("sessions_by_start", SESSIONS.c.start_ms, SESSIONS.c.session_id)
Index("sessions_by_owner", SESSIONS.c.owner, SESSIONS.c.start_ms)

EXPORTS: Final = Table(
    "exports",
    METADATA,
    Column("target", Text, primary_key=True),  # SHA-256 of its name, in hex
    Column("session_id", Text, primary_key=True),
    Column("changes", BigInteger, nullable=False),
)

# Ids only: of whom a session was, nothing is left.
REMOVED: Final = Table("removed", METADATA, Column("session_id", Text, primary_key=True))


def position_of(partition: int, offset: int) -> int:
    """Return the place of a record in its topic as one number."""
    assert 0 <= offset < 1 << OFFSET_BITS
    return partition << OFFSET_BITS | offset


def partition_and_offset(position: int) -> tuple[int, int]:
    """Return what `position_of` was made of."""
    return position >> OFFSET_BITS, position & (1 << OFFSET_BITS) - 1
