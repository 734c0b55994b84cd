"""What must not be kept is in no store, bundle or data set, however it is spelt; what only looks like it is."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from processor.bundles.bundle import write_bundle
from processor.bundles.reading import read_records
from processor.bundles.verify import verify
from processor.sessions.due import view_of
from processor.sessions.model import SessionView
from processor.sessions.ports import SessionFilter
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.targets.paths import date_part
from processor.targets.target import Target
from processor.training.dataset import write_date
from tests.sessions.outputs import CODEC, DECODE, START_MS, message, processed
from tests.withheld_records import KEPT, MEDIA, PARTIAL, SECRET


def exported(folder: Path, values: list[bytes]) -> tuple[SessionView, Path]:
    """Return the one session of `values` and its bundle; store, bundle and data set lie in `folder`."""
    with closing(open_store(f"sqlite:///{folder / 'store.db'}")) as store:
        Materializer(store.writer, DECODE).apply(processed(values), {})
        (row,) = store.reader.sessions(SessionFilter(), limit=10)
        view = view_of(store.reader, row)
        rows, events = list(view.messages()), list(view.events())
        view = SessionView(row, lambda: iter(rows), lambda: iter(events))
    path = Path(write_bundle(Target(str(folder / "bundles")), view, CODEC, now_ms=START_MS).path)
    write_date(Target(str(folder / "training")), date_part(row.start_ms), [view], CODEC)
    return view, path


def assert_nowhere(folder: Path) -> None:
    """No byte of what was secret is in any file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    for path in folder.rglob("*.parquet"):
        assert SECRET not in str(pq.read_table(path).to_pylist())


@pytest.mark.parametrize(("records", "why"), [(MEDIA, "raw media"), (PARTIAL, "partial transcript")])
def test_messages_without_what_they_said(tmp_path: Path, records: dict[str, dict[str, Any]], why: str) -> None:
    """Each stands in its place with hash and size; the bundle's proof holds."""
    values = [message("anna", number * 100, **more) for number, more in enumerate(records.values())]
    view, path = exported(tmp_path, values)
    told = {name: row.withheld for name, row in zip(records, view.messages(), strict=True)}
    assert told == dict.fromkeys(records, why)
    assert {record.line.withheld for record in read_records(Target(str(path)))} == {why}
    assert [str(problem) for report in verify(str(path), CODEC) for problem in report.problems] == []
    assert_nowhere(tmp_path)


def test_commands_without_what_they_brought(tmp_path: Path) -> None:
    """Notes, contexts and steps may hold media as well."""
    values = [message("anna", 0)]
    for number, more in enumerate((*MEDIA.values(), *PARTIAL.values()), 1):
        values.append(message("anna", number * 100, command="context", context=more))
        values.append(message("anna", number * 100 + 1, command="step", name="s", data=more))
        values.append(message("anna", number * 100 + 2, command="note", note=json.dumps(more)))
    _, path = exported(tmp_path, values)
    assert [str(problem) for report in verify(str(path), CODEC) for problem in report.problems] == []
    assert_nowhere(tmp_path)


def test_what_only_looks_like_it_is_kept(tmp_path: Path) -> None:
    """Each is in the bundle, byte for byte."""
    values = [message("anna", number * 100, **more) for number, more in enumerate(KEPT.values())]
    _, path = exported(tmp_path, values)
    kept = dict(zip(KEPT, (record.content for record in read_records(Target(str(path)))), strict=True))
    assert kept == dict(zip(KEPT, values, strict=True))
