"""Reads the store: the `SessionReader` port."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, select, tuple_, union

from processor.core.ids import owner_of
from processor.sessions.model import EventRow, MessageRow, SessionRow, Status, UnreadableRow
from processor.sessions.ports import EVERYTHING, Cursor, Found, SessionFilter, Snapshot, Source, Totals
from processor.store import lookups, rows
from processor.store.database import Database
from processor.store.filtering import conditions, text_conditions
from processor.store.tables import EVENTS, MESSAGES, SESSIONS, UNREADABLE
from processor.store.transaction import unnamed

PAGE_BYTES: Final = 16 << 20  # of values in a page; it ends with the one that is beyond
PAGE_ROWS: Final = 1_000  # read at a time: no transaction stays open while a reader thinks


class SqlReader:
    """See `SessionReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def offsets(self) -> Mapping[Source, int]:
        """See `SessionReader.offsets`."""
        with self._database.reading() as connection:
            return lookups.offsets(connection)

    def sessions(
        self, wanted: SessionFilter, *, limit: int, skip: int = 0, after: Cursor | None = None
    ) -> Sequence[SessionRow]:
        """See `SessionReader.sessions`."""
        return [rows.session(values) for values in self._database.page(_newest(wanted, limit, skip, after))]

    def page(self, wanted: SessionFilter, *, limit: int, skip: int = 0, after: Cursor | None = None) -> Snapshot:
        """See `SessionReader.page`."""
        query = _newest(wanted, limit, skip, after)
        with self._database.snapshot() as connection:
            return Snapshot(lookups.offsets(connection), list(map(rows.session, connection.execute(query))))

    def held(self, session_ids: Sequence[str]) -> Snapshot:
        """See `SessionReader.held`."""
        with self._database.snapshot() as connection:
            return _held(connection, session_ids)

    def counted(self, wanted: SessionFilter, session_ids: Sequence[str]) -> tuple[int, Snapshot]:
        """See `SessionReader.counted`."""
        with self._database.snapshot() as connection:
            return _count(connection, wanted), _held(connection, session_ids)

    def sessions_beginning(self, beginning: str, *, limit: int) -> Sequence[SessionRow]:
        """See `SessionReader.sessions_beginning`."""
        begins = SESSIONS.c.session_id.startswith(beginning, autoescape=True)
        query = select(SESSIONS).where(begins).order_by(SESSIONS.c.session_id).limit(limit)
        return [rows.session(values) for values in self._database.page(query)]

    def count(self, wanted: SessionFilter) -> int:
        """See `SessionReader.count`."""
        with self._database.reading() as connection:
            return _count(connection, wanted)

    def messages(self, session_id: str, *, after_seq: int = 0, count_max: int | None = None) -> Iterator[MessageRow]:
        """See `SessionReader.messages`. A session stands in one partition, so the order of the log is that of `seq`."""
        wanted = {"session_id": session_id, "after_seq": after_seq}
        return map(rows.message, self._of_log(_MESSAGES_PAGE, wanted, count_max))

    def without_session(self, user_id: str | None = None) -> Iterator[MessageRow]:
        """See `SessionReader.without_session`."""
        conditions: list[ColumnElement[bool]] = [MESSAGES.c.session_id.is_(None)]
        if user_id is not None:
            conditions.append(MESSAGES.c.user_id == user_id)
        return map(rows.message, self._of_log(_page_of(MESSAGES, *conditions), {}, None))

    def events(self, session_id: str, *, count_max: int | None = None) -> Iterator[EventRow]:
        """See `SessionReader.events`."""
        return map(rows.event, self._of_log(_EVENTS_PAGE, {"session_id": session_id}, count_max))

    def unreadable(self) -> Iterator[UnreadableRow]:
        """See `SessionReader.unreadable`."""
        key = tuple_(UNREADABLE.c.topic, UNREADABLE.c.position)
        query = select(UNREADABLE).order_by(UNREADABLE.c.topic, UNREADABLE.c.position).limit(PAGE_ROWS)
        page = self._database.page(query)
        while page:
            yield from (rows.unreadable(values) for values in page)
            page = self._database.page(query.where(key > (page[-1].topic, page[-1].position)))

    def was_read_by(self, reader: str) -> bool:
        """See `SessionReader.was_read_by`."""
        with self._database.reading() as connection:
            return lookups.readers(connection) <= {reader}

    def removed_of(self, session_ids: Sequence[str]) -> frozenset[str]:
        """See `SessionReader.removed_of`."""
        with self._database.reading() as connection:
            return _removed_of(connection, session_ids)

    def search(
        self, words: str, wanted: SessionFilter = EVERYTHING, *, limit: int, expressed_by: str | None = None
    ) -> Sequence[Found]:
        """See `SessionReader.search`."""
        query = self._database.dialect.matching(words, text_conditions(wanted, expressed_by), limit)
        if query is None:
            return []
        return [Found(*values) for values in self._database.page(query)]

    def totals(self) -> Totals:
        """See `SessionReader.totals`."""
        with self._database.reading() as connection:
            by_status: dict[str, int] = dict.fromkeys((status.value for status in Status), 0)
            query = select(SESSIONS.c.status, func.count()).group_by(SESSIONS.c.status)
            by_status.update((status, count) for status, count in connection.execute(query))
            without = select(func.count()).select_from(MESSAGES).where(MESSAGES.c.session_id.is_(None))
            return Totals(
                by_status,
                connection.execute(select(func.count()).select_from(MESSAGES)).scalar_one(),
                connection.execute(without).scalar_one(),
                connection.execute(select(func.count()).select_from(EVENTS)).scalar_one(),
                connection.execute(select(func.count()).select_from(UNREADABLE)).scalar_one(),
            )

    def users(self) -> Iterator[str]:
        """See `SessionReader.users`."""
        loose = select(MESSAGES.c.user_id).where(MESSAGES.c.session_id.is_(None))
        with self._database.reading() as connection:
            yield from map(owner_of, connection.execute(union(select(SESSIONS.c.owner), loose)).scalars())

    def _of_log(self, query: Select[Any], values: Mapping[str, Any], count_max: int | None) -> Iterator[Any]:
        """Yield rows in the order of the log, `count_max` at most, a page at a time; `query` is of `_page_of`."""
        last, left = -1, count_max
        while left is None or left > 0:
            count = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
            page = self._database.page(query, {**values, "after": last, "count": count})
            if not page:
                return
            yield from page
            last = page[-1][0]
            left = None if left is None else left - len(page)


def _count(connection: Connection, wanted: SessionFilter) -> int:
    return connection.execute(select(func.count()).select_from(SESSIONS).where(*conditions(wanted))).scalar_one()


def _held(connection: Connection, session_ids: Sequence[str]) -> Snapshot:
    offsets = lookups.offsets(connection)
    held = list(lookups.sessions_of(connection, session_ids))
    missing = {*session_ids} - {row.session_id for row in held}
    return Snapshot(offsets, held, _removed_of(connection, missing) if missing else frozenset())


def _removed_of(connection: Connection, session_ids: Iterable[str]) -> frozenset[str]:
    by_name = {name: session_id for session_id in session_ids for name in (session_id, unnamed(session_id))}
    return frozenset(by_name[name] for name in lookups.removed_of(connection, list(by_name)))


def _newest(wanted: SessionFilter, limit: int, skip: int, after: Cursor | None) -> Select[Any]:
    """Return what asks for sessions, newest start first."""
    columns = SESSIONS.c
    query = select(SESSIONS).where(*conditions(wanted))
    if after is not None:
        query = query.where(tuple_(columns.start_ms, columns.session_id) < after)
    return query.order_by(columns.start_ms.desc(), columns.session_id.desc()).limit(limit).offset(skip)


def _page_of(table: Table, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Return what asks for the next rows in the order of the log: `count` at most, and no more than PAGE_BYTES take.

    The sizes of values are known without reading them, in both databases.
    """
    position = table.c.position
    wanted = [*conditions, position > bindparam("after")]
    size = func.coalesce(func.length(table.c.value), 0).label("size")
    next_ = select(position, size).where(*wanted).order_by(position).limit(bindparam("count")).subquery()
    before = func.sum(next_.c.size).over(order_by=next_.c.position, rows=(None, 0)) - next_.c.size
    summed = select(next_.c.position, before.label("before")).subquery()
    last = select(func.max(summed.c.position)).where(summed.c.before < PAGE_BYTES).scalar_subquery()
    return select(table).where(*wanted, position <= last).order_by(position)


# Made once: making them takes longer than to run them.
_MESSAGES_PAGE: Final = _page_of(
    MESSAGES, MESSAGES.c.session_id == bindparam("session_id"), MESSAGES.c.seq > bindparam("after_seq")
)
_EVENTS_PAGE: Final = _page_of(EVENTS, EVENTS.c.session_id == bindparam("session_id"))
