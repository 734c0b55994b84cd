"""Bundles written by several processes are those that one writes, and signed by each."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from processor.bundles.bundle import BundleOutcome
from processor.bundles.keys import make_keys, read_public_keys
from processor.bundles.verify import verify
from processor.errors import TargetUnavailable
from processor.processes.exporter.writers import Writers
from processor.sessions.due import hand_on
from processor.sessions.ports import SessionFilter
from processor.settings.sources import load
from processor.store import open_store
from tests.bundles.stage import RECORDS, tree, writer_to, written
from tests.patience import until
from tests.sessions.damaged import replace_a_value
from tests.sessions.exporting import export

BEGUN = """
import sys, time
from pathlib import Path
from processor.processes.exporter.writers import Writers
from processor.settings.sources import load
from processor.sessions.ports import SessionFilter
settings = load({"A3CP_STORE_URL": sys.argv[1], "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, Path(sys.argv[2])).settings
from tests.bundles.stage import writer_to
from processor.store import open_store
if __name__ == "__main__":
    store = open_store(sys.argv[1])
    with Writers(writer_to(store, sys.argv[2]), settings) as writers:
        next(writers.take(store.reader.sessions(SessionFilter(), limit=1)))
        print("ready", flush=True)
        time.sleep(60)
"""


def test_the_same_tree(tmp_path: Path) -> None:
    """All files are equal, and all is counted."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(address)
    export(store, RECORDS)
    alone = written(store, tmp_path / "alone")
    key_id = make_keys(tmp_path / "key")
    environ = {"A3CP_STORE_URL": address, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    settings = load({**environ, "A3CP_SIGN_KEY_FILE": str(tmp_path / "key")}, tmp_path).settings
    root = str(tmp_path / "pool")
    writer = writer_to(store, root)
    with Writers(writer, settings) as writers:
        count = hand_on(store.ledger, writers, SessionFilter())
    assert count == sum(store.reader.totals().sessions.values())
    assert (writer.outcomes, writer.statuses, writer.messages) == (alone.outcomes, alone.statuses, alone.messages)
    bundles = {name: text for name, text in tree(tmp_path / "alone").items() if not name.startswith("training")}
    pool = {name: text for name, text in tree(tmp_path / "pool").items() if not name.endswith("manifest.sig")}
    assert {name: text for name, text in pool.items() if not name.startswith(".tmp")} == {
        name: text for name, text in bundles.items() if not name.startswith(".tmp")
    }
    checked = list(verify(root, keys=read_public_keys([tmp_path / "key.pub"])))
    assert [(report.is_sound, report.signed_by) for report in checked] == [(True, key_id)] * count


def test_what_fails_in_a_process_is_told(tmp_path: Path) -> None:
    """The error of one that cannot write arrives whole, and nothing counts as written."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(address)
    export(store, RECORDS)
    settings = load({"A3CP_STORE_URL": address, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, tmp_path).settings
    root = tmp_path / "file"
    root.write_text("no folder")
    with (
        Writers(writer_to(store, str(root)), settings) as writers,
        pytest.raises(TargetUnavailable, match="make room or give the right to"),
    ):
        hand_on(store.ledger, writers, SessionFilter())
    assert len(store.ledger.unexported(writer_to(store, str(root)).name, SessionFilter(), limit=99)) == sum(
        store.reader.totals().sessions.values()
    )


def test_one_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    """Its error arrives whole, all others are written, and it alone is due again."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(address)
    export(store, RECORDS)
    replace_a_value(store)
    settings = load({"A3CP_STORE_URL": address, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, tmp_path).settings
    root = str(tmp_path / "pool")
    writer = writer_to(store, root)
    with Writers(writer, settings) as writers:
        hand_on(store.ledger, writers, SessionFilter())
    (left,) = store.ledger.unexported(writer.name, SessionFilter(), limit=99)
    ((name, why),) = writer.aside.news()
    assert name == left.session_id
    assert "use the release and the SCHEMA_REGISTRY_URL" in str(why)
    assert writer.outcomes == {
        BundleOutcome.WRITTEN: sum(store.reader.totals().sessions.values()) - 1,
        BundleOutcome.SET_ASIDE: 1,
    }


def test_they_end_with_their_parent(tmp_path: Path) -> None:
    """When the parent is killed, none of its processes stays behind."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    export(open_store(address), RECORDS)
    script = tmp_path / "begun.py"
    script.write_text(BEGUN)
    command = [sys.executable, str(script), address, str(tmp_path / "bundles")]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGKILL)
    assert children
    until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
