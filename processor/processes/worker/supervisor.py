"""Keeps several worker processes running, as long as they can; stops them together."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Final, Literal

from processor.errors import BrokerUnavailable, Fatal, UsageError
from processor.kafka.topics.admin import check_topics
from processor.kafka.worker.slots import choose_slots
from processor.observe.logs import log_of
from processor.processes.parts import Part, stop_all, this_command
from processor.processes.pool import cores
from processor.processes.worker.spare import Told, Workers
from processor.settings.model import WORKERS_MAX
from processor.settings.sources import Loaded

_POLL_S: Final = 0.05
_FINAL: Final = (Fatal.exit_code, UsageError.exit_code)
_START_BACKOFF_S: Final = 0.3


def supervise(
    slots: Sequence[int], command: Sequence[str], say: Callable[[str], None], *, metrics_port: int = 0
) -> None:
    """Run `command` once for each slot, and a spare one, until told to stop (SIGTERM, SIGINT).

    The first worker serves its metrics at `metrics_port`, the next one at the port after it, and so on; 0: none does.

    In place of a worker that was killed or stopped, the spare one goes on at once, in its slot: that aborts what was
    left open, and the group gives it the partitions that the slot had. If a worker says that it cannot go on (exit code
    1 or 2), all stop. The workers' standard input is a pipe from here: it says which worker each is. They stop when it
    closes, so none is left if this process is killed.

    Raises:
        Fatal: a worker cannot go on.
        UsageError: it cannot, since what it was told is wrong.
    """
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    starts = Workers(command, {**os.environ, "A3CP_WORKERS": "1"}, say)
    workers = [
        Part(
            f"the worker in slot {slot}",
            partial(starts.launch, Told(slot, metrics_port + number if metrics_port else 0)),
            say,
            final=_FINAL,
        )
        for number, slot in enumerate(slots)
    ]
    try:
        while not stopping:
            time.sleep(_POLL_S)
            for worker in workers:
                if not stopping:
                    worker.look()
            if not stopping:
                starts.look()
    finally:
        stop_all(workers if starts.spare is None else [*workers, starts.spare])
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_workers(loaded: Loaded, count: int | Literal["auto"]) -> None:
    """Run `count` workers, a process each, until SIGTERM or SIGINT; `auto`: one a core, at most one a partition.

    Raises:
        A3CPError: they cannot start, or one cannot go on.
    """
    settings = loaded.settings
    log = log_of("supervisor", settings)
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
    supervise(slots, this_command("process", "--supervised"), say, metrics_port=settings.metrics_port)
