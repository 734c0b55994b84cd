"""What more than one part of the store asks for in a transaction of its own."""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, select

from processor.sessions.model import SessionRow
from processor.sessions.ports import Source
from processor.store import rows
from processor.store.tables import META, REMOVED, SESSIONS, SOURCES

READER: Final = "reader "  # before a word for who made rows, in `meta`
_UNKNOWN: Final = "unknown"
_IDS_MAX: Final = 500  # asked for in one statement


def offsets(connection: Connection) -> dict[Source, int]:
    """Return the next offset of each partition that was read."""
    found = connection.execute(select(SOURCES.c.topic, SOURCES.c.partition, SOURCES.c.next_offset))
    return {(topic, partition): offset for topic, partition, offset in found}


def readers(connection: Connection) -> frozenset[str]:
    """Return words for who made the rows that there are; one of them is for those of whom it was not noted."""
    names = META.c.name.startswith(READER)
    known = frozenset(connection.execute(select(META.c.value).where(names)).scalars())
    if not known and connection.execute(select(SOURCES.c.topic).limit(1)).first() is not None:
        return frozenset({_UNKNOWN})
    return known


def sessions_of(connection: Connection, session_ids: Sequence[str]) -> Iterator[SessionRow]:
    """Yield those of `session_ids` that are held."""
    for some in some_of(session_ids):
        yield from map(rows.session, connection.execute(select(SESSIONS).where(SESSIONS.c.session_id.in_(some))))


def removed_of(connection: Connection, session_ids: Sequence[str]) -> frozenset[str]:
    """Return those of `session_ids`, or of what `unnamed` has made of ids, that are remembered as removed."""
    held: set[str] = set()
    for some in some_of(session_ids):
        wanted = REMOVED.c.session_id.in_(some)
        held.update(connection.execute(select(REMOVED.c.session_id).where(wanted)).scalars())
    return frozenset(held)


def some_of(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield as many of `ids` at a time as one statement asks for."""
    for start in range(0, len(ids), _IDS_MAX):
        yield ids[start : start + _IDS_MAX]
