"""The tables. A record's `position` is partition and offset in one number, so rows stand in the order of the log."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

SCHEMA_VERSION: Final = 3
OFFSET_BITS: Final = 40
"""Bits of a position that hold the offset: 10^12 records in a partition, and 2^23 partitions, before it overflows."""

METADATA: Final = MetaData()

_KEY: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own row number must be an INTEGER.

META: Final = Table("meta", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

SOURCES: Final = Table(
    "sources",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

MESSAGES: Final = Table(
    "messages",
    METADATA,
    Column("position", _KEY, primary_key=True, autoincrement=False),
    Column("session_id", Text),
    Column("seq", BigInteger),
    Column("user_id", Text, nullable=False),
    Column("record_id", Text, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("append_ms", BigInteger, nullable=False),
    Column("source", Text),
    Column("modality", Text),
    Column("performer_id", Text),
    Column("actor", Text, nullable=False),
    Column("capture_id", Text),
    Column("notices", Integer, nullable=False),
    Column("claimed_session_id", Text),
    Column("content_hash", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("value", LargeBinary),
    Column("withheld", Text),
    Column("encoding", Integer, nullable=False),
)
# Not unique with `seq`: a record that comes again after its session was forgotten opens one of the same id (rule R6).
Index("messages_by_session", MESSAGES.c.session_id, MESSAGES.c.position)
Index(
    "messages_without_session",
    MESSAGES.c.user_id,
    sqlite_where=MESSAGES.c.session_id.is_(None),
    postgresql_where=MESSAGES.c.session_id.is_(None),
)

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("position", _KEY, primary_key=True, autoincrement=False),
    Column("session_id", Text),
    Column("user_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("append_ms", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
Index("events_by_session", EVENTS.c.session_id, EVENTS.c.position)

TEXTS: Final = Table(
    "texts",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("session_id", Text),
    Column("user_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("place", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
)
Index("texts_by_session", TEXTS.c.session_id)

UNREADABLE: Final = Table(
    "unreadable",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("error", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)

SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("session_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("end_ms", BigInteger),
    Column("reason", Text),
    Column("revision", BigInteger),
    Column("expected_count", BigInteger),
    Column("expected_digest", Text),
    Column("active_ms", BigInteger),
    Column("paused_ms", BigInteger, nullable=False),
    Column("start_reason", Text),
    Column("previous_session_id", Text),
    Column("performer_id", Text),
    Column("template", Text),
    Column("is_training_data", Boolean),
    Column("session_notes", Text),
    Column("training_intent_label", Text),
    Column("event_count", BigInteger, nullable=False),
    Column("held_count", BigInteger, nullable=False),
    Column("held_digest", Text),
    Column("notices", Integer, nullable=False),
    Column("summary", Text, nullable=False),  # JSON
    Column("status", Text, nullable=False),  # these two are derived, to be asked for
    Column("changes", BigInteger, nullable=False),
)
Index("sessions_by_start", SESSIONS.c.start_ms, SESSIONS.c.session_id)
Index("sessions_by_user", SESSIONS.c.user_id, SESSIONS.c.start_ms)

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
