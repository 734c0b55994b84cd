"""A process that is kept running: started again when it dies, ever later while it dies again and again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import IO, Final

from processor.errors import Fatal, UsageError
from processor.runtime.backoff import backoff_s

_AGAIN_FIRST_S: Final = 1.0
_AGAIN_MAX_S: Final = 30.0
_CALM_S: Final = 60.0  # When it has run for so long, its end counts as the first.
_STOP_S: Final = 30.0


class Part:
    """One part of what runs, whichever process that is at the moment.

    Its standard input is a pipe from here: it stops when that closes, so that it is not left behind when this process
    is killed.
    """

    def __init__(
        self,
        name: str,
        launch: Callable[[], subprocess.Popen[bytes]],
        say: Callable[[str], None],
        *,
        final: Collection[int],
    ) -> None:
        """Start it.

        Args:
            name: what people call it.
            launch: starts it, see `launched`.
            say: told of each end.
            final: exit codes by which it says that to start it again would not help.
        """
        self.name: Final = name
        self._launch = launch
        self._say = say
        self._final = final
        self._ends = 0  # in a row
        self._again_s: float | None = None  # when it is started again, if it has ended
        self._start()

    def _start(self) -> None:
        self._again_s = None
        self._started_s = time.monotonic()
        self.process = self._launch()

    def look(self) -> None:
        """Start it again if it has ended: at once, but ever later while it ends again and again.

        Raises:
            Fatal, UsageError: it has said that it cannot go on.
        """
        if self._again_s is None:
            self._notice(self.process.poll())
        if self._again_s is not None and time.monotonic() >= self._again_s:
            self._start()

    def _notice(self, code: int | None) -> None:
        if code is None:
            return
        assert self.process.stdin is not None
        self.process.stdin.close()
        if code in self._final:
            kind = UsageError if code == UsageError.exit_code else Fatal
            raise kind(f"{self.name} ended with code {code}", remedy="its last log line says why")
        now_s = time.monotonic()
        self._ends = 1 if now_s - self._started_s >= _CALM_S else self._ends + 1
        wait_s = 0.0
        when = "again"
        if self._ends > 1:
            wait_s = backoff_s(self._ends - 1, first_s=_AGAIN_FIRST_S, max_s=_AGAIN_MAX_S)
            when = f"again in {wait_s:.0f} s, since that happened {self._ends} times in a row"
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}" if code else "was stopped"
        self._say(f"{self.name} {ended}; starting it {when}")
        self._again_s = now_s + wait_s


def launched(
    command: Sequence[str], environ: Mapping[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process whose standard input is a pipe from here.

    `output`: where it writes to; None for where this process does. With one it has no share in our Ctrl-C.
    """
    return subprocess.Popen(  # noqa: S603  # Ours.
        command,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=output is not None,
    )


def stop_all(parts: Sequence[Part]) -> None:
    """Stop all at once, and wait until they have ended; one that does not within 30 s is killed."""
    for part in parts:
        part.process.terminate()
    deadline_s = time.monotonic() + _STOP_S
    for part in parts:
        with part.process:  # Closes its standard input.
            try:
                part.process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                part.process.kill()


def this_command(*arguments: str) -> list[str]:
    """Return the command line that runs `a3cp` with `arguments` under this interpreter."""
    return [sys.executable, "-c", "from processor.cli.app import main; main()", *arguments]


def as_part(*arguments: str) -> list[str]:
    """Return the command line that runs `a3cp` with `arguments`, and stops when its standard input closes."""
    program = "from processor.processes.parts import stop_with_parent; stop_with_parent(); "
    return [sys.executable, "-c", f"{program}from processor.cli.app import main; main()", *arguments]


def stop_with_parent() -> None:
    """Send this process SIGTERM once its standard input is closed, as it is when its parent was killed."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
