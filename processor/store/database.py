"""A database that SQLAlchemy speaks to: its connections, its transactions, and its errors in our words."""

import contextlib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoneIsFree

from processor.errors import StoreUnavailable, UsageError
from processor.store.dialect import Dialect
from processor.store.tables import SOURCES


class Database:
    """A database and its ways. Each `with` has a connection of its own, so any thread may use it."""

    def __init__(self, engine: Engine, dialect: Dialect, name: str) -> None:
        """Connect when first needed; `name` is what people call it, without a password."""
        self.engine = engine
        self.dialect = dialect
        self.name = name
        weakref.finalize(self, engine.dispose)  # For those who forget `close`, or got an error before they could.

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection to read with.

        Raises:
            StoreUnavailable: the database does not answer.
            UsageError: it cannot be used.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            if self.dialect.is_away(error):
                raise StoreUnavailable(
                    f"the store {self.name} does not answer: {_first_line(error)}",
                    remedy="see that the database runs and has room",
                ) from error
            raise UsageError(
                f"the store {self.name} cannot be used: {_first_line(error)}",
                remedy="check its address (--store, A3CP_STORE_URL), the rights of its user and the room on its disk",
            ) from error
        except NoneIsFree as error:
            raise StoreUnavailable(
                f"the store {self.name} has no connection free", remedy="ask it less at once, or try again"
            ) from error
        except SQLAlchemyError as error:
            raise UsageError(f"the store {self.name} cannot be used: {_first_line(error)}") from error

    @contextlib.contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Connection]:
        """Yield a connection with a transaction, which is committed at the end; an error undoes it.

        `alone`: no exporter writes meanwhile. Raises as `reading`.
        """
        with self.reading() as connection:
            self.dialect.begin_writing(connection)
            if alone:
                connection.execute(select(SOURCES).with_for_update()).all()
            yield connection
            connection.commit()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection all of whose queries read the database as it is at the first. Raises as `reading`."""
        with self.reading() as connection:
            self.dialect.begin_snapshot(connection)
            yield connection

    def page(self, query: Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Return the rows of `query`. No transaction stays open while the caller works with them."""
        with self.reading() as connection:
            return connection.execute(query, values).all()

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()


def _first_line(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
