"""The `Store` port on any database that SQLAlchemy speaks to: one part for each of its uses."""

from collections.abc import Sequence
from typing import Final

from processor.store.database import Database
from processor.store.forward import STEPS, Step, layout_of
from processor.store.ledger import SqlLedger
from processor.store.making import make_tables
from processor.store.reader import SqlReader
from processor.store.removal import SqlRemoval
from processor.store.writer import SqlWriter


class SqlStore:
    """See `Store`."""

    def __init__(self, database: Database, *, may_change: bool = True, steps: Sequence[Step] = STEPS) -> None:
        """Open the store, and make the tables where there are none. Raises as `make_tables`.

        Args:
            database: where it is.
            may_change: bring one of an earlier release forward; else it is refused.
            steps: the ways forward.
        """
        self.database: Final = database
        self.name: Final = database.name
        self.identity, self.brought = make_tables(database, steps, may_change=may_change)
        self.reader: Final = SqlReader(database)
        self.writer: Final = SqlWriter(database, layout_of(steps))
        self.ledger: Final = SqlLedger(database)
        self.removal: Final = SqlRemoval(database)

    def close(self) -> None:
        """See `Store.close`."""
        self.database.close()
