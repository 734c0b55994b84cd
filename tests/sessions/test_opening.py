"""A store that several begin at once."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from processor.store import open_store


def test_a_new_file_that_another_is_writing(tmp_path: Path) -> None:
    """Who opens it waits until the other has done, though SQLite would refuse at once."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE theirs(x)")
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ["COMMIT"])
        release.start()
        store = open_store(f"sqlite:///{path}")
        release.join()
        assert store.writer.offsets() == {}
        store.close()
