"""SQLite: one file, write-ahead log, full text by FTS5. The embedded default."""

import glob
import re
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize

from sqlalchemy import ColumnElement, Connection, Engine, Select, create_engine, event, literal_column, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from processor.errors import StoreUnavailable, UsageError
from processor.sessions.ports import Found
from processor.store.dialect import POOL
from processor.store.rows import Values
from processor.store.tables import TEXTS

BUSY_TIMEOUT_S: Final = 30.0  # how long a writer waits for another one
_AGAIN_S: Final = 0.02
_CACHE_KIB: Final = 64 << 10  # of a connection that writes; those that only read have SQLite's own 2 MiB
_LOG_PAGES: Final = 10_000  # of the write-ahead log, 40 MiB, before it is merged into the file
# As FTS5's unicode61 splits texts: letters and digits, with those combining marks that it takes for a part of them.
_WORDS: Final = re.compile(
    "(?:[^\\W_]|[\u0300-\u0304\u0306-\u030c\u030f\u0311\u031b\u0323-\u0328\u032d\u032e\u0330\u0331])+"
).findall

_COPY: Final = ".layout-"  # between a store's name and the layout that it had when it was copied

_INDEX: Final = """
CREATE VIRTUAL TABLE texts_index USING fts5(
    text, content='texts', content_rowid='id', detail=none, tokenize='unicode61 remove_diacritics 0'
)
"""
_DELETED: Final = """
CREATE TRIGGER texts_deleted AFTER DELETE ON texts BEGIN
    INSERT INTO texts_index(texts_index, rowid, text) VALUES ('delete', old.id, old.text);
END
"""


class SqliteDialect:
    """See `Dialect`."""

    mark = "?"

    def prepare(self, connection: Connection) -> None:
        """See `Dialect.prepare`."""
        for statement in (_INDEX, _DELETED):
            connection.exec_driver_sql(statement)

    def begin_making(self, connection: Connection) -> None:
        """See `Dialect.begin_making`."""
        self.begin_writing(connection)

    def begin_writing(self, connection: Connection) -> None:
        """See `Dialect.begin_writing`. A transaction that began as a reader could not become a writer in its turn."""
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def begin_snapshot(self, connection: Connection) -> None:
        """See `Dialect.begin_snapshot`."""
        connection.exec_driver_sql("BEGIN")

    def insert(self, connection: Connection, table: str, names: Sequence[str], values: Sequence[Values]) -> None:
        """See `Dialect.insert`. The index takes many texts at once: it makes a savepoint for every statement."""
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  # Names of ours only.
        if table != TEXTS.name:
            connection.exec_driver_sql(sql, list(values))
            return
        last = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM texts").scalar_one()
        connection.exec_driver_sql(sql, list(values))
        connection.exec_driver_sql(
            "INSERT INTO texts_index(rowid, text) SELECT id, text FROM texts WHERE id > ?", (last,)
        )

    def matching(self, words: str, conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any] | None:
        """See `Dialect.matching`."""
        quoted = _quoted(words)
        if not quoted:
            return None
        found = text("SELECT rowid FROM texts_index WHERE texts_index MATCH :words").bindparams(words=quoted)
        columns = TEXTS.c
        order = (columns.at_ms.desc(), columns.topic, columns.position, columns.place)
        # The latest are chosen without their texts: a word that everybody says is in hundreds of thousands.
        latest = select(columns.id).where(columns.id.in_(found.columns(literal_column("rowid"))), *conditions)
        latest = latest.order_by(*order).limit(limit)
        return select(*(columns[name] for name in Found._fields)).where(columns.id.in_(latest)).order_by(*order)

    def keep_copy(self, connection: Connection, layout: int) -> Path:
        """See `Dialect.keep_copy`. The file is beside the store's, with the layout in its name."""
        path = _path_of(connection)
        copy = path.with_name(f"{path.name}{_COPY}{layout}")
        begun = copy.with_name(f"{copy.name}.begun")
        try:
            begun.unlink(missing_ok=True)
            # By a connection of its own: it reads what is committed, and cannot be changed meanwhile.
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(begun)) as target:
                source.backup(target)
            begun.replace(copy)
        except (OSError, sqlite3.Error) as error:
            begun.unlink(missing_ok=True)
            raise UsageError(
                f"the store {path} stays as it is: no copy of it can be kept at {copy} ({error})",
                remedy="give its folder room for the store a second time, then try again",
            ) from error
        return copy

    def scrub(self, connection: Connection) -> None:
        """See `Dialect.scrub`. Words stay in the index until it is made anew, rows in free pages until VACUUM."""
        connection.exec_driver_sql("INSERT INTO texts_index(texts_index) VALUES ('rebuild')")
        connection.exec_driver_sql("PRAGMA temp_store=FILE")  # The copy that VACUUM makes may not fit into memory.
        connection.exec_driver_sql("VACUUM")
        path = _path_of(connection)
        for copy in path.parent.glob(f"{glob.escape(path.name)}{_COPY}*"):
            copy.unlink(missing_ok=True)
        is_busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if is_busy:
            raise StoreUnavailable(
                "the rows are removed, but others read the store, so its write-ahead log still holds them",
                remedy="run it again once they have finished",
            )

    def is_away(self, error: DBAPIError) -> bool:
        """See `Dialect.is_away`. A full disk may get room, a locked file its turn; a damaged file stays damaged."""
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _path_of(connection: Connection) -> Path:
    """Return the file of the database."""
    _, _, path = connection.exec_driver_sql("PRAGMA database_list").all()[0]
    return Path(path)


def _quoted(words: str) -> str:
    """Return a query for texts with all of `words`, each as it is, composed or decomposed: texts are as they came.

    Each token is quoted by itself, so none is taken for a command, and no phrases have to be stored.
    """
    wanted = []
    for word in words.split():
        forms = (word, normalize("NFC", word), normalize("NFD", word))
        ways = dict.fromkeys(" AND ".join(f'"{token}"' for token in _WORDS(form)) for form in forms)
        if any(ways):
            wanted.append(" OR ".join(f"({way})" for way in ways if way))
    return " AND ".join(f"({ways})" for ways in wanted)


def sqlite_engine(path: Path) -> Engine:
    """Return the database in the file `path`."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_S}, **POOL)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # Transactions begin where `begin_writing` says, and nowhere else.
        _write_ahead(connection)
        for pragma in (
            "synchronous=NORMAL",
            "temp_store=MEMORY",
            f"wal_autocheckpoint={_LOG_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Make the file one with a write-ahead log; SQLite itself does not wait for others who begin it too."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(_AGAIN_S)
        else:
            return
