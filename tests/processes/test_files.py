"""What `a3cp export` says of bundles and training data, and what it tells an operator while it follows."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from processor.cli.printing.exported import files_outcome, tell_files, warn_of_set_aside
from processor.processes.exporter.files import Files, Wanted
from processor.sessions.aside import SetAside
from processor.sessions.ports import SessionFilter
from processor.settings.sources import load
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from tests.bundles.sealing import MemoryLog
from tests.observe.told import Told
from tests.sessions.damaged import BAD, RECORDS, replace_a_value
from tests.sessions.exporting import export

SEALED = "a3cp_export_sealed_timestamp_seconds"


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    """A store with five sessions."""
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    export(opened, RECORDS)
    return opened


@pytest.fixture
def before(store: SqlStore) -> bytes:
    """What a message in it was that cannot be read."""
    return replace_a_value(store)


def files(store: SqlStore, folder: Path, told: Told | None = None, *, seal: bool = False, **options: Any) -> Files:
    settings = load({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, folder).settings
    wanted = Wanted(Target(str(folder / "bundles")), Target(str(folder / "training")), seal=seal)
    return Files(store, settings, wanted, (told or Told()).observer, lambda: False, **options)


@pytest.mark.usefixtures("before")
def test_what_is_set_aside_is_said(store: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that can be is written; what cannot, a bundle and a date, is said on standard error and in the sum."""
    made = files(store, tmp_path)
    made.write_all()
    tell_files(made)
    warn_of_set_aside(made)
    told = capsys.readouterr()
    (session,) = store.reader.sessions(SessionFilter(owner=BAD), limit=2)
    assert made.has_set_aside
    assert "4 written, 1 set aside" in told.out
    bundle, date = told.err.splitlines()
    assert bundle.startswith(f"set aside: bundle {session.session_id}: message 1 of {session.session_id}, tagged[")
    assert date.startswith("set aside: date of training data 2025-06-15: message 1 of sess_")
    assert files_outcome(made)["bundles"]["set_aside"] == 1


def test_nothing_set_aside(store: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then nothing is said of it."""
    made = files(store, tmp_path)
    made.write_all()
    warn_of_set_aside(made)
    assert not made.has_set_aside
    assert capsys.readouterr().err == ""


def test_while_following_it_is_told_once(store: SqlStore, before: bytes, tmp_path: Path) -> None:
    """One line for each, the metric counts it, it is no reason to be not ready, and that it is well is told too."""
    told, minutes = Told(), 0

    def now_s() -> float:
        return minutes * 60.0

    made = files(store, tmp_path, told, monotonic_s=now_s)
    assert made.bundles is not None
    assert made.training is not None
    made.bundles.aside, made.training.aside = SetAside(now_s), SetAside(now_s)
    for minutes in range(3):  # noqa: B007  # It is what `now_s` reads.
        made.write_some(caught_up=False)
    assert told.lines() == [("warning", "write", "set aside")] * 2
    assert told.value("a3cp_export_bundles_total", outcome="set_aside") == 1
    assert told.value("a3cp_export_bundles_total", outcome="written") == 4
    replace_a_value(store, before)
    minutes = 10
    made.write_some(caught_up=False)
    assert told.lines()[2:] == [("info", "write", "no longer set aside")] * 2
    assert told.value("a3cp_export_bundles_total", outcome="written") == 5


def test_an_index_that_was_left_behind_is_made_good(store: SqlStore, tmp_path: Path) -> None:
    """An exporter that was killed before it wrote the index is followed by one that has nothing else to write."""
    files(store, tmp_path).write_all()
    folder = tmp_path / "bundles" / "index"
    whole = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert whole
    for path in whole:
        path.unlink()
    files(store, tmp_path).write_some(caught_up=False)
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == whole


def test_the_day_that_has_ended_is_sealed_while_following(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the store has what the topics have; what keeps it from that is told once, and tried again."""
    log = MemoryLog(is_away=True)
    monkeypatch.setattr("processor.wiring.seal_log", lambda _: log)
    told, now_s = Told(), 0.0
    made = files(store, tmp_path, told, seal=True, monotonic_s=lambda: now_s)
    made.write_some(caught_up=False)
    assert not (tmp_path / "bundles" / "seals").exists()
    assert told.value(SEALED) == 0
    for now_s in (0.0, 1.0, 11.0):  # noqa: B007  # It is what the lambda reads.
        made.write_some(caught_up=True)
    assert (told.lines(), made.seal) == ([("warning", "seal", "trying again")], None)
    assert told.value(SEALED) == 0, "its record is not in the log"
    log.is_away, now_s = False, 30.0
    made.write_some(caught_up=True)
    made.write_some(caught_up=True)
    assert told.lines()[1:] == [("info", "seal", "sealed"), ("info", "seal", "it goes on")]
    assert made.seal is not None
    assert (made.seal.leaves, len(log.records)) == (10, 1)
    until_s = datetime.fromisoformat(f"{made.seal.day}T00:00:00+00:00").timestamp() + 86_400
    assert told.value(SEALED) == until_s

    log.is_away, restarted = True, Told()
    files(store, tmp_path, restarted, seal=True).write_some(caught_up=True)
    assert restarted.value(SEALED) == until_s
