"""Exporter processes for chaos tests, and what their stores and targets hold, to be compared with a calm run's."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import func, select

from processor.sessions.ports import BEGUN
from processor.store import open_store
from processor.store.tables import EXPORTS, METADATA, SESSIONS, SOURCES
from tests.broker.fleet import TIMEOUT_S, await_true
from tests.conftest import PARTITIONS

# It waits less between two attempts at a target or a session, and between two times of writing training data.
IMPATIENT = """
from processor.processes.exporter import files
from processor.sessions import aside
files.RETRY_S, files.TRAINING_PAUSE, aside.WAIT_MIN_S = 1.0, 1, 1.0
"""
PROGRAM = [sys.executable, "-c", f"{IMPATIENT}\nfrom processor.cli.app import main; main()"]
QUICK = {"A3CP_KAFKA__RECONNECT__BACKOFF__MAX__MS": "500"}


class Exporter:
    """An `a3cp export` with its store and its targets; what it says goes to a file."""

    def __init__(self, environ: Mapping[str, str], address: str, folder: Path, targets: Path | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.targets = targets or folder
        self.address, self.root, self.training = address, self.targets / "bundles", self.targets / "training"
        self.log_file = folder / "export.log"
        self.environ = {**os.environ, **QUICK, **environ}
        self.process: subprocess.Popen[bytes] | None = None
        self.store = open_store(address)

    @property
    def command(self) -> list[str]:
        places = ["--store", self.address, "--to", str(self.root), "--training", str(self.training)]
        return [*PROGRAM, "export", *places]

    def start(self, *options: str) -> None:
        """Start it, unless it runs; it follows."""
        if self.process is None:
            with self.log_file.open("ab") as log:
                command = [*self.command, "--follow", *options]
                self.process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)

    def run(self, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Export up to the end."""
        return subprocess.run(
            self.command, env=self.environ, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def said(self) -> str:
        """Return what it has said so far, when it follows."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def end(self, number: int) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code, self.process = self.process.wait(TIMEOUT_S), None
        return code

    def await_exported(self, bootstrap: str, prefix: str) -> None:
        """Wait until all that the topics hold is in the store, and each session has ended and is in both targets."""
        await_true("all is exported", lambda: not self.left(ends_of(bootstrap, prefix)), TIMEOUT_S)

    def held(self) -> Mapping[tuple[str, int], int]:
        """Return by source how far the store is."""
        with self.store.database.engine.connect() as connection:
            return {(topic, number): offset for topic, number, offset in connection.execute(select(SOURCES))}

    def has_moved(self, before: Mapping[tuple[str, int], int]) -> bool:
        """Whether the store holds other than it did."""
        return self.held() != before

    def left(self, ends: Mapping[tuple[str, int], int]) -> int:
        """Return how many records are not in the store, and sessions not ended or not in both targets."""
        held = self.held()
        with self.store.database.engine.connect() as connection:
            sessions: int = connection.execute(select(func.count()).select_from(SESSIONS)).scalar_one()
            same = (EXPORTS.c.session_id == SESSIONS.c.session_id) & (EXPORTS.c.changes == SESSIONS.c.changes)
            done = select(func.count()).select_from(SESSIONS).join(EXPORTS, same).where(SESSIONS.c.status == "complete")
            exported: int = connection.execute(done).scalar_one()
        unread = sum(max(0, end - held.get(source, 0)) for source, end in ends.items())
        return unread + 2 * sessions - exported

    def rows(self) -> dict[str, list[str]]:
        """Return each table's rows in one order, without what is a store's or a place's own name.

        The notes of who wrote the metadata of open sessions are left out too: only an exporter that follows makes them.
        """
        tables = {}
        begun = sha256(f"{self.root} {BEGUN}".encode()).hexdigest()
        targets = f"{self.root} csv,html,json,jsonl", f"{self.training} parquet"
        keys = [sha256(target.encode()).hexdigest() for target in targets]
        with self.store.database.engine.connect() as connection:
            for table in METADATA.sorted_tables:
                # A text's number is the database's own; `meta` holds a word and places that no other store has.
                columns = [column for column in table.columns if (table.name, column.name) != ("texts", "id")]
                found = connection.execute(select(*columns))
                own = re.compile("id|target .*").fullmatch
                rows = [str(tuple(row)) for row in found if not own(str(row[0])) and row[0] != begun]
                for number, key in enumerate(keys):
                    rows = [row.replace(key, f"target {number}") for row in rows]
                tables[table.name] = sorted(rows)
        return tables

    def files(self) -> dict[str, Any]:
        """Return what each file below the targets holds; of a manifest, all but when it was written.

        An index stands in a folder that is named after its store.
        """
        found: dict[str, Any] = {}
        for path in (*self.root.rglob("*"), *self.training.rglob("*")):
            content = path.read_bytes() if path.is_file() else b""
            if path.name == "manifest.json":
                told = json.loads(content)
                assert told.pop("written_at")
                assert told.pop("sha256")  # The manifest's own, in which the time is.
                content = json.dumps(told).encode()
            name = str(path.relative_to(self.targets))
            found[name.replace(f"index/{self.store.identity}", "index/STORE")] = content
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.end(signal.SIGKILL)
        self.store.close()
        sys.stdout.write(f"--- {self.log_file}\n{self.said()[-6_000:]}\n")  # pytest shows it when the test fails.


def assert_same(exporter: Exporter, calm: Exporter) -> None:
    """The tables hold the same rows and the targets the same files, and nothing temporary is left."""
    rows, files = exporter.rows(), exporter.files()
    calm_rows, calm_files = calm.rows(), calm.files()
    assert [table for table in rows if rows[table] != calm_rows[table]] == []
    assert sorted(files.keys() ^ calm_files.keys()) == []
    assert [name for name in files if files[name] != calm_files[name]] == []
    hidden = [
        path.name for root in (exporter.root, exporter.training) for path in (*root.rglob(".*"), *root.glob(".tmp/*"))
    ]
    assert [name for name in hidden if name != ".tmp" and not name.startswith("lock-")] == []


def ends_of(bootstrap: str, prefix: str) -> dict[tuple[str, int], int]:
    """Return by source where it ends for a reader of committed records: behind the last transaction's marker."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "isolation.level": "read_committed"})
    try:
        return {
            (word, number): reader.get_watermark_offsets(TopicPartition(f"{prefix}.{word}", number), timeout=60)[1]
            for word in ("tagged", "sessions")
            for number in range(PARTITIONS)
        }
    finally:
        reader.close()
