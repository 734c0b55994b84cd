"""The index of a root lists the bundles that a store has written there. So a missing bundle is noticed.

It has a file for each date on which sessions started, below index/<store>/. A bundle is added once the store has noted
that it is in its place, and taken out before it is removed. So every bundle that is listed must be there.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final

import msgspec

from processor.bundles import overview
from processor.bundles.reading import METADATA_BYTES_MAX
from processor.sessions.forms.shapes import Index
from processor.targets.locks import alone_at
from processor.targets.paths import OVERVIEW, path_part
from processor.targets.target import NotAFile, Target

FOLDER: Final = "index"
FORMAT: Final = "a3cp-index/1"
_SUFFIX: Final = ".json"


class Damaged(Exception):
    """An index file that cannot be read."""


def note(target: Target, store: str, date: str, listed: Callable[[], Iterable[str]]) -> None:
    """Add the sessions of `date` that the store has written below `target`.

    Args:
        target: the root.
        store: its identity.
        date: UTC, YYYY-MM-DD.
        listed: returns their ids. It is called while nobody else writes the file.

    Raises:
        OSError: it cannot be written.
    """

    def is_there(session_id: str) -> bool:
        """Return whether its bundle is there. Where nothing can be locked, it may just have been removed."""
        return target.is_local or target.files.exists(target.path(f"{date}/{path_part(session_id)}"))

    def change(before: Collection[str]) -> Iterable[str]:
        now = set(listed())
        return now | {session_id for session_id in before if session_id in now or is_there(session_id)}

    _change(target, _path(target, store, date), date, change)
    _show(target, date)


def note_all(target: Target, store: str, dates: Mapping[str, Iterable[str]]) -> None:
    """Add the sessions of several dates below `target`, to which nobody else writes.

    Raises:
        OSError: it cannot be written.
    """
    for date, listed in dates.items():
        _change(target, _path(target, store, date), date, set(listed).union)
        overview.write_date(target, date, listed)
    overview.write_root(target, dates)


def forget(target: Target, date: str, sessions: Collection[str]) -> None:
    """Take sessions of `date` out of the index, whichever store has written them.

    Raises:
        OSError: it cannot be written.
    """
    for path in list(_files(target, date)):
        _change(target, path, date, lambda before: set(before) - set(sessions))
    _show(target, date)


def read(target: Target) -> Iterator[tuple[str, Index | Damaged]]:
    """Yield path and content of each file of the index below `target`.

    Raises:
        OSError: a folder cannot be read.
    """
    for path in list(_files(target)):
        try:
            yield path, _read(target, path)
        except Damaged as error:
            yield path, error


def _change(target: Target, path: str, date: str, change: Callable[[Collection[str]], Iterable[str]]) -> None:
    with alone_at(target, f"{FOLDER}-{date}"):
        try:
            before = _read(target, path)
        except (FileNotFoundError, Damaged):  # Then it is made anew.
            before = Index(FORMAT, date, [], 0, "")
        now = sorted(set(change(before.sessions)))
        removed = before.removed + len(set(before.sessions) - set(now))
        made = _sealed(Index(FORMAT, date, now, removed, ""))
        if made == before or not (made.sessions or made.removed):
            return
        target.put(path, _render(made))


def _show(target: Target, date: str) -> None:
    """Write the pages that show the index: that of a date, and that of the root."""
    if not target.is_local:
        return
    with alone_at(target, OVERVIEW):
        dates: dict[str, set[str]] = {}
        for _, content in read(target):
            if isinstance(content, Index):
                dates.setdefault(content.date, set()).update(content.sessions)
        overview.write_date(target, date, dates.get(date, ()))
        overview.write_root(target, dates)


def _sealed(index: Index) -> Index:
    return msgspec.structs.replace(index, sha256=sha256(_render(msgspec.structs.replace(index, sha256=""))).hexdigest())


def _render(index: Index) -> bytes:
    return msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"


def _read(target: Target, path: str) -> Index:
    try:
        index = msgspec.json.decode(target.read(path, METADATA_BYTES_MAX), type=Index)
    except (NotAFile, msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Damaged(f"it is no index: {error}") from error
    if index != _sealed(index):
        raise Damaged("its SHA-256 is not that of its content: it was changed")
    return index


def _path(target: Target, store: str, date: str) -> str:
    return target.path(f"{FOLDER}/{path_part(store)}/{date}{_SUFFIX}")


def _files(target: Target, date: str | None = None) -> Iterator[str]:
    """Yield the paths of the index's files; with `date`, only of that date."""
    try:
        stores = sorted(str(path) for path in target.files.ls(target.path(FOLDER), detail=False))
    except FileNotFoundError:
        return
    for store in stores:
        if date is not None:
            if target.files.exists(f"{store}/{date}{_SUFFIX}"):
                yield f"{store}/{date}{_SUFFIX}"
        elif target.files.isdir(store):
            yield from sorted(path for path in target.files.ls(store, detail=False) if path.endswith(_SUFFIX))
