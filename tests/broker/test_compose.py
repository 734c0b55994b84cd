"""The compose project as a user runs it: built, started, given messages, killed, looked into, taken down."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processor.broker.probe import free_ports
from tests.broker.fleet import await_true, day, message, produce

ROOT = Path(__file__).parents[2]
BUILD_TIMEOUT_S = 900.0  # The first build fetches about 150 MB of packages.
READY_TIMEOUT_S = 120
SENT = 300


def engine_answers() -> bool:
    """Say whether a Docker engine answers, and its client has Compose."""
    if not shutil.which("docker"):
        return False
    asked = (["docker", "version"], ["docker", "compose", "version"])
    return all(
        subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0 for command in asked
    )


class Project:
    """docker-compose.yml under a name and a port of its own."""

    def __init__(self) -> None:
        (port,) = free_ports(1)
        self.bootstrap = f"127.0.0.1:{port}"
        self.name = f"a3cp-test-{uuid.uuid4().hex[:8]}"
        self._environ = {**os.environ, "KAFKA_PORT": str(port)}

    def run(self, *arguments: str, given: bytes = b"", may_fail: bool = False) -> str:
        """Run `docker compose ...` and return its output."""
        command = [
            "docker",
            "compose",
            "--project-name",
            self.name,
            "--file",
            str(ROOT / "docker-compose.yml"),
            *arguments,
        ]
        ran = subprocess.run(
            command, env=self._environ, input=given, capture_output=True, timeout=BUILD_TIMEOUT_S, check=False
        )
        assert may_fail or ran.returncode == 0, f"{arguments}: {ran.stderr.decode()}\n{ran.stdout.decode()}"
        return ran.stdout.decode()

    def up(self, *chosen: str) -> None:
        """Start what does not run, and wait until all is ready."""
        self.run("up", "--detach", "--wait", "--wait-timeout", str(READY_TIMEOUT_S), *chosen)

    def asked(self, service: str, *command: str) -> Any:
        """Run `a3cp COMMAND --json` in a service's container and return what it prints."""
        return json.loads(self.run("exec", "-T", service, "a3cp", *command, "--json", may_fail=True))

    def left(self) -> str:
        """Return the containers and volumes that there are of it."""
        label = f"label=com.docker.compose.project={self.name}"
        commands = (["docker", "ps", "-aq", "--filter", label], ["docker", "volume", "ls", "-q", "--filter", label])
        return "".join(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands
        )


@pytest.fixture
def project() -> Iterator[Project]:
    if not engine_answers():
        pytest.skip("no Docker engine with Compose answers here")
    made = Project()
    try:
        yield made
    finally:
        sys.stdout.write(made.run("logs", "topics", "processor", "exporter", may_fail=True)[-10_000:])
        made.run("down", "--volumes", "--rmi", "local", may_fail=True)


@pytest.mark.broker
@pytest.mark.timeout(2 * BUILD_TIMEOUT_S)
def test_a_life(project: Project) -> None:
    """Messages from the host and from inside are tagged once, whatever is killed, and lie as bundles on the volume."""
    project.up("--build")
    produce(project.bootstrap, "a3cp.raw", day(1, SENT // 2, users=5))
    project.run("kill", "--signal", "KILL", "processor", "exporter")
    project.run("start", "processor", "exporter")  # At once, while the group still counts the dead one.
    project.up("--no-deps", "processor", "exporter")
    produce(project.bootstrap, "a3cp.raw", day(2, SENT // 2, users=5))
    line = message("from-inside", 1_750_000_000_000) + b"\n"
    assert "sent 1 to a3cp.raw" in project.run("exec", "-T", "processor", "a3cp", "produce", "-", given=line)

    def all_processed() -> bool:
        return bool(project.asked("processor", "audit")["waiting"] == 0)

    await_true("all processed", all_processed)
    audited = project.asked("processor", "audit")
    assert (audited["sound"], audited["raw"], audited["notes"]) == (True, SENT + 1, [])
    # Their event times are long past, so once nothing arrives the clock ends them all, and each gets its bundle.
    await_true("a bundle each", lambda: bundles(project) == audited["sessions"])
    verified = project.asked("exporter", "verify", "/data/bundles")
    assert (verified["bundles"], verified["broken"]) == (audited["sessions"], 0)
    assert project.asked("exporter", "sessions", "list")["count"] == audited["sessions"]

    assert project.run("exec", "-T", "processor", "id", "-un").strip() == "a3cp"
    project.run("stop")
    exits = [json.loads(line) for line in project.run("ps", "--all", "--format", "json").splitlines()]
    assert {row["Service"]: row["ExitCode"] for row in exits if row["Service"] != "kafka"} == {
        "topics": 0,
        "processor": 0,
        "exporter": 0,
    }
    project.run("down", "--volumes")
    assert project.left() == ""


def bundles(project: Project) -> int:
    """Return how many bundles lie on the volume."""
    return len(project.run("exec", "-T", "exporter", "find", "/data/bundles", "-name", "manifest.json").splitlines())
