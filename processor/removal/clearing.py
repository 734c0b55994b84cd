"""Removes sessions from where they were exported to: bundles, and rows of the training data set.

All that is there is searched, whatever a store remembers of it, and so is what killed runs have left. So the next run
finds all that this one could not remove.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias, assert_never

import msgspec

from processor.bundles import index
from processor.bundles.check import name_of
from processor.bundles.placing import leftovers, remove_bundle, remove_folder
from processor.bundles.reading import METADATA_BYTES_MAX
from processor.codec.isotime import parse_time
from processor.removal.below import DATE, Kind, places_below
from processor.targets.locks import alone_at
from processor.targets.paths import METADATA, bundle_path, date_part, path_part
from processor.targets.target import NotAFile, Target
from processor.upstream.words.counting import counted

IsGone: TypeAlias = Callable[[str, str], bool]
"""Says whether the session of a user id and a session id is to go."""


class Cleared(NamedTuple):
    """What was removed below a root, or would be."""

    root: str
    bundles: int
    rows: int  # of the data set
    dates: tuple[str, ...]  # of the data set's files that had them
    unreadable: tuple[str, ...]  # bundles whose owner nobody can tell
    others: tuple[str, ...]  # other places of which nobody can tell, and files with a second name; each with the reason
    leftovers: int  # of killed runs: folders of bundles, files of the data set

    @property
    def found(self) -> int:
        """How many things were found to remove."""
        return self.bundles + self.rows + self.leftovers

    @property
    def is_whole(self) -> bool:
        """Whether everything below the root was judged, and nothing that went has a second name."""
        return not self.unreadable and not self.others


class _Named(msgspec.Struct):
    """The fields of session_metadata.json that decide; bundles of other releases have them too."""

    session_id: str
    user_id: str
    start_time: str


def clear(
    target: Target,
    is_gone: IsGone,
    *,
    known: Iterable[tuple[str, int]] = (),
    until: str | None = None,
    dry_run: bool = False,
) -> Cleared:
    """Remove the bundles and rows of the data set below `target` that are to go, and what killed runs left of them.

    Args:
        target: the root of bundles, of a data set, or of both.
        is_gone: asked for each session that is there.
        known: id and start, ms, of sessions that are to go even if their bundle cannot be read.
        until: the UTC date, YYYY-MM-DD, of the latest start to look at; by default all.
        dry_run: change nothing.

    Raises:
        TargetUnavailable: it cannot be read or written; what was removed until then is removed.
    """
    with target.told("cleared", "give the right to, then run it again"):
        return _Clearing(target, is_gone, dict(known), dry_run=dry_run).run(until)


class _Clearing:
    """One walk through what is below a root."""

    def __init__(self, target: Target, is_gone: IsGone, known: Mapping[str, int], *, dry_run: bool) -> None:
        self._target = target
        self._is_gone = is_gone
        self._known = {target.path(bundle_path(*session)): session[1] for session in known.items()}
        self._known_names = {path_part(session_id) for session_id in known}
        self._dry_run = dry_run
        self._gone: list[tuple[str, _Named | None]] = []  # bundles
        self._leftovers = 0
        self._rows: dict[str, int] = {}
        self._unreadable: list[str] = []
        self._others: list[str] = []
        self._names: dict[tuple[int, int], int] = {}  # files that went -> how many further names they have

    def run(self, until: str | None) -> Cleared:
        target = self._target
        if not target.is_local:
            target.files.invalidate_cache()  # Others may have written since it was listed.
        self._clear_leftovers()
        aliases = []
        for place in places_below(target, until=until):
            match place.kind:
                case Kind.BUNDLE:
                    self._bundle(place.path)
                case Kind.ROWS:
                    self._file(place.path)
                case Kind.PART:
                    self._leftovers += 1
                    self._remove_file(place.path)
                case Kind.ALIAS:
                    aliases.append(Path(place.path))
                case Kind.OTHER:
                    self._others.append(f"{place.path}: {place.why}")
                case _:
                    assert_never(place.kind)
        if not self._dry_run:
            self._remove_bundles()
            for link in aliases:
                if not link.exists():
                    link.unlink()
        if elsewhere := sum(count > 0 for count in self._names.values()):
            self._others.append(
                f"{target.root}: {counted(elsewhere, 'file that goes has', 'files that go have')} "
                "other names too, as hard links"
            )
        dates = tuple(sorted(self._rows))
        unreadable, others = tuple(sorted(self._unreadable)), tuple(sorted(self._others))
        rows = sum(self._rows.values())
        return Cleared(target.root, len(self._gone), rows, dates, unreadable, others, self._leftovers)

    def _clear_leftovers(self) -> None:
        """Remove unfinished bundles and replaced ones that were left, also if nobody can read them."""
        for path in leftovers(self._target):
            named = _named(self._target, str(path))
            if named is None or self._is_gone(named.user_id, named.session_id):
                self._leftovers += 1
                self._note_names(path)
                if not self._dry_run:
                    remove_folder(path)

    def _bundle(self, path: str) -> None:
        named = _named(self._target, path)
        if path in self._known or (named is None and name_of(path) in self._known_names):
            pass
        elif named is None:
            self._unreadable.append(path)
            return
        elif not self._is_gone(named.user_id, named.session_id):
            return
        self._gone.append((path, named))
        if self._target.is_local:
            self._note_names(Path(path))

    def _remove_bundles(self) -> None:
        """Remove the bundles, from the index first. So the index never lists one that is gone."""
        by_date: dict[str, list[str]] = {}
        for path, named in self._gone:
            start_ms = self._known.get(path) if named is None else parse_time(named.start_time)
            if start_ms is not None:
                session_id = name_of(path) if named is None else named.session_id
                by_date.setdefault(date_part(start_ms), []).append(session_id)
        for date, sessions in by_date.items():
            index.forget(self._target, date, sessions)
        for path, _ in self._gone:
            remove_bundle(self._target, path)

    def _note_names(self, folder: Path) -> None:
        """Note the files of `folder` that stay under another name, and the links in it."""
        for above, folders, files in os.walk(folder):
            for name in (*folders, *files):
                path = Path(above, name)
                status = path.lstat()
                if path.is_symlink():
                    self._others.append(f"{path}: a link that is not followed")
                elif name in files and status.st_nlink > 1:
                    self._note_name(status)

    def _note_name(self, status: os.stat_result) -> None:
        file = status.st_dev, status.st_ino
        self._names[file] = self._names.get(file, status.st_nlink) - 1

    def _remove_file(self, path: str) -> None:
        if self._target.is_local and (status := Path(path).lstat()).st_nlink > 1:
            self._note_name(status)
        if not self._dry_run:
            self._target.files.rm_file(path)

    def _file(self, path: str) -> None:
        """Remove rows of one Parquet file, or all of it when none is left."""
        from processor.removal.rows import NotRows, clear_rows  # noqa: PLC0415  # Of the extra `export`, and large.

        folder = name_of(path.rpartition("/")[0])
        with nullcontext() if self._dry_run else alone_at(self._target, folder):
            try:
                gone, total = clear_rows(self._target, path, self._is_gone, dry_run=self._dry_run)
                if gone and gone == total:
                    self._remove_file(path)
                    if self._target.is_local and not self._dry_run:
                        with suppress(OSError):  # Others have something there.
                            Path(path).parent.rmdir()
            except FileNotFoundError:  # By another run.
                return
            except NotRows:
                self._others.append(f"{path}: it cannot be read, so nobody can tell whose it is")
                return
        if gone:
            date = folder.removeprefix(DATE)
            self._rows[date] = self._rows.get(date, 0) + gone


def _named(target: Target, path: str) -> _Named | None:
    """Return what the bundle in the folder `path` says of itself. Returns None if it cannot be read."""
    file = f"{path}/{METADATA}"
    try:
        named = msgspec.json.decode(target.read(file, METADATA_BYTES_MAX), type=_Named)
        parse_time(named.start_time)
    except (FileNotFoundError, NotAFile, msgspec.DecodeError, ValueError, RecursionError):
        return None
    return named
