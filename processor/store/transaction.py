"""The transaction in which a batch of records becomes rows."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from processor.errors import StoreMoved, UsageError
from processor.sessions.model import SessionRow
from processor.sessions.ports import Rows, Source
from processor.store import lookups, rows
from processor.store.dialect import Dialect
from processor.store.forward import LAYOUT_NOTE
from processor.store.rows import columns
from processor.store.tables import EVENTS, MESSAGES, META, REMOVED, SESSIONS, SOURCES, TEXTS, UNREADABLE

_NOTES: Final = select(META.c.name, META.c.value).where(META.c.name.in_(("last_removal", LAYOUT_NOTE)))
_ALL: Final = [name for name in columns(SESSIONS) if name != "session_id"]


class SqlTransaction:
    """See `Transaction`; made by `SqlWriter.transaction`, which commits it."""

    def __init__(
        self, connection: Connection, dialect: Dialect, offsets: Mapping[Source, tuple[int | None, int]], layout: int
    ) -> None:
        """Set the next offset of each source from what is expected; the rows stay locked until the transaction ends.

        Raises:
            StoreMoved: another is there.
            UsageError: the store no longer has this `layout`.
        """
        self._connection = connection
        self._dialect = dialect
        for source, (expected, offset) in sorted(offsets.items()):
            _move(connection, source, expected, offset)
        # Asked for with the sources locked, as a removal has them, and who brings the store forward.
        noted = {row.name: row.value for row in connection.execute(_NOTES)}
        if noted[LAYOUT_NOTE] != str(layout):
            raise UsageError(
                f"another release has given the store the layout {noted[LAYOUT_NOTE]}, this one writes {layout}",
                remedy="run the exporters of one release only",
            )
        self.last_removal = noted.get("last_removal")
        self._some_are_removed = connection.execute(select(REMOVED.c.session_id).limit(1)).first() is not None

    def add(self, new: Rows) -> None:
        """See `Transaction.add`."""
        named = {row.session_id for row in new.messages} | {row.session_id for row in new.events}
        removed = self._removed_of(named)
        if removed:
            new = Rows(
                [row for row in new.messages if row.session_id not in removed],
                [row for row in new.events if row.session_id not in removed],
                [row for row in new.texts if row.session_id not in removed],
                new.unreadable,
            )
        for table, values in (
            (MESSAGES, rows.record_values(new.messages)),
            (EVENTS, rows.record_values(new.events)),
            (TEXTS, rows.record_values(new.texts)),
            (UNREADABLE, rows.record_values(new.unreadable)),
        ):
            if values:
                try:
                    self._dialect.insert(self._connection, table.name, columns(table), values)
                except IntegrityError as error:
                    raise StoreMoved("rows of this batch are in the store already") from error

    def sessions_of(self, session_ids: Sequence[str]) -> Mapping[str, SessionRow]:
        """See `Transaction.sessions_of`."""
        return {row.session_id: row for row in lookups.sessions_of(self._connection, session_ids)}

    def hashes(self, session_id: str) -> Iterable[tuple[int, bytes]]:
        """See `Transaction.hashes`."""
        columns_ = MESSAGES.c
        query = select(columns_.seq, columns_.content_hash).where(columns_.session_id == session_id)
        for row in self._connection.execute(query.order_by(columns_.position)):
            yield row.seq, bytes(row.content_hash)

    def event_values(self, session_id: str) -> Iterable[bytes]:
        """See `Transaction.event_values`."""
        query = select(EVENTS.c.value).where(EVENTS.c.session_id == session_id).order_by(EVENTS.c.position)
        for row in self._connection.execute(query):
            yield bytes(row.value)

    def put(self, sessions: Sequence[SessionRow], counted: Sequence[SessionRow], known: Mapping[str, int]) -> None:
        """See `Transaction.put`."""
        removed = self._removed_of({row.session_id for row in (*sessions, *counted)})
        for changing, all_rows in ((_ALL, sessions), (rows.COUNTED, counted)):
            held = [row for row in all_rows if row.session_id not in removed] if removed else all_rows
            if held:
                sql = _upsert_sql(self._dialect.mark, changing)
                values = [
                    (*each, known[row.session_id]) for row, each in zip(held, rows.session_values(held), strict=True)
                ]
                if self._connection.exec_driver_sql(sql, values).rowcount != len(held):
                    raise StoreMoved("another exporter has written sessions of this batch")

    def _removed_of(self, session_ids: Iterable[str | None]) -> frozenset[str]:
        if not self._some_are_removed:
            return frozenset()
        return lookups.removed_of(self._connection, [name for name in session_ids if name is not None])


def unnamed(session_id: str) -> str:
    """Return by what an erased person's session is remembered: nobody can guess from it who that was."""
    return f"sha256:{sha256(session_id.encode()).hexdigest()}"


def _move(connection: Connection, source: Source, expected: int | None, offset: int) -> None:
    topic, partition = source
    if expected is None:
        here = select(SOURCES.c.next_offset).where(SOURCES.c.topic == topic, SOURCES.c.partition == partition)
        if connection.execute(here).first() is not None:
            raise StoreMoved(f"another exporter has begun with {topic}[{partition}]")
        try:
            connection.execute(SOURCES.insert().values(topic=topic, partition=partition, next_offset=offset))
        except IntegrityError as error:
            raise StoreMoved(f"another exporter has begun with {topic}[{partition}]") from error
        return
    moved = connection.execute(
        SOURCES.update()
        .where(SOURCES.c.topic == topic, SOURCES.c.partition == partition, SOURCES.c.next_offset == expected)
        .values(next_offset=offset)
    )
    if moved.rowcount != 1:
        raise StoreMoved(f"another exporter has written {topic}[{partition}]@{expected}")


def _upsert_sql(mark: str, changing: Sequence[str]) -> str:
    """Return what inserts a session, or sets its columns in `changing`; SQLite writes the indexes of all it sets.

    The last parameter is the number of changes that the session must have in the store. Otherwise nothing is set.
    """
    names = columns(SESSIONS)
    changed = ", ".join(f"{name} = excluded.{name}" for name in changing)
    marks = ", ".join([mark] * len(names))
    return (
        f"INSERT INTO sessions ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  # Names of ours only.
        f" ON CONFLICT (session_id) DO UPDATE SET {changed} WHERE sessions.changes = {mark}"
    )
