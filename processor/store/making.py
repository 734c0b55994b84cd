"""Makes the tables of a store where there are none, and refuses those of another layout."""

import secrets

from sqlalchemy import inspect

from processor.errors import UsageError
from processor.store import notes
from processor.store.database import Database
from processor.store.tables import META, METADATA, SCHEMA_VERSION


def make_tables(database: Database) -> str:
    """Make the tables where there are none; return the store's identity.

    Raises:
        UsageError: they have another layout than this release's, or the store cannot be opened.
        StoreUnavailable: it does not answer.
    """
    if not _is_made(database):
        _make(database)
    return notes.held(database, ["id"])["id"]


def _is_made(database: Database) -> bool:
    with database.reading() as connection:
        if not inspect(connection).has_table(META.name):
            return False
    made = notes.held(database, ["schema"]).get("schema")
    if made != str(SCHEMA_VERSION):
        raise UsageError(
            f"the store {database.name} has the layout {made}, this release knows {SCHEMA_VERSION}",
            remedy="use the release that made it, or export into a new store",
        )
    return True


def _make(database: Database) -> None:
    with database.reading() as connection:
        database.dialect.begin_making(connection)
        if inspect(connection).has_table(META.name):
            return  # Another exporter was first.
        METADATA.create_all(connection)
        database.dialect.prepare(connection)
        made = [{"name": "schema", "value": str(SCHEMA_VERSION)}, {"name": "id", "value": secrets.token_hex(8)}]
        connection.execute(META.insert(), made)
        connection.commit()
