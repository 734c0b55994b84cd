"""A store goes from one layout to the next and back, once a release changes it. The steps here are made up."""

import os
import re
import subprocess
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from processor.errors import UsageError
from processor.sessions.model import SessionRow
from processor.sessions.ports import EVERYTHING
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.store.forward import FIRST_LAYOUT, STEPS, Step, layout_of
from processor.store.opening import open_database
from processor.store.sql import SqlStore
from tests.postgres import Cluster, programs
from tests.sessions.outputs import DECODE, message, processed

RECORDS = processed([message("anna", 0, text="früh"), message("ben", 1_000), message("anna", 2_000, text="spät")])
HALF = len(RECORDS) // 2
NOW = layout_of()
DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


def add_a_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE sessions ADD COLUMN weather TEXT")


def fill_it(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE sessions SET weather = 'fine'")


NEXT = (*STEPS, add_a_column, fill_it)


def of_next_release(address: str, steps: Sequence[Step] = NEXT) -> SqlStore:
    """Open a store as the exporter of a release does whose layout is two steps further."""
    return SqlStore(open_database(address), steps=steps)


def exported(store: SqlStore, records: list[OutputRecord]) -> SqlStore:
    """Store `records` behind those that the store holds."""
    known = store.writer.offsets()
    offsets = {(row.topic, row.partition): row.offset + 1 for row in records}
    moves = {source: (known.get(source), offset) for source, offset in offsets.items()}
    Materializer(store.writer, DECODE).apply(records, moves)
    return store


def sessions(store: SqlStore) -> Sequence[SessionRow]:
    return store.reader.sessions(EVERYTHING, limit=10)


@pytest.fixture
def held(store: SqlStore) -> Sequence[SessionRow]:
    """Fill the store with the first half of the records, as this release does; return its sessions."""
    held = sessions(exported(store, RECORDS[:HALF]))
    store.close()
    return held


def test_forward(address: str, held: Sequence[SessionRow]) -> None:
    """All rows are kept, each step is gone once, and the exporter goes on where it was."""
    with closing(of_next_release(address)) as store:
        assert store.brought is not None
        assert str(store.brought).startswith(f"the store had the layout {NOW} and was brought forward")
        assert sessions(store) == held
        with store.database.reading() as connection:
            assert set(connection.exec_driver_sql("SELECT weather FROM sessions").scalars()) == {"fine"}
        exported(store, RECORDS[HALF:])
        assert sum(row.held_count for row in sessions(store)) == 3
    with closing(of_next_release(address)) as again:
        assert again.brought is None


def test_only_exporters_bring_it_forward(address: str, held: Sequence[SessionRow]) -> None:
    """Whoever only reads a store of an earlier release is told how it comes forward, and changes nothing."""
    with pytest.raises(UsageError, match=f"has the layout {NOW}, .* writes {NOW + 2}; run a3cp export once"):
        SqlStore(open_database(address), may_change=False, steps=NEXT)
    with closing(open_store(address)) as store:
        assert sessions(store) == held


def test_a_store_of_a_later_release_is_refused(address: str, held: Sequence[SessionRow]) -> None:
    """This release does not touch it, and says what to do."""
    of_next_release(address).close()
    for must_exist in (True, False):
        with pytest.raises(UsageError, match=rf"layout {NOW + 2}, .* writes {NOW}; use the .*operations\.md"):
            open_store(address, must_exist=must_exist)


def test_a_store_from_before_the_first_release_is_refused(store: SqlStore, address: str) -> None:
    """No step leads from there."""
    with store.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE meta SET value = '{FIRST_LAYOUT - 1}' WHERE name = 'schema'")
    with pytest.raises(UsageError, match="export into a new store"):
        of_next_release(address)


def test_an_exporter_that_still_runs_is_refused(store: SqlStore, address: str) -> None:
    """One of the former release writes nothing into a store that was brought forward meanwhile."""
    exported(store, RECORDS[:HALF])
    with closing(of_next_release(address)) as forward:
        with pytest.raises(UsageError, match=f"another release has given the store the layout {NOW + 2}"):
            exported(store, RECORDS[HALF:])
        exported(forward, RECORDS[HALF:])
        assert sum(row.held_count for row in sessions(forward)) == 3


def test_a_step_that_fails_leaves_all_as_it_was(address: str, held: Sequence[SessionRow]) -> None:
    """The former release works on, and a mended one can bring the store forward later."""

    def fail(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT x FROM nowhere")

    with pytest.raises(UsageError, match="nowhere"):
        of_next_release(address, (*NEXT, fail))
    with closing(open_store(address)) as store:
        assert sessions(exported(store, RECORDS[HALF:])) != held
    with closing(of_next_release(address)) as store:
        assert store.brought is not None
        assert sum(row.held_count for row in sessions(store)) == 3


def test_two_at_once(address: str, held: Sequence[SessionRow]) -> None:
    """Who comes second waits, and finds it done."""
    brought = []

    def bring() -> None:
        with closing(of_next_release(address)) as store:
            brought.append(store.brought)
            assert sessions(store) == held

    threads = [threading.Thread(target=bring) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(brought) == 3
    assert sum(one is not None for one in brought) == 1


def copy_of(store: SqlStore) -> Path:
    assert store.brought is not None
    assert store.brought.copy is not None
    return store.brought.copy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a store that was brought forward, and then filled."""
    path = tmp_path / "a3cp.db"
    with closing(open_store(f"sqlite:///{path}")) as store:
        exported(store, RECORDS[:HALF])
        with closing(of_next_release(f"sqlite:///{path}")) as forward:  # The other has its write-ahead log still.
            assert copy_of(forward) == tmp_path / f"a3cp.db.layout-{NOW}"
            exported(forward, RECORDS[HALF:])
    return path


def documented(word: str) -> str:
    """Return the commands of docs/operations.md, "Going back", that name `word`."""
    section = DOCUMENT.read_text("utf-8").partition("### Going back\n")[2].partition("\n## ")[0]
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return next(block for block in blocks if word in block)


def bash(script: str, folder: Path, **environ: str) -> None:
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def is_as_if_never_forward(store: SqlStore, folder: Path) -> bool:
    """Export what is not in `store` (again), and compare it with a store that was never brought forward."""
    assert sum(row.held_count for row in sessions(store)) < 3
    with closing(open_store(f"sqlite:///{folder / 'never.db'}")) as never:
        return sessions(exported(store, RECORDS[HALF:])) == sessions(exported(never, RECORDS))


def test_back_once(file: Path, tmp_path: Path) -> None:
    """The copy is the store as it was. What was exported since comes from the topics once more."""
    bash(documented("mv").replace("layout-5", f"layout-{NOW}"), tmp_path)
    with closing(open_store(f"sqlite:///{file}")) as store:
        assert is_as_if_never_forward(store, tmp_path)


def test_back_once_in_postgresql(cluster: Cluster, prefix: str, tmp_path: Path) -> None:
    """The same with what pg_dump wrote before the upgrade."""
    address = cluster.new_database(prefix)
    found = programs()
    assert found is not None
    environ = {"A3CP_STORE_URL": address, "PATH": f"{found}:{os.environ['PATH']}"}
    with closing(open_store(address)) as store:
        exported(store, RECORDS[:HALF])
    bash(documented("pg_dump"), tmp_path, **environ)
    with closing(of_next_release(address)) as forward:
        exported(forward, RECORDS[HALF:])
    bash(documented("pg_restore"), tmp_path, **environ)
    with closing(open_store(address)) as store:
        assert is_as_if_never_forward(store, tmp_path)


def test_a_copy_goes_with_what_is_removed(file: Path, tmp_path: Path) -> None:
    """What a removal takes out of a store is not left in a copy beside it."""
    with closing(of_next_release(f"sqlite:///{file}")) as store:
        store.removal.scrub()
    assert [path.name for path in tmp_path.iterdir()] == ["a3cp.db"]


def test_without_a_copy_nothing_is_changed(tmp_path: Path) -> None:
    """Where there is no room for the copy, the store stays as it is."""
    address = f"sqlite:///{tmp_path / 'a3cp.db'}"
    open_store(address).close()
    (tmp_path / f"a3cp.db.layout-{NOW}").mkdir()
    with pytest.raises(UsageError, match=r"stays as it is: no copy of it can be kept at .*layout-"):
        of_next_release(address)
    open_store(address).close()
