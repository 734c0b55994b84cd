"""`a3cp demo` as a newcomer runs it: on a real Kafka, with the real processor killed on the way."""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from processor.demo.exported import mark, prefix_for
from processor.kafka.topics.fresh import demo_topics
from tests.broker.made_anew import make_anew
from tests.cli.running import a3cp

ROOT = Path(__file__).parents[2]
UPSTREAM = ROOT.parent / "shared" / "a3cp" / "messages.jsonl"  # Not ours to ship; a checkout beside it may have it.


def refused_demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one that ends before it starts anything, in this process."""
    return a3cp("demo", *arguments, environ={**os.environ, **environment})


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from processor.cli.app import main; main()", "demo", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Where the runs write."""
    folder = tmp_path_factory.mktemp("demo")
    return ("--prefix", f"a3cp-demo-test-{uuid.uuid4().hex[:8]}", "--out", str(folder))


@pytest.fixture(scope="module")
def shown(kafka: str, place: tuple[str, ...]) -> str:
    """What a run shows in 80 columns."""
    done = demo(*place, KAFKA_BOOTSTRAP_SERVERS=kafka, COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def second(kafka: str, place: tuple[str, ...], shown: str) -> tuple[str, dict[str, Any]]:
    """Of a second run, with upstream's file: the steps and the JSON object."""
    assert shown
    extra = ["--messages", str(UPSTREAM)] if UPSTREAM.is_file() else []
    answer = demo(*place, "--json", *extra, KAFKA_BOOTSTRAP_SERVERS=kafka)
    assert answer.returncode == 0, answer.stderr
    return answer.stderr, json.loads(answer.stdout)


@pytest.mark.broker
def test_what_it_shows(shown: str) -> None:
    """Steps, tables and checks, in 80 columns and without escape sequences, since this is no terminal."""
    lines = shown.splitlines()
    named = (
        "a3cp-demo",
        "bundles",
        "sqlite:",
        "--data-dir",
    )  # Lines with a name or path of the caller's are as long as that.
    assert max(len(line) for line in lines if not any(word in line for word in named)) <= 80
    assert "\x1b" not in shown
    assert sum(line.startswith("✓") for line in lines) == 6
    for word in (
        "robin-15",
        "still open",
        "max_duration",
        "raw media",
        "dlq list --prefix a3cp-demo-test",
        "timeline.html",
    ):
        assert word in shown


@pytest.mark.broker
def test_what_the_readme_shows(shown: str) -> None:
    """The steps and proofs that stand there, to the number."""
    (block,) = re.findall(r"^```\n(Kafka .*?)^```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    told = [line for line in block.splitlines() if line.startswith(("Messages ", "Processed ", "✓ "))]
    assert len(told) == 3 + 6
    words = " ".join(shown.split())
    assert [line for line in told if " ".join(line.split()) not in words] == []


@pytest.mark.broker
@pytest.mark.long
def test_a_second_run_starts_from_nothing(second: tuple[str, dict[str, Any]]) -> None:
    """The topics are made anew, and everything is accounted for again."""
    steps, found = second
    assert "made anew" in steps
    assert all(check["kept"] for check in found["checks"])
    assert found["tagged"] + found["commands"] + len(found["dead_letters"]) == found["sent"]


@pytest.mark.broker
@pytest.mark.long
def test_upstreams_own_examples(second: tuple[str, dict[str, Any]]) -> None:
    """All of upstream's published messages are tagged or set aside with a reason, whatever they look like."""
    if not UPSTREAM.is_file():
        pytest.skip("upstream's messages.jsonl is not at ../shared/a3cp; it is not ours to ship")
    _, found = second
    assert {session["user_id"] for session in found["sessions"]} >= {"elias01", "robin-15"}


@pytest.mark.broker
@pytest.mark.long
def test_what_is_left_to_look_at(second: tuple[str, dict[str, Any]]) -> None:
    """All sessions as bundles that verify, and one timeline to open; a second run begins anew."""
    _, found = second
    exported = found["exported"]
    assert exported["bundles"] == exported["sound"] == len(found["sessions"]) == sum(exported["sessions"].values())
    assert "Session of heron-07" in Path(exported["timeline"]).read_text("utf-8")


@pytest.mark.broker
def test_another_folders_topics_are_left_alone(kafka: str, topics: str, tmp_path: Path) -> None:
    """A demo makes anew only the topics that it has made for its own folder; another folder gets names of its own."""
    conf = {"bootstrap.servers": kafka}
    mine, other = tmp_path / "mine", tmp_path / "other"
    mark(mine, demo_topics(conf, topics))
    assert prefix_for(mine, conf, topics) == topics
    own = prefix_for(other, conf, topics)
    assert own.startswith(f"{topics}-")
    assert prefix_for(other, conf, topics) == own
    other.mkdir()
    (other / ".a3cp-demo").touch()  # As an older release left it.
    assert prefix_for(other, conf, topics) == own
    make_anew(kafka, topics, "state")
    assert prefix_for(mine, conf, topics) != topics
    assert prefix_for(other, conf, f"{topics}-nowhere") == f"{topics}-nowhere"


def test_no_folder_of_others_is_emptied(tmp_path: Path) -> None:
    """A folder with something else in it is refused before anything is started."""
    (tmp_path / "thesis.txt").write_text("mine")
    refused = refused_demo("--out", str(tmp_path), KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert refused.returncode == 2
    assert "name another folder with --out" in refused.stderr
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_only_its_own_topics_are_deleted() -> None:
    """Another prefix might be that of real topics: refused before anything is started."""
    refused = refused_demo("--prefix", "a3cp", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert refused.returncode == 2
    assert "name a prefix that starts with a3cp-demo" in refused.stderr


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """No such file is wrong usage, a Kafka that does not answer a failure; each in one line."""
    refused = refused_demo("--messages", str(tmp_path / "none.jsonl"))
    assert refused.returncode == 2
    assert "none.jsonl cannot be read" in refused.stderr
    failed = refused_demo(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: no Kafka broker answers at 127.0.0.1:1; ")
