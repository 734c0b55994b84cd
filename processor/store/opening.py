"""From the address of a database to the database, and to the store in it."""

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from processor.errors import UsageError
from processor.settings.addresses import masked
from processor.store.database import Database
from processor.store.sql import SqlStore
from processor.store.sqlite import SqliteDialect, sqlite_engine

_FORMS: Final = "give sqlite:///PATH or postgresql://USER@HOST/DATABASE"


def open_store(address: str, *, must_exist: bool = False) -> SqlStore:
    """Return the store at `address`; one of an earlier release is brought forward, unless it `must_exist`.

    Arguments and errors as of `open_database`.
    """
    return SqlStore(open_database(address, must_exist=must_exist), may_change=not must_exist)


def open_database(address: str, *, must_exist: bool = False) -> Database:
    """Return the database at `address`: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.

    Args:
        address: where it is.
        must_exist: refuse to make a new SQLite file, for those who only read.

    Raises:
        UsageError: there is no such store, or it cannot be used.
        StoreUnavailable: it does not answer.
    """
    url = _url(address)
    name = masked(url.render_as_string(hide_password=True))
    if url.get_backend_name() in ("postgresql", "postgres"):
        from processor.store.postgres import PostgresDialect, postgres_engine  # noqa: PLC0415  # Of an extra of its own.

        return Database(postgres_engine(url), PostgresDialect(), name)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise UsageError(f"no store can be at {name}", remedy=_FORMS)
    path = Path(url.database)
    if must_exist and not path.exists():
        raise UsageError(f"there is no store at {path}", remedy="fill one with a3cp export, or name it with --store")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the store", remedy="make it, or name another")
    return Database(sqlite_engine(path), SqliteDialect(), name)


def file_of(address: str) -> Path | None:
    """Return the file of the store at `address`; None if it is a server's. Raises UsageError as `open_store` does."""
    url = _url(address)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _url(address: str) -> URL:
    try:
        return make_url(address)
    except (ArgumentError, ValueError) as error:  # The latter: its port is no number.
        raise UsageError("the store's address cannot be read", remedy=_FORMS) from error
