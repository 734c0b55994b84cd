"""Which sessions were exported where: the `ExportLedger` port."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from sqlalchemy import and_, or_, select, tuple_

from processor.codec.isotime import parse_time
from processor.core.model import DAY_MS
from processor.sessions.model import SessionRow
from processor.sessions.ports import BEGUN, ROWS, SEALED, Gone, SessionFilter
from processor.store import rows
from processor.store.database import Database
from processor.store.filtering import conditions
from processor.store.removal import to_go
from processor.store.tables import EXPORTS, META, SESSIONS

_TARGET: Final = "target "  # before the key of a target, in `meta`


class SqlLedger:
    """See `ExportLedger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unexported(
        self, target: str, wanted: SessionFilter, *, limit: int, after: SessionRow | None = None
    ) -> Sequence[SessionRow]:
        """See `ExportLedger.unexported`."""
        known = and_(EXPORTS.c.session_id == SESSIONS.c.session_id, EXPORTS.c.target == _key(target))
        is_due = or_(EXPORTS.c.changes.is_(None), EXPORTS.c.changes != SESSIONS.c.changes)
        query = select(SESSIONS).outerjoin(EXPORTS, known).where(is_due, *conditions(wanted))
        if after is not None:
            query = query.where(tuple_(SESSIONS.c.start_ms, SESSIONS.c.session_id) > (after.start_ms, after.session_id))
        query = query.order_by(SESSIONS.c.start_ms, SESSIONS.c.session_id).limit(limit)
        return [rows.session(values) for values in self._database.page(query)]

    def note_exported(self, target: str, changes: Mapping[str, int]) -> None:
        """See `ExportLedger.note_exported`."""
        if not changes:
            return
        mark = self._database.dialect.mark
        sql = (
            f"INSERT INTO exports (target, session_id, changes) VALUES ({mark}, {mark}, {mark})"  # noqa: S608  # No input in it.
            " ON CONFLICT (target, session_id) DO UPDATE SET changes = excluded.changes"
        )
        with self._database.writing() as connection:
            connection.exec_driver_sql(
                sql, [(_key(target), session_id, number) for session_id, number in changes.items()]
            )
            known = f"INSERT INTO meta (name, value) VALUES ({mark}, {mark}) ON CONFLICT (name) DO NOTHING"  # noqa: S608  # Nor here.
            connection.exec_driver_sql(known, (_TARGET + _key(target), target.encode(errors="replace").decode()))

    def targets(self, gone: Gone | None = None) -> frozenset[str]:
        """See `ExportLedger.targets`."""
        query = select(META.c.value).where(META.c.name.startswith(_TARGET))
        if gone is not None:
            sessions = select(SESSIONS.c.session_id).where(to_go(SESSIONS, gone))
            query = query.where(
                META.c.name.in_(select(_TARGET + EXPORTS.c.target).where(EXPORTS.c.session_id.in_(sessions)))
            )
        with self._database.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def exported(self, root: str, date: str | None = None) -> Iterator[tuple[str, int]]:
        """See `ExportLedger.exported`."""
        keys = [
            _key(name)
            for name in self.targets()
            if name.rpartition(" ")[0] == root and name.rpartition(" ")[2] not in (BEGUN, ROWS, SEALED)
        ]
        columns = SESSIONS.c
        query = select(columns.session_id, columns.start_ms).where(
            columns.session_id.in_(select(EXPORTS.c.session_id).where(EXPORTS.c.target.in_(keys)))
        )
        if date is not None:
            start_ms = parse_time(f"{date}T00:00:00Z")
            query = query.where(columns.start_ms >= start_ms, columns.start_ms < start_ms + DAY_MS)
        with self._database.reading() as connection:
            for session_id, start_ms in connection.execute(query):
                yield session_id, start_ms


def _key(target: str) -> str:
    """Return what stands for `target` in a key: a path may be longer than an index of PostgreSQL takes."""
    return sha256(target.encode(errors="surrogateescape")).hexdigest()
