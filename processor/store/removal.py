"""Takes sessions out of the store: the `Removal` port."""

import secrets
from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, or_, select, text

from processor.sessions.ports import SESSIONS as BOUNDARIES
from processor.sessions.ports import TAGGED, Gone, Removed
from processor.store.database import Database
from processor.store.filtering import of_person
from processor.store.lookups import removed_of
from processor.store.tables import EVENTS, EXPORTS, MESSAGES, REMOVED, SESSIONS, TEXTS, UNREADABLE
from processor.store.transaction import unnamed

LAST_REMOVAL: Final = text(
    "INSERT INTO meta (name, value) VALUES ('last_removal', :value)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


class SqlRemoval:
    """See `Removal`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def removable(self, gone: Gone) -> Removed:
        """See `Removal.removable`."""
        with self._database.reading() as connection:
            return _removed(connection, gone)

    def remove(self, gone: Gone) -> Removed:
        """See `Removal.remove`."""
        with self._database.writing(alone=True) as connection:
            removed = _removed(connection, gone)
            sessions = select(SESSIONS.c.session_id).where(to_go(SESSIONS, gone))
            if gone.user_id is None:
                connection.execute(REMOVED.insert().from_select(["session_id"], sessions))
            else:
                _remember(connection, [unnamed(session_id) for session_id, _, _ in removed.sessions])
            connection.execute(delete(EXPORTS).where(EXPORTS.c.session_id.in_(sessions)))
            if gone.user_id is not None:  # Whose they are is not known; read again, they would bring a person back.
                connection.execute(delete(UNREADABLE))
            for table in (TEXTS, MESSAGES, EVENTS, SESSIONS):  # Each after those that are found by it.
                connection.execute(delete(table).where(to_go(table, gone)))
            connection.execute(LAST_REMOVAL, {"value": secrets.token_hex(8)})
        return removed

    def scrub(self) -> None:
        """See `Removal.scrub`."""
        with self._database.reading() as connection:
            self._database.dialect.scrub(connection)


def _remember(connection: Connection, names: Sequence[str]) -> None:
    """Remember what was removed by these names; those of ids that came back and go again are there already."""
    new = [{"session_id": name} for name in frozenset(names) - removed_of(connection, names)]
    if new:
        connection.execute(REMOVED.insert(), new)


def _removed(connection: Connection, gone: Gone) -> Removed:
    def count(table: Table, *more: ColumnElement[bool]) -> int:
        return connection.execute(select(func.count()).select_from(table).where(to_go(table, gone), *more)).scalar_one()

    columns_ = SESSIONS.c
    query = select(columns_.session_id, columns_.start_ms, columns_.end_ms).where(to_go(SESSIONS, gone))
    found = connection.execute(query.order_by(columns_.start_ms, columns_.session_id))
    return Removed(
        [(session_id, start_ms, end_ms) for session_id, start_ms, end_ms in found],
        count(MESSAGES),
        count(MESSAGES, MESSAGES.c.session_id.is_(None)),
        count(EVENTS),
        count(TEXTS),
    )


def to_go(table: Table, gone: Gone) -> ColumnElement[bool]:
    """Return which rows of `table` are to go."""
    columns_ = table.c
    if gone.user_id is not None:
        return of_person(columns_.user_id, gone.user_id)
    assert gone.ended_before_ms is not None
    sessions = SESSIONS.c
    has_ended = and_(sessions.state == "ended", sessions.end_ms < gone.ended_before_ms)
    if table is SESSIONS:
        return has_ended
    of_old_sessions = columns_.session_id.in_(select(sessions.session_id).where(has_ended))
    if table is not TEXTS:
        return or_(of_old_sessions, _is_old(table, gone.ended_before_ms))
    with_old_records = [  # Texts in no session go with their records.
        and_(
            columns_.topic == topic,
            columns_.position.in_(select(of.c.position).where(_is_old(of, gone.ended_before_ms))),
        )
        for topic, of in ((TAGGED, MESSAGES), (BOUNDARIES, EVENTS))
    ]
    return or_(of_old_sessions, and_(columns_.session_id.is_(None), or_(*with_old_records)))


def _is_old(table: Table, before_ms: int) -> ColumnElement[bool]:
    """Return which rows in no session are from before then; a wrong clock that dates them later keeps none."""
    is_old = or_(table.c.timestamp_ms < before_ms, table.c.append_ms < before_ms)
    return and_(table.c.session_id.is_(None), is_old)
