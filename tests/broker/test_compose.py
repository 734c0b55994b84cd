"""The compose project as a user runs it: built, started, given messages, read, killed, looked into, taken down."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from processor.broker.probe import free_ports
from tests.broker.fleet import TIMEOUT_S, await_true, day, message, produce

ROOT = Path(__file__).parents[2]
BUILD_TIMEOUT_S = 900.0  # The first build fetches about 150 MB of packages.
READY_TIMEOUT_S = 120
SENT = 300
SECRET = "canary-0123456789abcdef"
# As docs/operations.md shows it: a secret is a file that only its service sees.
WITH_A_SECRET = """\
services:
  serve:
    environment: {{A3CP_SECRETS_DIR: /run/secrets}}
    secrets: [A3CP_SITE_KEY]
secrets:
  A3CP_SITE_KEY: {{file: {file}}}
"""


def engine_answers() -> bool:
    """Say whether a Docker engine answers, and its client has Compose."""
    if not shutil.which("docker"):
        return False
    asked = (["docker", "version"], ["docker", "compose", "version"])
    return all(
        subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0 for command in asked
    )


class Project:
    """docker-compose.yml under a name and ports of its own, with a secret."""

    def __init__(self, folder: Path) -> None:
        kafka, serve, prometheus = free_ports(3)
        self.bootstrap = f"127.0.0.1:{kafka}"
        self.page = f"http://127.0.0.1:{serve}"
        self.prometheus = f"http://127.0.0.1:{prometheus}"
        self.name = f"a3cp-test-{uuid.uuid4().hex[:8]}"
        ports = {"KAFKA_PORT": str(kafka), "SERVE_PORT": str(serve), "PROMETHEUS_PORT": str(prometheus)}
        self._environ = {**os.environ, **ports}
        secret, override = folder / "site-key", folder / "secret.yml"
        secret.write_text(SECRET)
        secret.chmod(0o644)  # The service runs as another user, and Compose mounts the file as it is.
        override.write_text(WITH_A_SECRET.format(file=secret))
        files = ("--file", str(ROOT / "docker-compose.yml"), "--file", str(override))
        self._compose = ("docker", "compose", "--project-name", self.name, *files)

    def run(self, *arguments: str, given: bytes = b"", may_fail: bool = False) -> str:
        """Run `docker compose ...` and return its output."""
        command = [*self._compose, *arguments]
        ran = subprocess.run(
            command, env=self._environ, input=given, capture_output=True, timeout=BUILD_TIMEOUT_S, check=False
        )
        assert may_fail or ran.returncode == 0, f"{arguments}: {ran.stderr.decode()}\n{ran.stdout.decode()}"
        return ran.stdout.decode()

    def up(self, *chosen: str) -> None:
        """Start what does not run, and wait until all is ready."""
        self.run("up", "--detach", "--wait", "--wait-timeout", str(READY_TIMEOUT_S), *chosen)

    def watch(self) -> None:
        """Start the profile with Prometheus too; from now on it counts."""
        self._environ["COMPOSE_PROFILES"] = "monitoring"
        self.up()

    def asked(self, service: str, *command: str) -> Any:
        """Run `a3cp COMMAND --json` in a service's container and return what it prints."""
        return json.loads(self.run("exec", "-T", service, "a3cp", *command, "--json", may_fail=True))

    def told(self) -> str:
        """Return all that the engine and the containers tell: how they were made, and their logs."""
        ids = self.run("ps", "--all", "--quiet").split()
        inspected = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True).stdout
        return inspected + self.run("logs")

    def left(self) -> str:
        """Return the containers and volumes that there are of it."""
        label = f"label=com.docker.compose.project={self.name}"
        commands = (["docker", "ps", "-aq", "--filter", label], ["docker", "volume", "ls", "-q", "--filter", label])
        return "".join(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands
        )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    if not engine_answers():
        pytest.skip("no Docker engine with Compose answers here")
    made = Project(tmp_path)
    try:
        yield made
    finally:
        sys.stdout.write(made.run("logs", "--no-color", "--tail", "50", may_fail=True)[-10_000:])
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

    who_reads(project, audited["sessions"])
    is_watched(project)
    for service in ("processor", "exporter", "serve"):
        assert project.run("exec", "-T", service, "id", "-un").strip() == "a3cp"
        assert not project.run("exec", "-T", service, "sh", "-c", "touch /opt/a3cp/x || true").strip()
        assert "x" not in project.run("exec", "-T", service, "ls", "/opt/a3cp").split()
    project.run("stop")
    exits = [json.loads(line) for line in project.run("ps", "--all", "--format", "json").splitlines()]
    ours = ("topics", "processor", "exporter", "doors", "serve", "canary", "prometheus")
    assert {row["Service"]: row["ExitCode"] for row in exits if row["Service"] != "kafka"} == dict.fromkeys(ours, 0)
    project.run("down", "--volumes")
    assert project.left() == ""


def bundles(project: Project) -> int:
    """Return how many bundles lie on the volume."""
    return len(project.run("exec", "-T", "exporter", "find", "/data/bundles", "-name", "manifest.json").splitlines())


def who_reads(project: Project, sessions: int) -> None:
    """The page is there, and a token that is made now lets in; the engine and the logs tell neither it nor a secret."""
    assert "<html" in httpx.get(project.page, timeout=TIMEOUT_S).text
    assert httpx.get(f"{project.page}/v1/sessions", timeout=TIMEOUT_S).status_code == 401
    new = ("a3cp", "token", "new", "me", "--role", "operator", "--users", "*")
    token = project.run("exec", "-T", "serve", *new).strip()
    known = {"Authorization": f"Bearer {token}"}

    def read() -> int:
        answer = httpx.get(f"{project.page}/v1/sessions", params={"limit": 100}, headers=known, timeout=TIMEOUT_S)
        return len(answer.raise_for_status().json()["sessions"])

    await_true("all sessions are read", lambda: read() == sessions)
    assert project.run("exec", "-T", "serve", "cat", "/run/secrets/A3CP_SITE_KEY").strip() == SECRET
    told = project.told()
    assert "A3CP_SITE_KEY" in told
    assert SECRET not in told
    assert token not in told


def is_watched(project: Project) -> None:
    """Prometheus reads the first worker, the exporter, the canary and, with a token of its own, the service."""

    project.watch()

    def up() -> set[str]:
        told = httpx.get(f"{project.prometheus}/api/v1/targets", timeout=TIMEOUT_S).json()
        targets = told["data"]["activeTargets"]
        return {target["labels"]["instance"] for target in targets if target["health"] == "up"}

    await_true("Prometheus reads all", lambda: {"processor:9464", "exporter:9464", "canary:9464", "serve:8080"} <= up())
