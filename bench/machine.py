"""The machine: what it is, how busy it is with things that are not ours, and waiting until it is not."""

import os
import platform
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import confluent_kafka
import psutil

BUSY_MAX: Final = 0.25  # cores that others may use while something is measured
_SAMPLE_S: Final = 1.5


def describe() -> dict[str, str | int | float]:
    """Return what a reader must know of the machine to make sense of the figures."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "confluent_kafka": confluent_kafka.version()
        if isinstance(confluent_kafka.version(), str)
        else confluent_kafka.version()[0],
        "librdkafka": confluent_kafka.libversion()[0],
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _machine_s() -> float:
    """Return the CPU seconds that the machine has spent on anything so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def tree_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, its descendants, and those of them that it has waited for."""
    total = 0.0
    for each in [process, *_descendants(process)]:
        try:
            times = each.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def ours_s() -> float:
    """Return the CPU seconds of this process and all it started, the broker included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = usage.ru_utime + usage.ru_stime + reaped.ru_utime + reaped.ru_stime
    return own + sum(tree_s(child) for child in psutil.Process().children())


@dataclass(slots=True)
class Others:
    """How many cores anything but us uses, between `Others()` and `cores`."""

    _machine_s: float = field(default_factory=_machine_s)
    _ours_s: float = field(default_factory=ours_s)
    _since_s: float = field(default_factory=time.monotonic)

    def cores(self) -> float:
        """Return the mean since the start; what the kernel does for nobody in particular is in it."""
        elapsed_s = max(1e-3, time.monotonic() - self._since_s)
        return round(max(0.0, (_machine_s() - self._machine_s - (ours_s() - self._ours_s)) / elapsed_s), 2)


def wait_until_quiet(wait_s: float) -> float:
    """Return the cores that others use once they use few, or after `wait_s` all the same."""
    deadline_s = time.monotonic() + wait_s
    while True:
        others = Others()
        time.sleep(_SAMPLE_S)
        cores = others.cores()
        if cores <= BUSY_MAX or time.monotonic() > deadline_s:
            return cores
