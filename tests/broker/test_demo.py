"""`a3cp demo` as a newcomer runs it: on a real Kafka, with the real processor killed on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
UPSTREAM = ROOT.parent / "shared" / "a3cp" / "messages.jsonl"  # Not ours to ship; a checkout beside it may have it.


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from processor.cli.app import main; main()", "demo", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.broker
def test_twice_in_a_row(kafka: str, prefix: str) -> None:
    """It says what it does and shows tables in 80 columns; run again it starts from nothing and finds the same."""
    name = f"a3cp-demo-{prefix}"
    shown = demo("--prefix", name, KAFKA_BOOTSTRAP_SERVERS=kafka, COLUMNS="80")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert max(len(line) for line in lines if "a3cp" not in line) <= 80
    assert "\x1b" not in shown.stdout
    assert sum(line.startswith("✓") for line in lines) == 5
    for word in ("robin-15", "still open", "max_duration", "partial transcript", f"dlq list --prefix {name}"):
        assert word in shown.stdout

    answer = demo("--prefix", name, "--json", KAFKA_BOOTSTRAP_SERVERS=kafka)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert all(check["kept"] for check in found["checks"])
    assert found["tagged"] + found["commands"] + len(found["dead_letters"]) == found["sent"]
    assert "made anew" in answer.stderr


@pytest.mark.broker
def test_upstreams_own_examples(kafka: str, prefix: str) -> None:
    """All of upstream's published messages are tagged or set aside with a reason, whatever they look like."""
    if not UPSTREAM.is_file():
        pytest.skip("upstream's messages.jsonl is not at ../shared/a3cp; it is not ours to ship")
    name = f"a3cp-demo-{prefix}"
    without = len(UPSTREAM.read_bytes().splitlines())
    answer = demo("--prefix", name, "--messages", str(UPSTREAM), "--json", KAFKA_BOOTSTRAP_SERVERS=kafka)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    assert found["sent"] > without == 52
    assert {session["user_id"] for session in found["sessions"]} >= {"elias01", "robin-15"}


def test_only_its_own_topics_are_deleted(tmp_path: Path) -> None:
    """Another prefix might be that of real topics: refused before anything is started."""
    refused = demo("--prefix", "a3cp", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert refused.returncode == 2
    assert "name a prefix that starts with a3cp-demo" in refused.stderr


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """No such file is wrong usage, a Kafka that does not answer a failure; each in one line."""
    refused = demo("--messages", str(tmp_path / "none.jsonl"))
    assert refused.returncode == 2
    assert "none.jsonl cannot be read" in refused.stderr
    failed = demo(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: no Kafka broker answers at 127.0.0.1:1; ")
