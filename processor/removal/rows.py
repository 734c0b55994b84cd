"""Removes rows from one Parquet file of the training data set.

It needs Arrow, so it is loaded only where there is such a file.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from processor.targets.target import Target
from processor.training.dataset import ROWS_AT_ONCE


class NotRows(Exception):
    """The file holds no rows of sessions, or cannot be read."""


def clear_rows(target: Target, path: str, is_gone: Callable[[str, str], bool], *, dry_run: bool) -> tuple[int, int]:
    """Return how many rows of the file at `path` are to go by `is_gone`, and how many it has.

    The file is written again without them, unless all are to go: then it is the caller's to remove.

    Raises:
        NotRows: nobody can tell whose rows they are.
    """
    known: dict[tuple[str, str], bool] = {}
    gone = total = 0
    try:
        with target.open(path) as source:
            file: Any = pq.ParquetFile(source)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=["user_id", "session_id"]):
                total += batch.num_rows
                gone += sum(_are_gone(batch, is_gone, known))
            if 0 < gone < total and not dry_run:
                _write_rest(target, path, file, lambda batch: _are_gone(batch, is_gone, known))
    except (pa.ArrowInvalid, KeyError) as error:
        raise NotRows from error
    return gone, total


def _are_gone(batch: Any, is_gone: Callable[[str, str], bool], known: dict[tuple[str, str], bool]) -> list[bool]:
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
    """Write the rows of one group that stay; a function of its own, so that one group at a time is in memory."""
    kept = group.filter(pa.array([not gone for gone in are_gone(group)])).to_pylist()
    if kept:  # Made anew from values: a filtered column keeps the words of the rows that went.
        writer.write_table(pa.Table.from_pylist(kept, group.schema))
