"""The examples that use nothing of ours but the schemas: what they send is tagged, what they print is what came out."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from processor.kafka.reading.reader import Reader
from processor.runtime.partitioner import partition_of
from tests.broker.fleet import Fleet

pytestmark = pytest.mark.broker
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python() -> dict[str, list[str]]:
    """Return how the examples in Python are run."""
    return {name: [sys.executable, str(ROOT / "examples" / f"{name}.py")] for name in ("produce", "consume")}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return how the examples in Node are run, with the packages that their lock names."""
    program, installer = shutil.which("node"), shutil.which("npm")
    if program is None or installer is None:
        pytest.skip("Node is not installed; examples/node is not run")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(
        ROOT / "examples" / "node", folder / "examples" / "node", ignore=shutil.ignore_patterns("node_modules")
    )
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    here = folder / "examples" / "node"
    subprocess.run([installer, "ci", "--no-audit", "--no-fund"], cwd=here, check=True, capture_output=True, timeout=200)
    return {name: [program, str(here / f"{name}.mjs")] for name in ("produce", "consume")}


def printed(command: list[str], count: int) -> list[dict[str, Any]]:
    """Return the first `count` lines that a consumer prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as consumer:
        assert consumer.stdout is not None
        lines = [json.loads(consumer.stdout.readline()) for _ in range(count)]
        consumer.kill()
    return lines


@pytest.mark.parametrize("language", ["python", "node"])
def test_in_and_out(request: pytest.FixtureRequest, language: str, kafka: str, topics: str, tmp_path: Path) -> None:
    """A message in JSON and one in Avro lie in the user's partition, and come out tagged, in order, in one session."""
    run: dict[str, list[str]] = request.getfixturevalue(language)
    subprocess.run([*run["produce"], f"{topics}.raw", kafka], check=True, timeout=60)
    with Reader({"bootstrap.servers": kafka}, f"{topics}.raw") as reader:
        raw = list(reader.read_all())
    assert [(record.key, record.partition) for record in raw] == [(b"elias01", partition_of(b"elias01", 4))] * 2
    with Fleet(kafka, topics, tmp_path) as fleet:
        fleet.start()
        fleet.await_processed()
    tagged = printed([*run["consume"], f"{topics}.tagged", kafka], 2)
    assert [(each["user_id"], each["session_seq"], each["session_flags"]) for each in tagged] == [
        ("elias01", 1, []), ("elias01", 2, [])
    ]  # fmt: skip
    (event,) = printed([*run["consume"], f"{topics}.sessions", kafka], 1)
    assert (event["kind"], {event["session_id"]}) == ("started", {each["session_id"] for each in tagged})
