"""PostgreSQL: rows by COPY, full text by tsvector."""

from collections.abc import Sequence
from typing import Any, Final
from unicodedata import normalize

import psycopg
from sqlalchemy import ColumnElement, Connection, Engine, Select, create_engine, func, literal_column, or_, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from processor.sessions.ports import Found
from processor.store.dialect import POOL
from processor.store.rows import Values
from processor.store.tables import TEXTS

# What an address says counts before these. Whoever is gone without a word is given up within half a minute, not hours.
_CONNECTION: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
    "application_name": "a3cp",
}
_MAKING_LOCK: Final = 0xA3C9  # One exporter at a time makes the tables.
_FULL_TEXT: Final = "CREATE INDEX texts_index ON texts USING gin (to_tsvector('simple', text))"


class PostgresDialect:
    """See `Dialect`."""

    mark = "%s"

    def prepare(self, connection: Connection) -> None:
        """See `Dialect.prepare`."""
        connection.exec_driver_sql(_FULL_TEXT)

    def begin_making(self, connection: Connection) -> None:
        """See `Dialect.begin_making`."""
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING_LOCK})")

    def begin_writing(self, connection: Connection) -> None:
        """See `Dialect.begin_writing`. Rows of `sources` are the locks; SQLAlchemy begins by itself."""

    def begin_snapshot(self, connection: Connection) -> None:
        """See `Dialect.begin_snapshot`."""
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def insert(self, connection: Connection, table: str, names: Sequence[str], values: Sequence[Values]) -> None:
        """See `Dialect.insert`."""
        raw: Any = connection.connection.driver_connection
        try:
            with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
        except psycopg.Error as error:
            raise DBAPIError.instance(f"COPY {table}", None, error, psycopg.Error) from error

    def matching(self, words: str, conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any] | None:
        """See `Dialect.matching`."""
        if not any(char.isalnum() for char in words):
            return None
        # PostgreSQL splits them as it has split the texts, which are as they came, composed or decomposed. No NUL.
        wanted = words.replace("\0", " ").encode(errors="replace").decode()
        ways = dict.fromkeys((wanted, normalize("NFC", wanted), normalize("NFD", wanted)))
        columns = TEXTS.c
        vector = func.to_tsvector(literal_column("'simple'"), columns.text)
        query = select(*(columns[name] for name in Found._fields))
        query = query.where(
            or_(*(vector.op("@@")(func.plainto_tsquery(literal_column("'simple'"), way)) for way in ways))
        )
        return (
            query.where(*conditions)
            .order_by(columns.at_ms.desc(), columns.topic, columns.position, columns.place)
            .limit(limit)
        )

    def keep_copy(self, connection: Connection, layout: int) -> None:
        """See `Dialect.keep_copy`. The operator keeps one, by pg_dump."""

    def scrub(self, connection: Connection) -> None:
        """See `Dialect.scrub`. VACUUM takes dead rows away, when the database's own settings say so."""

    def is_away(self, error: DBAPIError) -> bool:
        """See `Dialect.is_away`."""
        cause = error.orig
        state = str(getattr(cause, "sqlstate", None) or "")
        # Classes: 08 connection, 40 serialization or deadlock, 53 out of disk, memory or connections, 57 shutting down.
        if state[:2] in ("08", "40", "53", "57"):
            return True
        return error.connection_invalidated or (not state and isinstance(cause, psycopg.OperationalError))


def postgres_engine(url: URL) -> Engine:
    """Return the database at `url`."""
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        **POOL,
        connect_args={name: value for name, value in _CONNECTION.items() if name not in url.query},
    )
