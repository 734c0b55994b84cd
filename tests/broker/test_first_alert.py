"""What docs/operations.md tells a new operator to type, typed: from nothing to an alert, its runbook and its end."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from processor import broker
from processor.broker.probe import free_ports
from tests.broker.fleet import TIMEOUT_S

NO_PROMETHEUS = pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not there")
pytestmark = [pytest.mark.broker, pytest.mark.long, NO_PROMETHEUS]

ROOT: Final = Path(__file__).parents[2]
SAID: Final = "END-OF-WHAT-IT-SAID"
INSTALLS: Final = ("python3 -m venv", ". site/", "pip install")  # It is there: tests/test_installing.py has that.
SHORTER: Final = {": 15s": ": 1s", "for: 1m": "for: 2s", "> 30 or": "> 5 or"}
SERVICE: Final = "8080"
PORTS: Final = (SERVICE, "9095", "9464", "9474", "9475")
STEP: Final = re.compile(r"```sh\n(.*?)```|```\n(.*?)```|^(It prints nothing)", re.DOTALL | re.MULTILINE)


class Step(NamedTuple):
    """What is typed, and lines that are seen after it; None: nothing is told of that."""

    lines: list[str]
    seen: list[str] | None


def steps() -> Iterator[Step]:
    """Yield what the section tells to type."""
    section = (ROOT / "docs" / "operations.md").read_text("utf-8").split("\n## Zero to the first alert\n")[1]
    found = [match.groups() for match in STEP.finditer(section.partition("\n## ")[0])]
    for (typed, *_), (again, seen, nothing) in pairwise([*found, ("", None, None)]):
        if typed:
            is_told = nothing or (seen and not again)
            yield Step(typed.splitlines(), (seen or "").splitlines() if is_told else None)


class Shell:
    """A shell in which one line is typed after the other, with other ports than are told."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.ports: Final = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        self.process = subprocess.Popen(
            ["bash"], cwd=folder, text=True, start_new_session=True,
            env={**environ, "A3CP_SERVE_PORT": self.ports[SERVICE]},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def with_own_ports(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: self.ports[match[1]], text)

    def type(self, line: str) -> str:
        """Type a line; return what is said until the next one can be typed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self.with_own_ports(line)}\necho {SAID}\n")
        self.process.stdin.flush()
        said = "".join(takewhile(f"{SAID}\n".__ne__, self.process.stdout))
        sys.stdout.write(f"$ {line}\n{said}")
        return said

    def type_until(self, line: str, before: str, seen: list[str]) -> None:
        """Type `line` until `seen` is said, by it or `before`. If that is nothing, type it until it says nothing."""
        wanted = list(map(self.with_own_ports, seen))
        until_s = time.monotonic() + TIMEOUT_S
        while not is_seen(wanted, before + self.type(line) if wanted else self.type(line)):
            assert time.monotonic() < until_s, f"{line} does not say {seen}"
            time.sleep(1)


def is_seen(seen: list[str], said: str) -> bool:
    """Whether each line of `seen` is there; `…` stands for anything."""
    there = "\n".join(" ".join(line.split()) for line in said.splitlines())
    wanted = [re.escape(" ".join(line.split())).replace("…", ".*") for line in seen]
    return all(re.search(f"^{line}$", there, re.MULTILINE) for line in wanted) if seen else not there


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Beside a checkout, with a Kafka of its own to be, and everything installed."""
    (tmp_path / "a3cp-session-manager").symlink_to(ROOT)
    (tmp_path / "site").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("A3CP_", "KAFKA_"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kafka = tmp_path / "kafka"
    made = Shell(tmp_path, {**kept, "PATH": path, "A3CP_BROKER_DIR": str(kafka)})
    with made.process:
        try:
            yield made
        finally:
            os.killpg(made.process.pid, signal.SIGKILL)
            broker.down(kafka)


def test_zero_to_the_first_alert(shell: Shell, tmp_path: Path) -> None:
    """Each line is typed as it stands, with other ports and shorter times. What is shown is seen, also in the logs."""
    for number, (lines, seen) in enumerate(steps()):
        *first, last = (line for line in lines if not line.startswith(INSTALLS))
        before = "".join(map(shell.type, first))
        if seen is None:
            shell.type(last)
        else:
            shell.type_until(last, before, seen)
        if number == 0:
            hurry(shell, tmp_path / "site" / "prometheus")
    assert broker.status(tmp_path / "kafka") is None
    for part in ("process", "export", "canary"):
        assert '"message": "started"' in (tmp_path / "site" / f"{part}.log").read_text("utf-8")


def hurry(shell: Shell, folder: Path) -> None:
    """Shorten the times in the configuration of Prometheus that was copied."""
    for path in folder.iterdir():
        text = shell.with_own_ports(path.read_text("utf-8"))
        for long, short in SHORTER.items():
            text = text.replace(long, short)
        path.write_text(text, "utf-8")
