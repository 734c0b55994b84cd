"""What a store knows of itself: names and values in the table `meta`."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import select, text

from processor.store.database import Database
from processor.store.tables import META

_FIRST: Final = text("INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")


def held(database: Database, names: Sequence[str]) -> Mapping[str, str]:
    """Return what is noted under `names`."""
    found = database.page(select(META.c.name, META.c.value).where(META.c.name.in_(names)))
    return {row.name: row.value for row in found}


def noted_once(database: Database, values: Mapping[str, str]) -> Mapping[str, str]:
    """Return what is noted under the names of `values`; those that are not noted yet are noted first."""
    known = held(database, list(values))
    if known.keys() == values.keys():
        return known
    with database.writing() as connection:
        connection.execute(_FIRST, [{"name": name, "value": value} for name, value in values.items()])
    return held(database, list(values))  # Another exporter may have been first.
