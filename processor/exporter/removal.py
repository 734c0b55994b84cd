"""Removes sessions from where they were exported to: bundles, and rows of the training data set.

What is there is looked through, whatever a store remembers of it, and also what runs that were killed have left: so
nothing stays that the next run does not find.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from processor.codec.isotime import parse_time
from processor.exporter.bundles.placing import alone_at, leftovers, remove_bundle
from processor.exporter.bundles.reading import METADATA_BYTES_MAX
from processor.exporter.dataset import ROWS_AT_ONCE
from processor.exporter.paths import METADATA, bundle_path, is_date_part
from processor.exporter.target import NotAFile, Target

IsGone: TypeAlias = Callable[[str, str], bool]
"""Whether the session of a user id and a session id is to go."""

_TABLES: Final = ("messages", "captures")
_DATE: Final = "date="


class Cleared(NamedTuple):
    """What was removed below a root, or would be."""

    root: str
    bundles: int
    rows: int  # of the data set
    dates: tuple[str, ...]  # of the data set's files that had them
    unreadable: tuple[str, ...]  # folders of which nobody can tell whose they are
    leftovers: int  # of runs that were killed: folders of bundles, files of the data set

    @property
    def found(self) -> int:
        """How much there was."""
        return self.bundles + self.rows + self.leftovers


class _Named(msgspec.Struct):
    """What decides, of session_metadata.json: bundles of other releases are found too."""

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
    """Remove the bundles and the rows of the data set below `target` that are to go, and what killed runs left of such.

    Args:
        target: the root of bundles, of a data set, or of both.
        is_gone: asked for each session that is there.
        known: id and start, ms, of sessions that are to go for certain: also when their bundle cannot be read.
        until: the UTC date, YYYY-MM-DD, of the latest start to look at; by default all.
        dry_run: change nothing.

    Raises:
        TargetUnavailable: it cannot be read or written; what was removed until then is removed.
    """
    with target.told("cleared", "give the right to, then run it again"):
        left = _clear_leftovers(target, is_gone, dry_run=dry_run)
        bundles, unreadable = _clear_bundles(target, is_gone, dict(known), until, dry_run=dry_run)
        rows: dict[str, int] = {}
        for table in _TABLES:
            for folder in _folders(target, target.path(table)):
                date = folder.removeprefix(_DATE)
                if folder == date or (until is not None and date > until):
                    continue
                with nullcontext() if dry_run else alone_at(target, folder):
                    left += _clear_files(target, f"{table}/{folder}", f".{table}.parquet.", dry_run=dry_run)
                    path = target.path(f"{table}/{folder}/{table}.parquet")
                    if target.files.exists(path) and (count := _clear_file(target, path, is_gone, dry_run=dry_run)):
                        rows[date] = rows.get(date, 0) + count
    return Cleared(target.root, bundles, sum(rows.values()), tuple(sorted(rows)), unreadable, left)


def _clear_leftovers(target: Target, is_gone: IsGone, *, dry_run: bool) -> int:
    """Remove bundles that were not finished or not put away, those too that nobody can read; return how many."""
    count = 0
    for path in leftovers(target):
        named = _named(target, str(path))
        if named is None or is_gone(named.user_id, named.session_id):
            count += 1
            if not dry_run:
                shutil.rmtree(path)
    return count


def _clear_files(target: Target, folder: str, prefix: str, *, dry_run: bool) -> int:
    """Remove the files of a folder whose names begin so; return how many."""
    paths = [entry["name"] for entry in target.files.ls(target.path(folder), detail=True)]
    found = [path for path in paths if path.rpartition("/")[2].startswith(prefix)]
    for path in [] if dry_run else found:
        target.files.rm_file(path)
    return len(found)


def _clear_bundles(
    target: Target, is_gone: IsGone, known: Mapping[str, int], until: str | None, *, dry_run: bool
) -> tuple[int, tuple[str, ...]]:
    gone: dict[str, tuple[str, int]] = {}
    unreadable = []
    paths = {target.path(bundle_path(*session)): session for session in known.items()}
    for path in _bundles(target, until):
        if path in paths:
            gone[path] = paths[path]
            continue
        named = _named(target, path)
        if named is None:
            unreadable.append(path)
        elif is_gone(named.user_id, named.session_id):
            gone[path] = named.session_id, parse_time(named.start_time)
    if not dry_run:
        for session in gone.values():
            remove_bundle(target, *session)
    return len(gone), tuple(unreadable)


def _named(target: Target, path: str) -> _Named | None:
    """Return what the bundle in the folder `path` says of itself; None when that cannot be read."""
    try:
        named = msgspec.json.decode(target.read(f"{path}/{METADATA}", METADATA_BYTES_MAX), type=_Named)
        parse_time(named.start_time)
    except (FileNotFoundError, NotAFile, msgspec.DecodeError, ValueError, RecursionError):
        return None
    return named


def _bundles(target: Target, until: str | None) -> Iterator[str]:
    for date in _folders(target, target.root):
        if is_date_part(date) and (until is None or date <= until):
            for name in _folders(target, target.path(date)):
                yield target.path(f"{date}/{name}")


def _clear_file(target: Target, path: str, is_gone: IsGone, *, dry_run: bool) -> int:
    """Remove rows of one file, or all of it when none is left; return how many."""
    with target.open(path) as source:
        file: Any = pq.ParquetFile(source)
        known: dict[tuple[str, str], bool] = {}
        gone = total = 0
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=["user_id", "session_id"]):
            total += batch.num_rows
            gone += sum(_are_gone(batch, is_gone, known))
        if gone and gone < total and not dry_run:
            _write_rest(target, path, file, lambda batch: _are_gone(batch, is_gone, known))
    if gone and gone == total and not dry_run:
        target.files.rm(path.rpartition("/")[0], recursive=True)
    return gone


def _are_gone(batch: Any, is_gone: IsGone, known: dict[tuple[str, str], bool]) -> list[bool]:
    told = []
    for pair in zip(batch.column("user_id").to_pylist(), batch.column("session_id").to_pylist(), strict=True):
        if pair not in known:
            known[pair] = is_gone(*pair)
        told.append(known[pair])
    return told


def _write_rest(target: Target, path: str, file: Any, are_gone: Callable[[Any], list[bool]]) -> None:
    """Write the file again without what is gone; it appears whole, where renaming is one step."""
    folder, _, name = path.rpartition("/")
    beside = f"{folder}/.{name}.tmp"  # Readers of a data set leave out what begins with a dot.
    try:
        with (
            target.files.open(beside, "wb") as out,
            pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer,
        ):
            for number in range(file.num_row_groups):  # Each was limited by its bytes when it was written.
                _write_kept(writer, file.read_row_group(number), are_gone)
        target.files.mv(beside, path)
    finally:
        if target.files.exists(beside):
            target.files.rm_file(beside)


def _write_kept(writer: Any, group: Any, are_gone: Callable[[Any], list[bool]]) -> None:
    kept = group.filter(pa.array([not gone for gone in are_gone(group)])).to_pylist()
    if kept:  # Made anew from values: a filtered column keeps the words of the rows that went.
        writer.write_table(pa.Table.from_pylist(kept, group.schema))


def _folders(target: Target, path: str) -> list[str]:
    """Return the names of the folders in `path`, sorted; none where there is no such place."""
    try:
        entries = target.files.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory")
