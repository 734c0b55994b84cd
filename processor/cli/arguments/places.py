"""Finds what arguments of commands name: a session in the store, a bundle."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from processor.cli.arguments.settings import stored
from processor.errors import UsageError
from processor.sessions.due import view_of
from processor.sessions.model import SessionRow, SessionView
from processor.targets.target import Target

if TYPE_CHECKING:
    from processor.store.sql import SqlStore  # Of an extra, which a bundle does without.


def session_of(store: "SqlStore", name: str) -> SessionRow:
    """Return the session whose id is `name`, or begins with it.

    Raises:
        UsageError: there is none, there are several, or `name` is empty.
    """
    name = name.rstrip("…")  # As a narrow terminal shows it.
    if not name:
        raise UsageError("no session is named", remedy="a3cp sessions list shows those there are")
    found = store.reader.sessions_beginning(name, limit=2)
    exact = [row for row in found if row.session_id == name]
    if not found:
        raise UsageError(f"no session {name} in {store.name}", remedy="a3cp sessions list shows those there are")
    if len(found) > 1 and not exact:
        raise UsageError(f"several sessions begin with {name}", remedy="give more of the id")
    return (exact or found)[0]


@contextmanager
def bundle_or_view(session: str, address: str | None) -> Iterator[Target | SessionView]:
    """Yield the bundle `session` if that is a folder or URL; else the session of this id in the store at `address`.

    Raises as `session_of`.
    """
    if "://" in session or Path(session).is_dir():
        yield Target(session)
        return
    with closing(stored(address)) as opened:
        yield view_of(opened.reader, session_of(opened, session))
