"""What databases do each in their own way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, Select
from sqlalchemy.exc import DBAPIError

from processor.store.rows import Values

CONNECTIONS_MAX: Final = 40
"""Connections of one process: as many threads as a web service reads with. More threads wait for their turn."""

POOL: Final[dict[str, Any]] = {"pool_size": CONNECTIONS_MAX, "max_overflow": 0, "pool_use_lifo": True}
"""How engines keep connections: what is used last is used next, so one thread has one connection."""


class Dialect(Protocol):
    """What a database does its own way."""

    mark: str  # a parameter's place in a statement: `?` or `%s`

    def prepare(self, connection: Connection) -> None:
        """Make what the tables need besides, such as the full-text index; called once the tables are there."""

    def begin_making(self, connection: Connection) -> None:
        """Begin the transaction that makes the tables, and wait for others that do."""

    def begin_writing(self, connection: Connection) -> None:
        """Begin a transaction that will write, and wait for its turn."""

    def begin_snapshot(self, connection: Connection) -> None:
        """Begin a transaction that only reads, and sees nothing that is written meanwhile."""

    def insert(self, connection: Connection, table: str, names: Sequence[str], values: Sequence[Values]) -> None:
        """Insert many rows."""

    def matching(self, words: str, conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any] | None:
        """Return what finds texts with all of `words` that meet `conditions`, latest first.

        Returns None when there is nothing to look for.
        """

    def keep_copy(self, connection: Connection, layout: int) -> Path | None:
        """Copy the database as it was before this transaction, and return where to; None if that is not in its hands.

        Raises:
            UsageError: there is no room, or no right.
        """

    def scrub(self, connection: Connection) -> None:
        """Take what deleted rows held out of the files, as far as that is in a client's hands; outside of transactions.

        Copies that were kept when the store was brought forward go, too.

        Raises:
            StoreUnavailable: others use the database at the moment.
        """

    def is_away(self, error: DBAPIError) -> bool:
        """Whether the database did not answer, or had no time, so that another attempt may succeed."""
