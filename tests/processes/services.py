"""`a3cp serve` in a process of its own, and `a3cp process` beside it."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from tests.cli.running import PROGRAM

WITHIN_S = 60.0


def environ_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with none of our settings but those `given`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("A3CP_", "KAFKA_"))}
    return {**clean, **given}


@contextmanager
def processor(environ: dict[str, str], folder: Path) -> Iterator[None]:
    """Run `a3cp process`."""
    with (folder / "process.log").open("ab") as log:
        process = subprocess.Popen([*PROGRAM, "process"], env=environ_of(environ), cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


class Service:
    """A service on a free port, from entering the context to leaving it."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *arguments: str) -> None:
        self._environ = environ_of({"A3CP_SERVE_PORT": "0", "A3CP_LOG_FORMAT": "json", **environ})
        self._arguments = arguments
        self._folder = folder
        self._log = folder / "serve.log"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "serve", *self._arguments], env=self._environ, cwd=self._folder, stderr=log, stdout=log
            )
        self.url = self.wait_for(lambda: re.search(r'"url": "([^"]+)"', self._log.read_text()))[1]
        self.http = httpx.Client(base_url=self.url, timeout=WITHIN_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)

    def wait_until_ready(self) -> None:
        self.wait_for(lambda: self.http.get("/readyz").status_code == 200)

    def wait_for(self, found: Any) -> Any:
        until_s = time.monotonic() + WITHIN_S
        while not (result := found()):
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < until_s, self._log.read_text()
            time.sleep(0.02)
        return result
