"""Makes the tables of a store where there are none."""

import secrets
from collections.abc import Sequence

from sqlalchemy import inspect

from processor.store import notes
from processor.store.database import Database
from processor.store.forward import LAYOUT_NOTE, Brought, Step, check_layout, layout_of
from processor.store.tables import META, METADATA


def make_tables(database: Database, steps: Sequence[Step], *, may_change: bool) -> tuple[str, Brought | None]:
    """Make the tables where there are none; return the store's identity, and whether it was brought forward.

    Raises:
        UsageError: they have another layout than this release's, or the store cannot be opened.
        StoreUnavailable: it does not answer.
    """
    if not _is_made(database):
        _make(database, layout_of(steps))
    brought = check_layout(database, steps, may_change=may_change)
    return notes.held(database, ["id"])["id"], brought


def _is_made(database: Database) -> bool:
    with database.reading() as connection:
        return inspect(connection).has_table(META.name)


def _make(database: Database, layout: int) -> None:
    with database.reading() as connection:
        database.dialect.begin_making(connection)
        if inspect(connection).has_table(META.name):
            return  # Another exporter was first.
        METADATA.create_all(connection)
        database.dialect.prepare(connection)
        made = [{"name": LAYOUT_NOTE, "value": str(layout)}, {"name": "id", "value": secrets.token_hex(8)}]
        connection.execute(META.insert(), made)
        connection.commit()
