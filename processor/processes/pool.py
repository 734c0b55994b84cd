"""Helping processes, for work that keeps the Python interpreter busy."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

from processor.errors import Fatal

_GRACE_S: Final = 5.0
_CPU_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")  # of a container on Linux: microseconds it may use in a period
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_Work = TypeVar("_Work")
_Result = TypeVar("_Result")


def cores(cpu_limit: Path = _CPU_LIMIT) -> int:
    """Return how many cores this process may use: those of the machine, or of its container if that has fewer."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # Without this file there is no limit, and so it is where it says "max".
        quota, period = (int(part) for part in cpu_limit.read_text("ascii").split())
        allowed = min(allowed, max(1, -(-quota // period)))
    return allowed


def pool_of(count: int, begin: Callable[..., object], *arguments: Any) -> ProcessPoolExecutor:
    """Return `count` processes, each of which calls `begin` with `arguments` first.

    A service manager sends Ctrl-C and SIGTERM to all processes: these leave them to their parent. They end if the
    parent is killed, since nobody else would end them.
    """
    # A fork would copy locks that threads of this process hold.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, _begin, (begin, arguments))


def spread(
    pool: ProcessPoolExecutor, function: Callable[[_Work], _Result], work: Iterable[_Work], *, chunksize: int = 1
) -> Iterator[_Result]:
    """Yield what `function` returns for each of `work`, in that order.

    Raises:
        Fatal: one of the processes has ended.
    """
    try:
        with _held_back():
            results = pool.map(function, work, chunksize=chunksize)  # Starts the processes, as far as there are none.
        yield from results
    except BrokenProcessPool as error:
        raise Fatal(
            "a helping process has ended", remedy="see whether memory is short; what was done stays, run it again"
        ) from error


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold signals back. Processes that are started meanwhile inherit that, until they have their own handlers."""
    resource_tracker.ensure_running()  # Its start would let them through.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(begin: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(*arguments)


def _end_later(_number: int, _frame: FrameType | None) -> None:
    """End after a while: until then, the parent that is stopping may still need this process."""
    timer = threading.Timer(_GRACE_S, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
