"""What lies below a root: bundles wherever they are, files of the data set, and what is neither.

Links are followed where an export writes through them: a root, a date, a bundle, a folder of the data set. Other places
are named with the reason: links to elsewhere, pipes, archives, files of others. Nothing is opened here.
"""

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from processor.bundles import manifest as manifests
from processor.bundles.index import FOLDER as INDEX
from processor.bundles.placing import MARK
from processor.bundles.seals import FOLDER as SEALS
from processor.targets.locks import LOCK, TEMPORARY
from processor.targets.paths import METADATA, OVERVIEW, RECORDS, is_date_part
from processor.targets.target import Target

TABLES: Final = ("messages", "captures")  # of the data set
DATE: Final = "date="
_MARKS: Final = frozenset((manifests.NAME, METADATA, RECORDS))  # A folder with one of them is a bundle.
_PARQUET: Final = ".parquet"
_NOBODY_KNOWS: Final = "nobody can tell whose it is"


class Kind(Enum):
    """What a place below a root is."""

    BUNDLE = "bundle"
    ROWS = "rows"  # a Parquet file
    PART = "part"  # of a Parquet file, left by a run that was killed
    ALIAS = "alias"  # a link to a folder that was met already
    OTHER = "other"


class Place(NamedTuple):
    """A place below a root. `why` says why nobody can tell whose it is."""

    kind: Kind
    path: str
    why: str = ""


class _Entry(NamedTuple):
    name: str
    path: str
    is_folder: bool  # also behind a link
    is_file: bool  # also behind a link
    is_link: bool
    size: int


def places_below(target: Target, *, until: str | None = None) -> Iterator[Place]:
    """Yield what lies below `target`, each folder once, however many links lead there.

    A place may be removed before the next one is asked for. With `until`, folders of later dates are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    met: set[tuple[int, int]] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(target.root, ())]  # with the names below the root
    while waiting:
        folder, names = waiting.pop()
        try:
            if target.is_local:
                status = Path(folder).stat()
                if (status.st_dev, status.st_ino) in met:
                    if Path(folder).is_symlink():
                        yield Place(Kind.ALIAS, folder)
                    continue
                met.add((status.st_dev, status.st_ino))
            entries = _entries(target, folder)
        except FileNotFoundError:  # It has gone meanwhile, or nothing was ever written there.
            continue
        if not _MARKS.isdisjoint(entry.name for entry in entries):
            yield Place(Kind.BUNDLE, folder)
            continue
        if names[:1] in ((INDEX,), (SEALS,)):  # They name sessions at most; what is in them of others stands below.
            entries = [entry for entry in entries if entry.is_folder or not entry.name.endswith(".json")]
        below = []
        for entry in entries:
            there = (*names, entry.name)
            if _is_later(there, until):
                continue
            if entry.is_folder and (not entry.is_link or _may_lead_elsewhere(target, there)):
                if not (names == (TEMPORARY,) and MARK in entry.name):  # Those are for `leftovers`.
                    below.append((entry.path, there))
            elif (place := _file(entry, names)) is not None:
                yield place
        waiting += reversed(below)


def _entries(target: Target, folder: str) -> list[_Entry]:
    if not target.is_local:
        found = [(entry["name"].rstrip("/"), entry) for entry in target.files.ls(folder, detail=True)]
        entries = [
            _Entry(
                path.rpartition("/")[2], path, one["type"] == "directory", one["type"] == "file", False,
                one.get("size") or 0,
            )
            for path, one in found
            if path != folder  # Some stores list a folder in itself.
        ]  # fmt: skip
        return sorted(entries)
    with os.scandir(folder) as found_here:
        return sorted(_local(entry) for entry in found_here)


def _local(entry: "os.DirEntry[str]") -> _Entry:
    try:
        is_folder, is_file = entry.is_dir(), entry.is_file()
        size = entry.stat().st_size if is_file else 0
    except OSError:  # A link in a circle, or to where nobody may look.
        is_folder, is_file, size = False, False, 0
    return _Entry(entry.name, entry.path, is_folder, is_file, entry.is_symlink(), size)


def _is_later(there: tuple[str, ...], until: str | None) -> bool:
    match there:
        case (date,) if until is not None and is_date_part(date):
            return date > until
        case (table, folder) if until is not None and table in TABLES and folder.startswith(DATE):
            return folder.removeprefix(DATE) > until
    return False


def _may_lead_elsewhere(target: Target, there: tuple[str, ...]) -> bool:
    """Return whether an export would write through a link of this name."""
    match there:
        case (name,):
            root_is_date = is_date_part(target.root.rpartition("/")[2])
            return is_date_part(name) or name in (*TABLES, TEMPORARY) or root_is_date
        case (above, name):
            return is_date_part(above) or (above in TABLES and name.startswith(DATE))
    return False


def _file(entry: _Entry, names: tuple[str, ...]) -> Place | None:
    """Return the place of an entry that is no folder to look into. Returns None if it holds nobody's data."""
    if entry.is_link:
        leads = "a link that is not followed" if entry.is_file or entry.is_folder else "a link that leads nowhere now"
        return Place(Kind.OTHER, entry.path, leads)
    if not entry.is_file:
        return Place(Kind.OTHER, entry.path, "no file and no folder")
    if names == (TEMPORARY,) and entry.name.startswith(LOCK):
        return None
    if entry.name == OVERVIEW and (not names or (len(names) == 1 and is_date_part(names[0]))):
        return None  # The index's pages name who is there now: they are written anew with it.
    if names[:1] and names[0] in TABLES and entry.name.startswith(f".{names[0]}{_PARQUET}."):
        return Place(Kind.PART, entry.path)
    if entry.name.endswith(_PARQUET):
        return Place(Kind.ROWS, entry.path)
    return Place(Kind.OTHER, entry.path, _NOBODY_KNOWS) if entry.size else None
