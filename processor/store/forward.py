"""The ways of a store from one layout to the next, and the copy that is kept of what was before (docs/adr/0030)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Connection, select, update

from processor.errors import UsageError
from processor.store import notes
from processor.store.database import Database
from processor.store.tables import META, SOURCES

Step = Callable[[Connection], None]

FIRST_LAYOUT: Final = 5
"""The first layout that was recorded (tests/upgrades). Nothing leads here from those before it."""


def _add_traces(connection: Connection) -> None:
    for table in ("messages", "events"):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN trace_id TEXT")


STEPS: Final[Sequence[Step]] = (_add_traces,)
"""What makes of each layout the next one, from the first on. It only adds; once released it is never changed."""

LAYOUT_NOTE: Final = "schema"
"""The name under which a store notes its layout."""


class Brought(NamedTuple):
    """A store was brought forward."""

    layout: int  # which it had
    copy: Path | None  # of the store as it was; None: its operator keeps one

    def __str__(self) -> str:
        """Return the words for it."""
        kept = "" if self.copy is None else f"; as it was, it is kept at {self.copy}"
        return f"the store had the layout {self.layout} and was brought forward{kept}"


def layout_of(steps: Sequence[Step] = STEPS) -> int:
    """Return the layout that this release reads and writes."""
    return FIRST_LAYOUT + len(steps)


def check_layout(database: Database, steps: Sequence[Step], *, may_change: bool) -> Brought | None:
    """Check that a store has this release's layout. An earlier one is brought forward, if `may_change`.

    Raises:
        UsageError: it has another layout, or no copy can be kept of it.
    """
    held, wanted = int(notes.held(database, [LAYOUT_NOTE]).get(LAYOUT_NOTE, 0)), layout_of(steps)
    if held == wanted:
        return None
    if FIRST_LAYOUT <= held < wanted and may_change:
        return _bring_forward(database, steps)
    if held > wanted:
        remedy = "use the release that wrote it, or go back as docs/operations.md, “Going back”, says"
    elif held >= FIRST_LAYOUT:
        remedy = "run a3cp export once: it brings the store forward"
    else:
        remedy = "export into a new store"
    raise UsageError(
        f"the store {database.name} has the layout {held}, this release reads and writes {wanted}", remedy=remedy
    )


def _bring_forward(database: Database, steps: Sequence[Step]) -> Brought | None:
    """Bring a store forward in one transaction, while no exporter writes. An error leaves all as it was."""
    with database.reading() as connection:
        database.dialect.begin_making(connection)
        connection.execute(select(SOURCES).with_for_update()).all()
        held = int(connection.execute(select(META.c.value).where(META.c.name == LAYOUT_NOTE)).scalar_one())
        if held == layout_of(steps):
            return None  # Another exporter was first.
        copy = database.dialect.keep_copy(connection, held)
        for step in steps[held - FIRST_LAYOUT :]:
            step(connection)
        connection.execute(update(META).where(META.c.name == LAYOUT_NOTE).values(value=str(layout_of(steps))))
        connection.commit()
    return Brought(held, copy)
