"""Keeps several worker processes running, as long as they can; stops them together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, Literal

from processor.errors import BrokerUnavailable, Fatal, UsageError
from processor.kafka.slots import choose_slots
from processor.kafka.topic_admin import check_topics
from processor.observe.logs import make_logger
from processor.settings.model import WORKERS_MAX
from processor.settings.sources import Loaded

_POLL_S: Final = 0.2
_RESTART_BACKOFF_S: Final = 1.0
_RESTARTS_MAX: Final = 10  # of one worker, in a row, each within `_CALM_S` of the last
_CALM_S: Final = 60.0
_STOP_S: Final = 30.0
_START_BACKOFF_S: Final = 0.3
_CPU_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")  # of a container on Linux: microseconds it may use in a period


def supervise(slots: Sequence[int], command: Sequence[str], say: Callable[[str], None]) -> None:
    """Run `command` once for each slot (option --first-slot) until told to stop (SIGTERM, SIGINT).

    A worker that was killed or stopped is started again, so that its slot's open transaction is aborted at once; one
    that says itself that it cannot go on (exit code 1 or 2) stops all. The workers' standard input is a pipe from here:
    they stop when it closes, so none is left behind when this process is killed.

    Raises:
        Fatal: a worker cannot go on.
        UsageError: likewise, since what it was told is wrong.
    """
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    running = {slot: _start(slot, command) for slot in slots}
    crashes = {slot: [time.monotonic()] for slot in slots}
    try:
        while not stopping:
            time.sleep(_POLL_S)
            for slot, worker in running.items():
                code = worker.poll()
                if code is None or stopping:
                    continue
                if code > 0:
                    kind = UsageError if code == UsageError.exit_code else Fatal
                    raise kind(f"the worker in slot {slot} ended with code {code}", remedy="its last log line says why")
                recent = [moment for moment in crashes[slot] if time.monotonic() - moment < _CALM_S]
                if len(recent) >= _RESTARTS_MAX:
                    raise Fatal(f"the worker in slot {slot} ended {len(recent)} times within a minute")
                ended = f"was killed by signal {-code}" if code else "was stopped"
                say(f"the worker in slot {slot} {ended}; starting it again")
                crashes[slot] = [*recent, time.monotonic()]
                time.sleep(_RESTART_BACKOFF_S)
                if not stopping:
                    running[slot] = _start(slot, command)
    finally:
        _stop_all(running)
        for number, handler in previous.items():
            signal.signal(number, handler)


def this_command(*arguments: str) -> list[str]:
    """Return the command line that runs `a3cp` with `arguments` under this interpreter."""
    return [sys.executable, "-c", "from processor.cli.app import main; main()", *arguments]


def _start(slot: int, command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # The command is our own.
        [*command, "--first-slot", str(slot)], env={**os.environ, "A3CP_WORKERS": "1"}, stdin=subprocess.PIPE
    )


def _stop_all(running: Mapping[int, subprocess.Popen[bytes]]) -> None:
    for worker in running.values():
        worker.terminate()
    deadline_s = time.monotonic() + _STOP_S
    for worker in running.values():
        with worker:  # Closes its standard input.
            try:
                worker.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()


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
    for number in (signal.SIGTERM, signal.SIGINT):  # Nothing has begun; a client that waits for answers cannot be left.
        signal.signal(number, lambda *_: os._exit(0))
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
    supervise(slots, this_command("process"), partial(log.warning, operation="supervise"))
