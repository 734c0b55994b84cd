"""Keeps several worker processes running, as long as they can; stops them together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, Literal

from processor.errors import BrokerUnavailable, Fatal, UsageError
from processor.kafka.slots import choose_slots
from processor.kafka.topic_admin import check_topics
from processor.observe.logs import make_logger
from processor.runtime.backoff import backoff_s
from processor.settings.model import WORKERS_MAX
from processor.settings.sources import Loaded

_POLL_S: Final = 0.05
_AGAIN_FIRST_S: Final = 1.0
_AGAIN_MAX_S: Final = 30.0
_CALM_S: Final = 60.0  # When a worker has run for so long, its end counts as the first.
_STOP_S: Final = 30.0
_START_BACKOFF_S: Final = 0.3
_CPU_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")  # of a container on Linux: microseconds it may use in a period


def supervise(
    slots: Sequence[int], command: Sequence[str], say: Callable[[str], None], *, metrics_port: int = 0
) -> None:
    """Run `command` once for each slot (option --first-slot) until told to stop (SIGTERM, SIGINT).

    The first worker serves its metrics at `metrics_port`, the next one at the port after it, and so on; 0: none does.

    A worker that was killed or stopped is started again, at once and in its slot: that aborts what it left open, and
    the group gives it the partitions that it had. One that says itself that it cannot go on (exit code 1 or 2) stops
    all. The workers' standard input is a pipe from here: they stop when it closes, so none is left behind when this
    process is killed.

    Raises:
        Fatal: a worker cannot go on.
        UsageError: likewise, since what it was told is wrong.
    """
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    workers = [
        _Supervised(slot, command, say, metrics_port + number if metrics_port else 0)
        for number, slot in enumerate(slots)
    ]
    try:
        while not stopping:
            time.sleep(_POLL_S)
            for worker in workers:
                if not stopping:
                    worker.look()
    finally:
        _stop_all([worker.process for worker in workers])
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Supervised:
    """The worker of a slot, whichever process that is at the moment."""

    def __init__(self, slot: int, command: Sequence[str], say: Callable[[str], None], metrics_port: int) -> None:
        self._slot = slot
        self._command = [*command, "--first-slot", str(slot)]
        self._environ = {**os.environ, "A3CP_WORKERS": "1", "A3CP_METRICS_PORT": str(metrics_port)}
        self._say = say
        self._ends = 0  # in a row
        self._again_s: float | None = None  # when it is started again, if it has ended
        self._start()

    def _start(self) -> None:
        self._again_s = None
        self._started_s = time.monotonic()
        self.process = subprocess.Popen(self._command, env=self._environ, stdin=subprocess.PIPE)  # noqa: S603  # Ours.

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
        if code > 0:
            kind = UsageError if code == UsageError.exit_code else Fatal
            raise kind(f"the worker in slot {self._slot} ended with code {code}", remedy="its last log line says why")
        now_s = time.monotonic()
        self._ends = 1 if now_s - self._started_s >= _CALM_S else self._ends + 1
        wait_s = 0.0
        when = "again"
        if self._ends > 1:
            wait_s = backoff_s(self._ends - 1, first_s=_AGAIN_FIRST_S, max_s=_AGAIN_MAX_S)
            when = f"again in {wait_s:.0f} s, since that happened {self._ends} times in a row"
        ended = f"was killed by signal {-code}" if code else "was stopped"
        self._say(f"the worker in slot {self._slot} {ended}; starting it {when}")
        self._again_s = now_s + wait_s


def this_command(*arguments: str) -> list[str]:
    """Return the command line that runs `a3cp` with `arguments` under this interpreter."""
    return [sys.executable, "-c", "from processor.cli.app import main; main()", *arguments]


def _stop_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline_s = time.monotonic() + _STOP_S
    for process in processes:
        with process:  # Closes its standard input.
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def cores(cpu_limit: Path = _CPU_LIMIT) -> int:
    """Return how many cores this process may use: those of the machine, or of its container if that has fewer."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # Without this file there is no limit, and so it is where it says "max".
        quota, period = (int(part) for part in cpu_limit.read_text("ascii").split())
        allowed = min(allowed, max(1, -(-quota // period)))
    return allowed


def run_workers(loaded: Loaded, count: int | Literal["auto"]) -> None:
    """Run `count` workers, a process each, until SIGTERM or SIGINT; `auto`: one a core, at most one a partition.

    Raises:
        A3CPError: they cannot start, or one cannot go on.
    """
    settings = loaded.settings
    log = make_logger("supervisor", level=settings.log_level, log_format=settings.log_format)
    while True:
        try:
            conf = settings.kafka_conf()
            partitions = check_topics(conf, settings.topic_prefix, raw=settings.raw_topic)
            many = min(cores(), partitions, WORKERS_MAX) if count == "auto" else count
            slots = choose_slots(conf, settings.group_id, many)
            break
        except BrokerUnavailable as error:
            log.warning("no broker answers", operation="start", reason=str(error))
            time.sleep(_START_BACKOFF_S)
    say = partial(log.warning, operation="supervise")
    supervise(slots, this_command("process"), say, metrics_port=settings.metrics_port)
