"""The `Store` port on any database that SQLAlchemy speaks to; what differs is in a `Dialect`."""

import contextlib
import secrets
import weakref
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    inspect,
    or_,
    select,
    text,
    tuple_,
    union,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from processor.codec.isotime import parse_time
from processor.core.model import DAY_MS
from processor.errors import StoreMoved, StoreUnavailable, UsageError
from processor.runtime.identities import CLUSTER, Identities, differing
from processor.sessions.model import EventRow, MessageRow, SessionRow, Status, UnreadableRow
from processor.sessions.ports import SESSIONS as BOUNDARIES
from processor.sessions.ports import TAGGED, Found, Gone, Place, Removed, SessionFilter, Source, Totals
from processor.store import rows
from processor.store.dialect import Dialect
from processor.store.tables import (
    EVENTS,
    EXPORTS,
    MESSAGES,
    META,
    METADATA,
    REMOVED,
    SCHEMA_VERSION,
    SESSIONS,
    SOURCES,
    TEXTS,
    UNREADABLE,
    partition_and_offset,
    position_of,
)
from processor.store.transaction import SqlTransaction, removed_of

_STATES: Final = {"closed": "ended"}  # What has ended is `closed` everywhere else.
_FIRST: Final = text("INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")
_TOPICS: Final = "topics"
_ID_OF: Final = "id of {}"
_LAST_REMOVAL: Final = text(
    "INSERT INTO meta (name, value) VALUES ('last_removal', :value)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
PAGE_BYTES: Final = 16 << 20  # of values in a page; it ends with the one that is beyond
PAGE_ROWS: Final = 1_000  # read at a time: no transaction stays open while a reader thinks
_READER: Final = "reader "  # before a word for who made rows, in `meta`
_UNKNOWN: Final = "unknown"
_TARGET: Final = "target "  # before the key of a target, in `meta`


class SqlStore:
    """The store; used by one thread."""

    def __init__(self, engine: Engine, dialect: Dialect, name: str) -> None:
        """Open the store and make the tables where there are none.

        Args:
            engine: the database; dialect: its ways; name: what people call it, without a password.

        Raises:
            UsageError: it was made by a newer release, or cannot be opened.
            StoreUnavailable: it does not answer.
        """
        self.name = name
        self._engine = engine
        self._dialect = dialect
        weakref.finalize(self, engine.dispose)  # For those who forget `close`, or got an error from here.
        with self._speaking():
            if not self._is_made():
                self._make()
            self.identity = self._held(["id"])["id"]

    def follow(self, topics: str) -> None:
        """See `Store.follow`."""
        with self._speaking():
            known = self._once({_TOPICS: topics})[_TOPICS]
            if known != topics:
                raise UsageError(
                    f"the store {self.name} holds what is in {known}, not in {topics}",
                    remedy="name another store with --store, or the right topics with --prefix",
                )

    def recognise(self, identities: Identities) -> None:
        """See `Store.recognise`. A store that was made before ids were kept takes those that it meets first."""
        with self._speaking():
            names = {role: _ID_OF.format(role) for role in identities}
            held = self._once({names[role]: each for role, each in identities.items()})
        known = {role: held[name] for role, name in names.items()}
        others = differing(known, identities)
        if CLUSTER in others:
            raise UsageError(
                f"the store {self.name} was filled from the Kafka cluster {known[CLUSTER]}, and this one is "
                f"{identities[CLUSTER]}",
                remedy="name that cluster with --bootstrap, or export into a new store with --store",
            )
        if others:
            raise UsageError(
                f"the store {self.name} was filled from a former {' and '.join(others)}, deleted and made anew since",
                remedy="export into a new store with --store; the old one still holds what it held",
            )

    def note_reader(self, reader: str) -> bool:
        """See `Store.note_reader`. Who read what is there already is unknown when nobody was noted."""
        with self._speaking(), self._engine.connect() as connection:
            names = select(META.c.value).where(META.c.name.startswith(_READER))
            known = set(connection.execute(names).scalars())
            if not known and connection.execute(select(SOURCES).limit(1)).first() is not None:
                known = {_UNKNOWN}
        with self._speaking():
            self._once({f"{_READER}{word}": word for word in (*sorted(known), reader)})
        return known <= {reader}

    def _once(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """Return what `meta` has under the names of `values`; those that it has not are put there first."""
        held = self._held(list(values))
        if held.keys() == values.keys():
            return held
        with self._engine.connect() as connection:
            self._dialect.begin_writing(connection)
            connection.execute(_FIRST, [{"name": name, "value": value} for name, value in values.items()])
            connection.commit()
        return self._held(list(values))  # Another exporter may have been first.

    def _held(self, names: Sequence[str]) -> Mapping[str, str]:
        with self._engine.connect() as connection:
            found = connection.execute(select(META.c.name, META.c.value).where(META.c.name.in_(names)))
            return {row.name: row.value for row in found}

    def _is_made(self) -> bool:
        with self._engine.connect() as connection:
            if not inspect(connection).has_table(META.name):
                return False
            made = connection.execute(select(META.c.value).where(META.c.name == "schema")).scalar()
        if made != str(SCHEMA_VERSION):
            raise UsageError(
                f"the store {self.name} has the layout {made}, this release knows {SCHEMA_VERSION}",
                remedy="use the release that made it, or export into a new store",
            )
        return True

    def _make(self) -> None:
        with self._engine.connect() as connection:
            self._dialect.begin_making(connection)
            if inspect(connection).has_table(META.name):
                return  # Another exporter was first.
            METADATA.create_all(connection)
            self._dialect.prepare(connection)
            made = [{"name": "schema", "value": str(SCHEMA_VERSION)}, {"name": "id", "value": secrets.token_hex(8)}]
            connection.execute(META.insert(), made)
            connection.commit()

    def offsets(self) -> Mapping[Source, int]:
        """See `Store.offsets`."""
        with self._reading() as connection:
            found = connection.execute(select(SOURCES.c.topic, SOURCES.c.partition, SOURCES.c.next_offset))
            return {(topic, partition): offset for topic, partition, offset in found}

    def last_records(self) -> Mapping[Source, tuple[int, int]]:
        """See `Store.last_records`."""
        last = {}
        with self._reading() as connection:
            for topic, partition in connection.execute(select(SOURCES.c.topic, SOURCES.c.partition)).all():
                table = MESSAGES if topic == TAGGED else EVENTS
                query = select(table.c.position, table.c.append_ms).order_by(table.c.position.desc()).limit(1)
                query = query.where(
                    table.c.position.between(position_of(partition, 0), position_of(partition + 1, 0) - 1)
                )
                found = connection.execute(query).first()
                if found is not None:
                    last[topic, partition] = partition_and_offset(found.position)[1], found.append_ms
        return last

    @contextlib.contextmanager
    def transaction(self, offsets: Mapping[Source, tuple[int | None, int]]) -> Iterator[SqlTransaction]:
        """See `Store.transaction`."""
        with self._speaking(), self._engine.connect() as connection:
            self._dialect.begin_writing(connection)
            yield SqlTransaction(connection, self._dialect, offsets)
            connection.commit()

    @contextlib.contextmanager
    def correction(self, places: Sequence[Place]) -> Iterator[SqlTransaction]:
        """See `Store.correction`. Exporters that know a session from before forget it, as after a removal."""
        with self._speaking(), self._engine.connect() as connection:
            self._dialect.begin_writing(connection)
            connection.execute(select(SOURCES).with_for_update()).all()  # No exporter writes meanwhile.
            for topic, partition, offset in places:
                position = position_of(partition, offset)
                here = delete(UNREADABLE).where(UNREADABLE.c.topic == topic, UNREADABLE.c.position == position)
                if connection.execute(here).rowcount != 1:
                    raise StoreMoved(f"another exporter has read {topic}[{partition}]@{offset} again")
            connection.execute(_LAST_REMOVAL, {"value": secrets.token_hex(8)})
            yield SqlTransaction(connection, self._dialect, {})
            connection.commit()

    def sessions(self, wanted: SessionFilter, *, limit: int, skip: int = 0) -> Sequence[SessionRow]:
        """See `Store.sessions`."""
        query = select(SESSIONS).where(*_conditions(wanted))
        query = query.order_by(SESSIONS.c.start_ms.desc(), SESSIONS.c.session_id.desc()).limit(limit).offset(skip)
        with self._reading() as connection:
            return [rows.session(values) for values in connection.execute(query)]

    def sessions_beginning(self, beginning: str, *, limit: int) -> Sequence[SessionRow]:
        """See `Store.sessions_beginning`."""
        begins = SESSIONS.c.session_id.startswith(beginning, autoescape=True)
        query = select(SESSIONS).where(begins).order_by(SESSIONS.c.session_id).limit(limit)
        with self._reading() as connection:
            return [rows.session(values) for values in connection.execute(query)]

    def count(self, wanted: SessionFilter) -> int:
        """See `Store.count`."""
        with self._reading() as connection:
            query = select(func.count()).select_from(SESSIONS).where(*_conditions(wanted))
            return connection.execute(query).scalar_one()

    def messages(self, session_id: str, *, count_max: int | None = None) -> Iterator[MessageRow]:
        """See `Store.messages`. A session stands in one partition, so the order of the log is that of `seq`."""
        return map(rows.message, self._of_log(_MESSAGES_PAGE, {"session_id": session_id}, count_max))

    def without_session(self, user_id: str | None = None) -> Iterator[MessageRow]:
        """See `Store.without_session`."""
        conditions: list[ColumnElement[bool]] = [MESSAGES.c.session_id.is_(None)]
        if user_id is not None:
            conditions.append(MESSAGES.c.user_id == user_id)
        return map(rows.message, self._of_log(_page_of(MESSAGES, *conditions), {}, None))

    def events(self, session_id: str, *, count_max: int | None = None) -> Iterator[EventRow]:
        """See `Store.events`."""
        return map(rows.event, self._of_log(_EVENTS_PAGE, {"session_id": session_id}, count_max))

    def unreadable(self) -> Iterator[UnreadableRow]:
        """See `Store.unreadable`."""
        key = tuple_(UNREADABLE.c.topic, UNREADABLE.c.position)
        query = select(UNREADABLE).order_by(UNREADABLE.c.topic, UNREADABLE.c.position).limit(PAGE_ROWS)
        page = self._page(query)
        while page:
            yield from (rows.unreadable(values) for values in page)
            page = self._page(query.where(key > (page[-1].topic, page[-1].position)))

    def search(self, words: str, *, limit: int, user_id: str | None = None) -> Sequence[Found]:
        """See `Store.search`."""
        query = self._dialect.matching(words, user_id, limit)
        if query is None:
            return []
        with self._reading() as connection:
            return [Found(*values) for values in connection.execute(query)]

    def totals(self) -> Totals:
        """See `Store.totals`."""
        with self._reading() as connection:
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

    def unexported(
        self, target: str, wanted: SessionFilter, *, limit: int, after: SessionRow | None = None
    ) -> Sequence[SessionRow]:
        """See `Store.unexported`."""
        known = and_(EXPORTS.c.session_id == SESSIONS.c.session_id, EXPORTS.c.target == _key(target))
        is_due = or_(EXPORTS.c.changes.is_(None), EXPORTS.c.changes != SESSIONS.c.changes)
        query = select(SESSIONS).outerjoin(EXPORTS, known).where(is_due, *_conditions(wanted))
        if after is not None:
            query = query.where(tuple_(SESSIONS.c.start_ms, SESSIONS.c.session_id) > (after.start_ms, after.session_id))
        query = query.order_by(SESSIONS.c.start_ms, SESSIONS.c.session_id).limit(limit)
        with self._reading() as connection:
            return [rows.session(values) for values in connection.execute(query)]

    def note_exported(self, target: str, changes: Mapping[str, int]) -> None:
        """See `Store.note_exported`."""
        if not changes:
            return
        mark = self._dialect.mark
        sql = (
            f"INSERT INTO exports (target, session_id, changes) VALUES ({mark}, {mark}, {mark})"  # noqa: S608  # No input in it.
            " ON CONFLICT (target, session_id) DO UPDATE SET changes = excluded.changes"
        )
        with self._speaking(), self._engine.connect() as connection:
            self._dialect.begin_writing(connection)
            connection.exec_driver_sql(
                sql, [(_key(target), session_id, number) for session_id, number in changes.items()]
            )
            known = f"INSERT INTO meta (name, value) VALUES ({mark}, {mark}) ON CONFLICT (name) DO NOTHING"  # noqa: S608  # Nor here.
            connection.exec_driver_sql(known, (_TARGET + _key(target), target.encode(errors="replace").decode()))
            connection.commit()

    def targets(self, gone: Gone | None = None) -> frozenset[str]:
        """See `Store.targets`."""
        query = select(META.c.value).where(META.c.name.startswith(_TARGET))
        if gone is not None:
            sessions = select(SESSIONS.c.session_id).where(_gone(SESSIONS, gone))
            query = query.where(
                META.c.name.in_(select(_TARGET + EXPORTS.c.target).where(EXPORTS.c.session_id.in_(sessions)))
            )
        with self._reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def exported(self, root: str, date: str | None = None) -> Iterator[tuple[str, int]]:
        """See `Store.exported`."""
        keys = [
            _key(name) for name in self.targets() if name.rpartition(" ")[0] == root and not name.endswith(" parquet")
        ]
        columns = SESSIONS.c
        query = select(columns.session_id, columns.start_ms).where(
            columns.session_id.in_(select(EXPORTS.c.session_id).where(EXPORTS.c.target.in_(keys)))
        )
        if date is not None:
            start_ms = parse_time(f"{date}T00:00:00Z")
            query = query.where(columns.start_ms >= start_ms, columns.start_ms < start_ms + DAY_MS)
        with self._reading() as connection:
            for session_id, start_ms in connection.execute(query):
                yield session_id, start_ms

    def users(self) -> Iterator[str]:
        """See `Store.users`."""
        loose = select(MESSAGES.c.user_id).where(MESSAGES.c.session_id.is_(None))
        with self._reading() as connection:
            yield from connection.execute(union(select(SESSIONS.c.user_id), loose)).scalars()

    def removable(self, gone: Gone) -> Removed:
        """See `Store.removable`."""
        with self._reading() as connection:
            return _removed(connection, gone)

    def remove(self, gone: Gone) -> Removed:
        """See `Store.remove`."""
        with self._speaking(), self._engine.connect() as connection:
            self._dialect.begin_writing(connection)
            connection.execute(select(SOURCES).with_for_update()).all()  # No exporter writes meanwhile.
            removed = _removed(connection, gone)
            sessions = select(SESSIONS.c.session_id).where(_gone(SESSIONS, gone))
            if gone.user_id is None:
                connection.execute(REMOVED.insert().from_select(["session_id"], sessions))
            connection.execute(delete(EXPORTS).where(EXPORTS.c.session_id.in_(sessions)))
            if gone.user_id is not None:  # Whose they are is not known; read again, they would bring a person back.
                connection.execute(delete(UNREADABLE))
            for table in (TEXTS, MESSAGES, EVENTS, SESSIONS):  # Each after those that are found by it.
                connection.execute(delete(table).where(_gone(table, gone)))
            connection.execute(_LAST_REMOVAL, {"value": secrets.token_hex(8)})
            connection.commit()
        return removed

    def removed_of(self, session_ids: Sequence[str]) -> frozenset[str]:
        """See `Store.removed_of`."""
        with self._reading() as connection:
            return removed_of(connection, session_ids)

    def scrub(self) -> None:
        """See `Store.scrub`."""
        with self._reading() as connection:
            self._dialect.scrub(connection)

    def close(self) -> None:
        """See `Store.close`."""
        self._engine.dispose()

    def _page(self, query: Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        with self._reading() as connection:
            return connection.execute(query, values).all()

    def _of_log(self, query: Select[Any], values: Mapping[str, Any], count_max: int | None) -> Iterator[Any]:
        """Yield rows in the order of the log, `count_max` at most, a page at a time; `query` is of `_page_of`."""
        last, left = -1, count_max
        while left is None or left > 0:
            count = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
            page = self._page(query, {**values, "after": last, "count": count})
            if not page:
                return
            yield from page
            last = page[-1][0]
            left = None if left is None else left - len(page)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._speaking(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if self._dialect.is_away(error):
                raise StoreUnavailable(
                    f"the store {self.name} does not answer: {_first_line(error)}",
                    remedy="see that the database runs and has room",
                ) from error
            raise UsageError(
                f"the store {self.name} cannot be used: {_first_line(error)}",
                remedy="check its address (--store, A3CP_STORE_URL), the rights of its user and the room on its disk",
            ) from error
        except SQLAlchemyError as error:
            raise UsageError(f"the store {self.name} cannot be used: {_first_line(error)}") from error


def _key(target: str) -> str:
    """Return what stands for `target` in a key: a path may be longer than an index of PostgreSQL takes."""
    return sha256(target.encode(errors="surrogateescape")).hexdigest()


def _removed(connection: Connection, gone: Gone) -> Removed:
    def count(table: Table, *more: ColumnElement[bool]) -> int:
        return connection.execute(select(func.count()).select_from(table).where(_gone(table, gone), *more)).scalar_one()

    columns_ = SESSIONS.c
    query = select(columns_.session_id, columns_.start_ms, columns_.end_ms).where(_gone(SESSIONS, gone))
    found = connection.execute(query.order_by(columns_.start_ms, columns_.session_id))
    return Removed(
        [(session_id, start_ms, end_ms) for session_id, start_ms, end_ms in found],
        count(MESSAGES),
        count(MESSAGES, MESSAGES.c.session_id.is_(None)),
        count(EVENTS),
        count(TEXTS),
    )


def _gone(table: Table, gone: Gone) -> ColumnElement[bool]:
    """Return which rows of `table` are to go."""
    columns_ = table.c
    if gone.user_id is not None:
        return columns_.user_id == gone.user_id
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
_MESSAGES_PAGE: Final = _page_of(MESSAGES, MESSAGES.c.session_id == bindparam("session_id"))
_EVENTS_PAGE: Final = _page_of(EVENTS, EVENTS.c.session_id == bindparam("session_id"))


def _conditions(wanted: SessionFilter) -> list[Any]:
    table = SESSIONS.c
    conditions: list[Any] = []
    if wanted.user_id is not None:
        conditions.append(table.user_id == wanted.user_id)
    if wanted.session_id is not None:
        conditions.append(table.session_id == wanted.session_id)
    if wanted.since_ms is not None:
        conditions.append(table.start_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        conditions.append(table.start_ms < wanted.until_ms)
    if wanted.notices:
        conditions.append(table.notices.op("&")(wanted.notices) != 0)
    if wanted.ended:
        conditions.append(table.state == "ended")
    if wanted.status is not None:
        conditions.append(or_(table.status == wanted.status, table.state == _STATES.get(wanted.status, wanted.status)))
    return conditions


def _first_line(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
