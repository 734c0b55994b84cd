"""A running `a3cp up`, for tests."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.cli.running import PROGRAM

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
def up(folder: Path, kafka: str, *arguments: str, **settings: str) -> Iterator[Up]:
    """Run it in `folder`, with these settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("A3CP_")}
    environ = {**clean, "KAFKA_BOOTSTRAP_SERVERS": kafka, **settings}
    out = folder / "out.txt"
    command = [*PROGRAM, "up", "--port", "0", *arguments]
    with out.open("wb") as written:
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=written, stderr=written)
    running = Up(process, out)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
