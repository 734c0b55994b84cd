"""`a3cp up` on a real Kafka: all parts run, one that dies comes back, all stop, and what was there is there again."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.cli.running import PROGRAM

pytestmark = pytest.mark.broker

WITHIN_S = 120.0


class Up:
    """A running `a3cp up`."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path) -> None:
        self.process, self._out = process, out
        self.children: list[psutil.Process] = []

    def said(self) -> str:
        return self._out.read_text()

    def url(self) -> str:
        found = self.wait_for(lambda: re.search(r"service +(http://\S+),", self.said()))
        return str(found[1])

    def child(self, word: str) -> psutil.Process:
        self.children = psutil.Process(self.process.pid).children()
        return next(child for child in self.children if word in child.cmdline())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN_S)

    def wait_for(self, found: Any) -> Any:
        until_s = time.monotonic() + WITHIN_S
        while not (result := found()):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until_s, self.said()
            time.sleep(0.05)
        return result


@contextmanager
def up(folder: Path, kafka: str, prefix: str) -> Iterator[Up]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("A3CP_")}
    environ = {**clean, "KAFKA_BOOTSTRAP_SERVERS": kafka, "A3CP_TOPIC_PREFIX": prefix, "A3CP_GROUP_ID": prefix}
    out = folder / "out.txt"
    command = [*PROGRAM, "up", "--port", "0", "--data-dir", "data"]
    with out.open("wb") as written:
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=written, stderr=written)
    running = Up(process, out)
    try:
        yield running
    finally:
        process.kill()
        process.wait()


def started(url: str, user_id: str) -> str:
    body = {
        "schema_version": "1.0.1", "record_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "user_id": user_id,
        "timestamp": "2026-01-01T00:00:00.000Z", "performer_id": "system",
    }  # fmt: skip
    answer = httpx.post(f"{url}/session_manager/sessions.start", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["session_id"])


def test_everything_runs_and_stays(kafka: str, topics: str, tmp_path: Path) -> None:
    """It says where everything is; a killed processor comes back; what was begun is still open after a restart."""
    with up(tmp_path, kafka, topics) as running:
        url = running.url()
        said = running.said().splitlines()
        assert [line.split()[0] for line in said[-5:]] == ["Kafka", "topics", "sessions", "log", "service"]
        session = started(url, "elias01")
        running.wait_for(
            lambda: "warnings" not in httpx.get(f"{url}/readyz").json()
        )  # The store is found once it is there.
        running.child("process").kill()
        running.wait_for(lambda: "the processor was killed by signal 9; starting it again" in running.said())
        assert started(url, "elias01") == session
        assert running.child("export").is_running()
        gone = started(url, "maria")
        running.wait_for(
            lambda: httpx.post(f"{url}/v1/users/maria/erase", timeout=WITHIN_S).status_code == httpx.codes.OK
        )
        assert httpx.get(f"{url}/v1/sessions/{gone}").status_code == httpx.codes.GONE
        children = running.children
        assert running.stop() == 0
        assert not any(child.is_running() for child in children)
    with up(tmp_path, kafka, topics) as running:
        assert started(running.url(), "elias01") == session
        children = [running.child("serve"), running.child("process")]
        running.process.kill()
        gone, alive = psutil.wait_procs(children, WITHIN_S)
        assert not alive, "none is left behind by kill -9"
        assert len(gone) == 2
