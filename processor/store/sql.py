"""The `Store` port on any database that SQLAlchemy speaks to: one part for each of its uses."""

from typing import Final

from processor.store.database import Database
from processor.store.ledger import SqlLedger
from processor.store.making import make_tables
from processor.store.reader import SqlReader
from processor.store.removal import SqlRemoval
from processor.store.writer import SqlWriter


class SqlStore:
    """See `Store`."""

    def __init__(self, database: Database) -> None:
        """Open the store, and make the tables where there are none. Raises as `make_tables`."""
        self.database: Final = database
        self.name: Final = database.name
        self.identity: Final = make_tables(database)
        self.reader: Final = SqlReader(database)
        self.writer: Final = SqlWriter(database)
        self.ledger: Final = SqlLedger(database)
        self.removal: Final = SqlRemoval(database)

    def close(self) -> None:
        """See `Store.close`."""
        self.database.close()
