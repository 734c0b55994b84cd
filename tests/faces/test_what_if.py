"""Asking over HTTP and on the command line what other limits would make of stored sessions."""

import json
import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from processor.codec.isotime import format_time
from processor.faces.app import make_app
from processor.in_memory import MemoryDeployment
from tests.cli.running import a3cp

MINUTE_MS = 60_000


@pytest.fixture
def deployment(tmp_path: Path) -> MemoryDeployment:
    """Ana says two things 20 minutes apart, and two days later another one."""
    deployment = MemoryDeployment(tmp_path)
    for number, wait_ms in enumerate((20 * MINUTE_MS, 2_880 * MINUTE_MS, 0)):
        message = {
            "schema_version": "1.0.1", "record_id": f"0d4f5a0e-1111-4222-8333-44445555666{number}", "user_id": "ana",
            "source": "ui", "timestamp": format_time(deployment.clock.now_ms()),
        }  # fmt: skip
        deployment.sender.message(json.dumps(message).encode())
        deployment.advance(wait_ms)
    deployment.export()
    return deployment


def test_over_http(deployment: MemoryDeployment) -> None:
    """The answer has counts and examples, and says where commands are known from; an unknown limit is refused."""
    with TestClient(make_app(deployment.context()), base_url="http://localhost") as http:
        answer = http.post("/v1/what-if", json={"gap_ms": 15 * MINUTE_MS}).json()
        assert (answer["sessions"], answer["would_be"], answer["split"], answer["joined"]) == (2, 3, 1, 0)
        assert [part["message_count"] for part in answer["splits"][0]["parts"]] == [1, 1]
        assert answer["commands_from"] == "outcome events"
        later = http.post("/v1/what-if", json={"gap_ms": 15 * MINUTE_MS, "since": "2025-06-16"}).json()
        assert (later["sessions"], later["split"]) == (1, 0)
        assert http.post("/v1/what-if", json={"gap_ms": 15 * MINUTE_MS, "user_id": "bo"}).json()["sessions"] == 0
        assert http.post("/v1/what-if", json={"gap": 1}).status_code == 422


def test_on_the_command_line(deployment: MemoryDeployment, tmp_path: Path) -> None:
    """It says the same, in a line and an example; without another limit it says what to give."""
    store = f"sqlite:///{tmp_path / 'a3cp.db'}"
    told = a3cp("what-if", "--gap", "15m", "--store", store, environ=os.environ)
    assert told.returncode == 0, told.stderr
    first, split, last = told.stdout.splitlines()
    assert first == "2 sessions would be 3: 1 split, 0 by joining"
    assert split.startswith("split  sess_20250615_150640_")
    assert last == "commands are known from their outcome events; refused ones are left out"
    assert (
        json.loads(
            a3cp("what-if", "--gap", "3d", "--max", "9d", "--store", store, "--json", environ=os.environ).stdout
        )["joined"]
        == 1
    )
    for arguments, words in ((), "no other limit is given"), (("--gap", "15"), "--gap '15' is no length of time"):
        refused = a3cp("what-if", *arguments, "--store", store, environ=os.environ)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr
