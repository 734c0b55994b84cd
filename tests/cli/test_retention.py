"""a3cp retention: what it prints, what a dry run leaves, and which ages are none."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from processor.cli.app import app
from processor.cli.retention import age_ms
from processor.errors import StoreUnavailable, UsageError
from processor.sessions.ports import SessionFilter
from processor.store import open_store
from tests.cli.running import PROGRAM
from tests.removal.stage import export, files, reader
from tests.sessions.exporting import applied
from tests.sessions.outputs import message, processed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a store with two ended sessions of one user, from 2025, and one message in none."""
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    values = [message("ben", at_ms, transcript="hello") for at_ms in (0, 9_000_000)]
    records = processed([*values, message("cleo", 0, source="model_trainer")])
    applied(store, records)
    store.close()
    return path


def run(path: Path, *arguments: str) -> str:
    return (
        CliRunner()
        .invoke(app, ["retention", "--store", f"sqlite:///{path}", *arguments], catch_exceptions=False)
        .output
    )


def rows(path: Path) -> Sequence[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("sessions", "messages", "texts")]


def test_a_dry_run_removes_nothing(path: Path) -> None:
    """It says what the run then does."""
    before = rows(path)
    dry = run(path, "--older-than", "30d", "--dry-run").splitlines()
    assert rows(path) == before
    assert dry[1] == f"would be removed from sqlite:///{path}: 2 sessions, started 2025-06-15 to 2025-06-15"
    done = run(path, "--older-than", "30d", "--yes").splitlines()
    assert done[1:] == [line.replace("would be removed", "removed") for line in dry[1:]]
    assert rows(path) == [(0,), (0,), (0,)]


def test_json(path: Path) -> None:
    """One object; what is younger stays."""
    told = json.loads(run(path, "--older-than", "1500w", "--json"))
    assert (told["dry_run"], told["store"]["sessions"], told["targets"]) == (False, 0, [])
    assert rows(path) == [(2,), (3,), (2,)]


@pytest.mark.parametrize(("text", "hours"), [("90d", 2160), ("12h", 12), ("2w", 336), ("60min", 1)])
def test_ages(text: str, hours: int) -> None:
    """A number and a unit."""
    assert age_ms(text) == hours * 3_600_000


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "90 d", "90D", "9999999w", "٣d", "1y", "1mins"])
def test_no_ages(text: str) -> None:
    """Whatever could be meant otherwise is refused: it would remove too much."""
    with pytest.raises(UsageError, match="is no age"):
        age_ms(text)


@pytest.mark.parametrize("text", ["6m", "6mo"])
def test_minutes_and_months(text: str) -> None:
    """What may be either is refused, with how to write both."""
    with pytest.raises(UsageError, match="may be minutes or months; write min for minutes, or count months in days"):
        age_ms(text)


@pytest.mark.parametrize(
    ("age", "why"),
    [("30d", "all 2 sessions would go"), ("30min", "30min is less than a day and all 2 sessions would go")],
)
def test_what_is_much_is_asked_for(path: Path, age: str, why: str) -> None:
    """Nobody is there to ask: refused. On a terminal: as it is answered."""
    before = rows(path)
    with pytest.raises(UsageError, match=f"nothing is removed: {why}; add --yes"):
        run(path, "--older-than", age)
    assert answered(path, age, b"n\n") == (1, f"{why}; 0 are kept. Remove 2? [y/N]:nothing is removed")
    assert rows(path) == before
    assert answered(path, age, b"y\n")[0] == 0
    assert rows(path) == [(0,), (0,), (0,)]


def answered(path: Path, age: str, answer: bytes) -> tuple[int, str]:
    """Return exit code and standard error of a run on a terminal on which `answer` is typed."""
    ours, theirs = os.openpty()
    os.write(ours, answer)
    done = subprocess.run(
        [*PROGRAM, "retention", "--store", f"sqlite:///{path}", "--older-than", age],
        stdin=theirs, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    return done.returncode, done.stderr.strip()


def test_what_is_kept_is_told(path: Path, tmp_path: Path) -> None:
    """How many sessions stay, and the roots that were written to and are not named."""
    store = open_store(f"sqlite:///{path}")
    sessions = store.reader.sessions(SessionFilter(), limit=9)
    store.ledger.note_exported(f"{tmp_path} csv,html", {session.session_id: session.changes for session in sessions})
    store.ledger.note_exported(
        f"{tmp_path / 'gone'} csv", {session.session_id: session.changes for session in sessions}
    )
    store.close()
    told = run(path, "--older-than", "30d", "--dry-run").splitlines()
    assert told[-2:] == [
        f"kept in sqlite:///{path}: 0 sessions",
        f"kept below {tmp_path}: what was exported there, since no --to names it",
    ]
    named = json.loads(run(path, "--older-than", "30d", "--dry-run", "--json", "--to", str(tmp_path)))
    assert (named["kept"], named["not_named"]) == (0, [])


@pytest.mark.parametrize(("root", "told"), [("bundels", "there is no"), ("", "names no folder")])
def test_a_root_that_is_not_there(path: Path, root: str, told: str) -> None:
    """A misspelt root, or one from a variable that is not set, is told before anything is removed."""
    before = rows(path)
    with pytest.raises(UsageError, match=told):
        run(path, "--older-than", "30d", "--to", root and str(path.parent / root))
    assert rows(path) == before


def test_a_reader_in_the_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and bundles go, and are told; that the file still holds them is an error, and the next run has the rest."""
    monkeypatch.setattr("processor.store.sqlite.BUSY_TIMEOUT_S", 0.1)
    root = path.parent / "root"
    store = open_store(f"sqlite:///{path}")
    export(store, root)
    store.close()
    arguments = [
        "retention",
        "--store",
        f"sqlite:///{path}",
        "--older-than",
        "30d",
        "--to",
        str(root),
        "--json",
        "--yes",
    ]
    with reader(path.parent):
        result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, StoreUnavailable)
    told = json.loads(result.stdout)
    assert (told["store"]["sessions"], told["targets"][0]["bundles"], told["targets"][0]["rows"]) == (2, 2, 2)
    assert [name for name in files(root) if name.endswith(".json")] == []
    assert json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)["store"]["sessions"] == 0
