"""Seals on a real Kafka: the record is in the log, `verify` compares with it, and no other reader minds."""

import json
from pathlib import Path

import pytest

from tests.broker.site import Site
from tests.bundles.sealing import RECORDS
from tests.cli.running import a3cp

pytestmark = pytest.mark.broker


def test_a_day_is_sealed_and_proven(kafka: str, topics: str, tmp_path: Path) -> None:
    """By the exporter, then by the command; a changed seal is found by the log, and told without a Kafka, too."""
    site, root = Site(kafka, topics, tmp_path), tmp_path / "bundles"
    store = f"sqlite:///{tmp_path / 'store.db'}"
    site.produce(RECORDS)
    made = site.run("export", "--store", store, "--to", str(root), "--seal")["seal"]
    assert made["leaves"] == 12
    again = site.run("export", "--store", store, "--to", str(root), "--seal")
    assert (again["seal"], again["written"]["events"]) == (made, 1)  # The record itself.
    told = site.run("verify", str(root), "--seal")
    (seal,) = told["seals"]
    assert (seal["seal"], seal["problems"]) == (made, [])
    assert seal["log"].startswith(f"as in the log at {topics}.sessions[")
    assert sum(report["sealed"] is not None for report in told["reports"]) == 6
    assert site.run("seal", str(root), "--store", store)["chain"] == made["chain"]
    done = a3cp("verify", "--topic", environ=site.environ)
    assert "sess_" in done.stdout
    assert "session_manager" not in done.stdout

    path = max((root / "seals").rglob("*.json"))
    path.write_text(path.read_text().replace(f"{topics}.sessions", "elsewhere.sessions"))  # As after a move.
    assert site.run("verify", str(root), "--seal")["seals"][-1]["log"].startswith(
        f"as in the log at {topics}.sessions["
    )
    (path,) = (root / "seals").rglob(f"{made['day']}.json")
    file = json.loads(path.read_bytes())
    file["seal"]["made_at"] = "2025-01-01T00:00:00.000Z"
    path.write_text(json.dumps(file))
    done = a3cp("verify", str(root), "--seal", environ=site.environ)
    assert (done.returncode, "BROKEN seal" in done.stdout) == (1, True)
    alone = a3cp("verify", str(root), "--seal", environ={"A3CP_BROKER_DIR": str(tmp_path / "none")}, folder=tmp_path)
    assert "not compared with the log: no Kafka is named" in alone.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((".", "--day", "9999-12-31"), "9999-12-31 has not ended"),
        ((".", "--day", "2025-13-01"), "--day is no date"),
        ((".", "--day", "today"), "--day is no date"),
        (("nowhere",), "there is no "),
    ],
)
def test_what_cannot_be_sealed_is_told(
    kafka: str, topics: str, tmp_path: Path, arguments: list[str], told: str
) -> None:
    """In one line."""
    site = Site(kafka, topics, tmp_path)
    store = f"sqlite:///{tmp_path / 'store.db'}"
    site.run("export", "--store", store)
    done = a3cp("seal", *arguments, "--store", store, environ=site.environ, folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n"), told in done.stderr) == (2, 1, True)
    assert not (tmp_path / "nowhere").exists()
