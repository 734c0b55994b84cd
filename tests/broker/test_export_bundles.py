"""`a3cp export --to` on a real Kafka: bundles that verify, and the same tree however often it was killed."""

import json
import random
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from processor.bundles.verify import listed, verify
from processor.store import open_store
from tests.broker.fleet import await_true
from tests.broker.site import Site
from tests.cli.running import PROGRAM, a3cp
from tests.sessions.outputs import message, processed

pytestmark = pytest.mark.broker

USERS = 25
MESSAGES = 1_500
RECORDS = processed([message(f"user-{n % USERS}", n * 2_000, source="ui", transcript=f"w{n}") for n in range(MESSAGES)])


def tree(root: Path) -> dict[str, bytes]:
    """Return the files, but for manifests, which tell the time, and the index, which has the store's own id."""
    places = (path for path in sorted(root.rglob("*")) if path.relative_to(root).parts[0] != "index")
    files = (path for path in places if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.long)])
def test_bundles_from_the_topics(kafka: str, topics: str, tmp_path: Path, kills: int) -> None:
    """Killed again and again while it follows, it ends with the tree of a calm run, byte for byte, and all verify."""
    site = Site(kafka, topics, tmp_path)
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    store = f"sqlite:///{tmp_path / 'killed.db'}"
    random.seed(7)
    filled = open_store(store)

    def has_moved(before: object) -> bool:
        return filled.writer.offsets() != before

    for turn in range(kills):
        size = len(RECORDS) // kills + 1
        before = filled.writer.offsets()
        site.produce(RECORDS[turn * size : (turn + 1) * size])
        command = [*PROGRAM, "export", "--follow", "--store", store, "--to", str(killed)]
        with (
            (tmp_path / "follow.log").open("ab") as log,
            subprocess.Popen(command, env=site.environ, stdout=log, stderr=log) as process,
        ):
            try:
                await_true("it works", partial(has_moved, before))
                time.sleep(random.uniform(0, 1.5))  # The promise is about any moment.
            finally:
                process.kill()
    filled.close()

    def exported(address: str, root: Path) -> Any:
        return site.run("export", "--store", address, "--to", str(root), "--training", str(tmp_path / "training"))

    exported(store, killed)
    first = exported(f"sqlite:///{tmp_path / 'calm.db'}", calm)
    assert (first["bundles"]["written"], first["bundles"]["messages"]) == (USERS, MESSAGES)
    assert sum(date["messages"] for date in first["training"]) == MESSAGES
    assert tree(killed) == tree(calm)
    assert (listed(str(killed)), listed(str(calm))) == (USERS, USERS)
    reports = list(verify(str(killed)))
    assert [report.problems for report in reports] == [[]] * USERS
    assert {report.status for report in reports} == {"complete"}
    made = [
        path for name in ("calm*", "training*") for start in tmp_path.glob(name) for path in [start, *start.rglob("*")]
    ]
    assert {"calm.db", "timeline.html", "messages.parquet"} <= {path.name for path in made}
    assert [path for path in made if path.stat().st_mode & 0o077] == []  # What people said is its owner's to read.
    again = exported(f"sqlite:///{tmp_path / 'calm.db'}", calm)
    assert (again["bundles"]["messages"], again["training"]) == (0, [])


def test_a_session_that_there_is_not(kafka: str, topics: str, tmp_path: Path) -> None:
    """What is written is told all the same; then that none of that name was found."""
    site = Site(kafka, topics, tmp_path)
    site.produce(RECORDS[:50])
    command = ["export", "--to", str(tmp_path / "bundles"), "--session", "sess_none", "--json"]
    done = a3cp(*command, environ=site.environ, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["held"]["sessions"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no session sess_none in sqlite:///a3cp.db")
