"""Finds what arguments of commands name: a session in the store, a bundle, roots of exports."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from processor.cli.settings import stored
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


def targets_of(roots: list[str] | None) -> list[Target]:
    """Return the places that `--to` names.

    Raises:
        UsageError: one does not exist. Its name may be misspelt, and then its content would stay.
        TargetUnavailable: nobody can tell.
    """
    targets = [Target(root) for root in roots or []]
    for target in targets:
        with target.told("read", "give the right to, then run it again"):
            is_there = target.files.exists(target.root)
        if not is_there:
            raise UsageError(f"there is no {target.root}", remedy="name a root that a3cp export wrote to")
    return targets


def unnamed_roots(known: Iterable[str], targets: Iterable[Target]) -> list[str]:
    """Return the roots of the targets that a store knows, without those of `targets`.

    The name of a known target is its root and, after a blank, its formats.
    """
    named = {name for target in targets for name in (target.name, str(Path(target.root).resolve()))}
    roots = {name.rpartition(" ")[0] for name in known}
    return sorted(root for root in roots if named.isdisjoint((root, str(Path(root).resolve()))))


def is_there(root: str) -> bool:
    """Return whether the root exists. One that is not on this machine counts as existing: nobody can tell."""
    return "://" in root or Path(root).exists()
