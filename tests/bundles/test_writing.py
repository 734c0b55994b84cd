"""From the topics through the store to bundles and training data: whole, proven, and the same for every store."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from processor.bundles.bundle import BundleOutcome
from processor.bundles.verify import verify
from processor.errors import TargetUnavailable
from processor.sessions.due import hand_on
from processor.sessions.model import Status
from processor.sessions.ports import TAGGED, SessionFilter, SessionReader
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from processor.training.writer import TrainingWriter
from tests.bundles.stage import RECORDS, tree, written
from tests.sessions.exporting import Hasty, export, exporting
from tests.sessions.outputs import CODEC, message, processed


def test_bundles_and_training_data(store, tmp_path):
    """Every session becomes a bundle that verifies, every message a row; a second run has nothing to do."""
    export(store, RECORDS)
    root = tmp_path / "bundles"
    writer = written(store, root)
    totals = store.reader.totals()
    assert set(writer.outcomes) == {BundleOutcome.WRITTEN}
    assert (writer.messages, writer.statuses[Status.COMPLETE]) == (totals.messages, totals.sessions["complete"])
    reports = list(verify(str(root)))
    assert [str(problem) for report in reports for problem in report.problems] == []
    assert len(reports) == sum(totals.sessions.values())
    rows = ds.dataset(root / "training" / "messages", partitioning="hive").to_table()
    assert rows.num_rows == totals.messages
    assert not any(b"word10\\" in content or b'"word10"' in content for content in tree(root).values())
    assert written(store, root).messages == 0


class OnTheWay:
    """Writes bundles in every ninth turn of an exporter."""

    def __init__(self, store: SqlStore, root: Path) -> None:
        self._store, self._root = store, root
        self._turns = 0

    def note(self, session_ids: Sequence[str]) -> None:
        pass

    def write_some(self, *, caught_up: bool) -> None:
        self._turns += 1
        if self._turns % 9 == 0:
            written(self._store, self._root)


def test_in_batches_of_any_size_the_same_tree(tmp_path):
    """A store that was filled bit by bit, with bundles written on the way, ends with the tree of one calm run."""
    trees = []
    for name, chunk in (("calm", 1000), ("restless", 3)):
        store = open_store(f"sqlite:///{tmp_path / name}.db")
        files = OnTheWay(store, tmp_path / name) if name == "restless" else None
        export(store, RECORDS, chunk=chunk, files=files)
        written(store, tmp_path / name)
        store.close()
        trees.append(tree(tmp_path / name))
    assert trees[0] == trees[1]


class Told:
    """Notes at what counts of sessions it was told that the store has caught up."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.counts: list[tuple[bool, int]] = []

    def note(self, session_ids: Sequence[str]) -> None:
        pass

    def write_some(self, *, caught_up: bool) -> None:
        self.counts.append((caught_up, self._store.reader.totals().messages))


def test_it_has_caught_up_once_all_is_stored_that_was_there(tmp_path: Path) -> None:
    """Not before, whatever little is left; so nothing is sealed that lacks what the topics have had."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    told = Told(store)
    exporter = exporting(
        store, RECORDS, files=told, clock=Hasty(), stopped=lambda: bool(told.counts) and told.counts[-1][0]
    )
    exporter.run(to_end=False)
    messages = sum(record.topic == TAGGED for record in RECORDS)
    assert [count for is_caught_up, count in told.counts if is_caught_up] == [messages]
    assert len(told.counts) > 3


def test_a_target_that_cannot_be_written_is_told(tmp_path):
    """A file where the root should be, a full disk: one error with what to do; afterwards the export goes on."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    export(store, RECORDS, chunk=1000)
    root = tmp_path / "bundles"
    root.write_text("in the way")
    with pytest.raises(TargetUnavailable, match="cannot be written"):
        written(store, root)
    root.unlink()
    assert written(store, root).messages == store.reader.totals().messages
    training = TrainingWriter(store.reader, Target("/dev/null/training"), CODEC)
    with pytest.raises(TargetUnavailable, match="cannot be written"):
        hand_on(store.ledger, training, SessionFilter())
    store.close()


def test_a_date_is_written_once_and_again_when_it_changed(tmp_path):
    """One writer, as `--follow` has it: a date's sessions cost one writing, and one that changed later another."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    target = Target(str(tmp_path / "training"))
    training = TrainingWriter(store.reader, target, CODEC)
    rows = []
    for end in (len(RECORDS) // 2, len(RECORDS)):
        export(store, RECORDS[:end])
        for _ in range(2):
            hand_on(store.ledger, training, SessionFilter())
            rows.append(ds.dataset(tmp_path / "training" / "messages").count_rows())
        assert rows[-1] == store.reader.totals().messages
    assert rows[0] == rows[1] < rows[2] == rows[3]
    files = list((tmp_path / "training").rglob("*.parquet"))
    before = [path.stat().st_mtime_ns for path in files]
    assert list(training.take(store.reader.sessions(SessionFilter(), limit=1)))
    assert [path.stat().st_mtime_ns for path in files] == before
    store.close()


class Interrupted:
    """A reader to whom somebody else comes, once, after a date's sessions were read and before their messages are."""

    def __init__(self, reader: SessionReader, come: Callable[[], None]) -> None:
        self._reader, self._come = reader, come
        self._has_come = False

    def messages(self, *args: Any, **named: Any) -> Any:
        if not self._has_come:
            self._has_come = True
            self._come()
        return self._reader.messages(*args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def test_two_exporters_of_one_date(tmp_path):
    """A session that one stores while another has read the date and not yet written it stays in the data set."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    root = tmp_path / "training"
    records = processed([message("anna", 0), message("emil", 1_000)])  # In two partitions.
    store = open_store(address)
    export(store, records[:2])

    def write(store: SqlStore, reader: Any = None) -> None:
        training = TrainingWriter(reader or store.reader, Target(str(root)), CODEC)
        hand_on(store.ledger, training, SessionFilter())

    def store_and_write() -> None:
        later = open_store(address)
        export(later, records)
        write(later)
        later.close()

    other = threading.Thread(target=store_and_write)

    def come() -> None:
        other.start()
        other.join(2)  # It is done, or waits for its turn.

    write(store, Interrupted(store.reader, come))
    other.join()
    assert sorted(ds.dataset(root / "messages").to_table()["user_id"].to_pylist()) == ["anna", "emil"]
    write(store)
    assert sorted(ds.dataset(root / "messages").to_table()["user_id"].to_pylist()) == ["anna", "emil"]
    store.close()
