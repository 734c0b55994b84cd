"""A spare worker: it has loaded everything, and waits to be told which worker it is.

To load takes a second or more, in which the partitions of a worker that was killed would stand still (ADR 0032).
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from processor.processes.parts import Part, launched

SPARE_AFTER_S: Final = 5.0  # It is not to take the cores from those that have just been started.
_TOLD_BYTES_MAX: Final = 100


class Told(NamedTuple):
    """Which worker a process is."""

    slot: int
    metrics_port: int


def await_told() -> Told:
    """Wait until the supervisor says which worker this process is; end with exit code 0 if it goes before."""
    line = os.read(0, _TOLD_BYTES_MAX)
    if not line:
        os._exit(0)
    slot, port = line.split()
    return Told(int(slot), int(port))


class Workers:
    """Starts workers, and keeps one spare."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        say: Callable[[str], None],
        *,
        spare_after_s: float = SPARE_AFTER_S,
    ) -> None:
        """Prepare.

        Args:
            command, environ: how one is run; it waits with `await_told`.
            say: told when a spare one ends.
            spare_after_s: how long nothing must have been started before the spare one is.
        """
        self._launch = partial(launched, command, environ)
        self._say = say
        self._spare_after_s = spare_after_s
        self._due_s = 0.0
        self.spare: Part | None = None

    def launch(self, told: Told) -> subprocess.Popen[bytes]:
        """Return the spare process, or a new one if there is none, after telling it which worker it is."""
        spare, self.spare = self.spare, None
        self._due_s = time.monotonic() + self._spare_after_s
        process = self._launch() if spare is None or spare.process.poll() is not None else spare.process
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # It has just ended, which is noticed as any worker's end.
            os.write(process.stdin.fileno(), f"{told.slot} {told.metrics_port}\n".encode())
        return process

    def look(self) -> None:
        """Start a spare if there is none, and nothing was started for a while; start it again if it has ended."""
        if self.spare is not None:
            self.spare.look()
        elif time.monotonic() >= self._due_s:
            self.spare = Part("the spare worker", self._launch, self._say, final=())
