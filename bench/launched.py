"""A system under test: a process tree of its own, its CPU time and memory."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.machine import tree_s

_STOP_S = 20.0


class Launched:
    """A started command; `with` stops it at the end."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.log = log
        self.started_s = time.monotonic()
        with log.open("wb") as file:
            self._popen = subprocess.Popen(
                command, env={**os.environ, **environ}, start_new_session=True, stdout=file, stderr=subprocess.STDOUT
            )
        self._process = psutil.Process(self._popen.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def require_running(self) -> None:
        """Raise with the end of its log if it has ended."""
        if not self.running():
            raise RuntimeError(f"it ended with code {self._popen.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the last lines that it printed."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-15:])

    def cpu_s(self) -> float:
        """Return the CPU seconds of the whole tree so far."""
        return tree_s(self._process)

    def tree(self) -> list[psutil.Process]:
        """Return its processes."""
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return []

    def peak_rss_mib(self) -> float:
        """Return the sum of the greatest resident sizes that its processes had."""
        return sum(_peak_rss_bytes(process) for process in self.tree()) / 2**20

    def rss_mib(self) -> float:
        """Return the resident size of its processes now."""
        return float(sum(process.memory_info().rss for process in self.tree()) / 2**20)

    def pss_mib(self) -> float:
        """Return the memory of its processes now, what they share counted once (Linux)."""
        return float(sum(process.memory_full_info().pss for process in self.tree()) / 2**20)

    def kill(self) -> None:
        """Kill the whole tree at once, as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def kill_child(self) -> None:
        """Kill the first of the processes that it started."""
        self._process.children()[0].kill()

    def stop(self) -> None:
        """Ask it to stop; kill it if it does not."""
        self._popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(_STOP_S)
        self.kill()


def _peak_rss_bytes(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status")
    with suppress(OSError):
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    with suppress(psutil.Error):  # Not Linux: the size now, for want of the greatest.
        return int(process.memory_info().rss)
    return 0
