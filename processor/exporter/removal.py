"""Removes sessions from where they were exported to: bundles, and rows of the training data set.

What is there is looked through, whatever a store remembers of it: a run that was killed in between, or one that did not
name a root, leaves nothing that the next one does not find.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from processor.codec.isotime import parse_time
from processor.exporter.dataset import ROWS_AT_ONCE
from processor.exporter.errors import TargetUnavailable
from processor.exporter.paths import METADATA, bundle_path, is_date_part
from processor.exporter.placing import TEMPORARY, remove_bundle
from processor.exporter.target import Target

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

    @property
    def found(self) -> int:
        """How much there was."""
        return self.bundles + self.rows


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
    """Remove the bundles and the rows of the data set below `target` that are to go.

    Args:
        target: the root of bundles, of a data set, or of both.
        is_gone: asked for each session that is there.
        known: id and start, ms, of sessions that are to go for certain: also what a killed run has left of them.
        until: the UTC date, YYYY-MM-DD, of the latest start to look at; by default all.
        dry_run: change nothing.

    Raises:
        TargetUnavailable: it cannot be read or written; what was removed until then is removed.
    """
    try:
        bundles, unreadable = _clear_bundles(target, is_gone, dict(known), until, dry_run=dry_run)
        rows: dict[str, int] = {}
        for table in _TABLES:
            for date, path in _files(target, table, until):
                if count := _clear_file(target, path, is_gone, dry_run=dry_run):
                    rows[date] = rows.get(date, 0) + count
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise TargetUnavailable(
            f"{target.root} cannot be cleared ({why})", remedy="give the right to, then run it again"
        ) from error
    return Cleared(target.root, bundles, sum(rows.values()), tuple(sorted(rows)), unreadable)


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
        try:
            named = msgspec.json.decode(target.files.cat_file(f"{path}/{METADATA}"), type=_Named)
            session = named.session_id, parse_time(named.start_time)
        except (FileNotFoundError, msgspec.DecodeError, ValueError):
            unreadable.append(path)
            continue
        if is_gone(named.user_id, named.session_id):
            gone[path] = session
    if not dry_run:
        left = paths if target.files.exists(target.path(TEMPORARY)) else {}
        for session in {**left, **gone}.values():
            remove_bundle(target, *session)
    return len(gone), tuple(unreadable)


def _bundles(target: Target, until: str | None) -> Iterator[str]:
    for date in _folders(target, target.root):
        if is_date_part(date) and (until is None or date <= until):
            for name in _folders(target, target.path(date)):
                yield target.path(f"{date}/{name}")


def _files(target: Target, table: str, until: str | None) -> Iterator[tuple[str, str]]:
    """Yield date and path of each file of a table of the data set."""
    for folder in _folders(target, target.path(table)):
        date = folder.removeprefix(_DATE)
        path = target.path(f"{table}/{folder}/{table}.parquet")
        if folder.startswith(_DATE) and (until is None or date <= until) and target.files.exists(path):
            yield date, path


def _clear_file(target: Target, path: str, is_gone: IsGone, *, dry_run: bool) -> int:
    """Remove rows of one file, or all of it when none is left; return how many."""
    with target.files.open(path, "rb") as source:
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
            for batch in file.iter_batches(ROWS_AT_ONCE):
                kept = batch.filter(pa.array([not gone for gone in are_gone(batch)])).to_pylist()
                if kept:  # Made anew from values: a filtered column keeps the words of the rows that went.
                    writer.write_table(pa.Table.from_pylist(kept, file.schema_arrow))
        target.files.mv(beside, path)
    finally:
        if target.files.exists(beside):
            target.files.rm_file(beside)


def _folders(target: Target, path: str) -> list[str]:
    """Return the names of the folders in `path`, sorted; none where there is no such place."""
    try:
        entries = target.files.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory")
