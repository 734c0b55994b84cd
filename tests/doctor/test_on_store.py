"""What an exporter writes to is looked at, without a Kafka: the store that is missing, the roots of bundles."""

from pathlib import Path

from processor.doctor.finding import State
from processor.doctor.on_store import of_store
from processor.settings.model import Settings
from processor.store import open_store


def test_a_store_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    """Only exporters have one, and nothing is made."""
    path = tmp_path / "a3cp.db"
    (store,) = of_store(Settings(store_url=f"sqlite:///{path}"), [], 0)
    assert (store.check, store.state) == ("store", State.UNSEEN)
    assert not path.exists()


def test_roots_are_looked_at(tmp_path: Path) -> None:
    """Those that are named and those that the store has exported to, each once; nothing is made there."""
    (tmp_path / "file").touch()
    (tmp_path / "known").mkdir()
    store = open_store(f"sqlite:///{tmp_path / 'a3cp.db'}")
    store.ledger.note_exported(f"{tmp_path / 'known'} jsonl", {"sess_1": 1})
    store.close()
    named = [str(tmp_path / "new" / "below"), str(tmp_path / "file" / "below")]
    new, file, known = of_store(Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}"), named, 0)
    assert (new.state, file.state, known.state) == (State.OK, State.WRONG, State.OK)
    assert "MiB are free" in new.what
    assert str(tmp_path / "file") in file.what
    assert str(tmp_path / "known") in known.what
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a3cp.db", "file", "known"]


def test_another_place_is_not_judged() -> None:
    """What fsspec reaches is the exporter's to try."""
    *_, root = of_store(Settings(store_url="sqlite:////nowhere/a3cp.db"), ["memory://bundles"], 0)
    assert (root.check, root.state) == ("bundle root", State.UNSEEN)
