"""a3cp erase without Kafka: what its proof says when something is in the way, and when it is run again."""

import hmac
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from processor.cli.erase import _profiles, told_where
from processor.erasing.erasing import remove
from processor.erasing.proof import Proof
from processor.errors import Fatal, StoreUnavailable, UsageError
from processor.profiles import Pseudonyms, open_profiles
from processor.settings.model import Settings
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from processor.wiring import PROFILES_FILE
from tests.removal.stage import export, files, leaks, reader, values
from tests.sessions.exporting import applied
from tests.sessions.outputs import processed

ANNA = "anna-4711"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    """A SQLite store with a person's sessions in it; who waits for its file does not wait for long."""
    monkeypatch.setattr("processor.store.sqlite.BUSY_TIMEOUT_S", 0.1)
    opened = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    yield opened
    opened.close()


def proof(file: Path) -> Proof:
    return Proof(file, ANNA, {"store": {"sessions": 2}, "state": {"topic": "a3cp.state", "partitions": [3]}})


def told(file: Path) -> Any:
    return json.loads(file.read_text())


def test_an_interrupted_erasure_keeps_its_proof(
    store: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows and bundles are gone, their file is not yet clean: the proof says both; the next run says that it is."""
    target = export(store, tmp_path / "root")
    begun = proof(tmp_path / "first.json")
    with reader(tmp_path), pytest.raises(StoreUnavailable), told_where(begun):
        remove(store, [target], ANNA, begun)
    first = told(begun.file)
    assert first["complete"] is False
    assert (first["store"]["sessions"], first["store"]["messages"]) == (2, 5)
    assert (first["targets"][0]["bundles"], first["targets"][0]["rows"]) == (2, 6)
    assert first["state"]["partitions"] == [3]
    assert first["user_hmac_sha256"] == hmac.digest(begun.receipt.encode(), ANNA.encode(), "sha256").hex()
    assert leaks(files(tmp_path / "root").values()) == []
    assert begun.receipt in capsys.readouterr().err

    again = proof(tmp_path / "again.json")
    with told_where(again):
        remove(store, [target], ANNA, again)
    second = told(again.file)
    assert (second["complete"], second["store"]["sessions"], second["targets"][0]["bundles"]) == (True, 0, 0)
    assert leaks(files(tmp_path).values()) == []


def test_a_run_that_is_killed_leaves_what_it_found(tmp_path: Path) -> None:
    """The proof is there before anything is removed, and names nobody; what there was is in it."""
    begun = proof(tmp_path / "proof.json")
    assert (told(begun.file)["complete"], told(begun.file)["store"]) == (False, {"sessions": 2})
    assert ANNA not in begun.file.read_text()
    with pytest.raises(UsageError, match="no proof can be written"):
        proof(begun.file)


def test_a_proof_that_cannot_go_on_is_told(tmp_path: Path) -> None:
    """What it said before is still there."""
    begun = proof(tmp_path / "proof.json")
    (tmp_path / ".proof.json.tmp").symlink_to(tmp_path / "no" / "folder")
    with pytest.raises(Fatal, match="cannot be written"):
        begun.note(complete=True)
    assert told(begun.file)["complete"] is False


def test_a_dry_run_removes_nothing(store: SqlStore, tmp_path: Path) -> None:
    """It tells what the run then does, and needs no proof."""
    target = export(store, tmp_path / "root")
    before = files(tmp_path / "root")
    found = remove(store, [target], ANNA)
    assert files(tmp_path / "root") == before
    assert remove(store, [Target(target.root)], ANNA, proof(tmp_path / "proof.json")) == found


@pytest.mark.parametrize("is_named", [False, True])
def test_the_profiles_of_a3cp_up_are_found(tmp_path: Path, *, is_named: bool) -> None:
    """They stand beside its store; what the settings name goes before. Where there are none, none are made."""
    named = f"sqlite:///{tmp_path / 'named.db'}" if is_named else None
    settings = Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", profile_store_url=named)
    assert (_profiles(settings, ANNA)[0] is None) is not is_named
    assert not (tmp_path / PROFILES_FILE).exists()
    with closing(open_profiles(f"sqlite:///{tmp_path / PROFILES_FILE}", Pseudonyms(b"key"), "a key")) as kept:
        kept.keep_resume(ANNA, {"name": "Anna"})
        profiles, user = _profiles(settings, ANNA)
        assert profiles is not None
        with closing(profiles):
            assert profiles.holds(user) is not is_named
            assert profiles.remove(user) is not is_named
        assert kept.holds(ANNA) is is_named
