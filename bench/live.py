"""Drives a running system with messages at a rate, and says how long each took."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.context import Context
from bench.launched import Launched
from bench.systems import System

_READY_S: Final = 20.0
_STRAGGLERS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Trip:
    """One message: the partition it was sent to, when it was sent, when it arrived (None: never); seconds."""

    partition: int
    sent_s: float
    arrived_s: float | None


def drive(
    context: Context,
    system: System,
    *,
    rate: float,
    seconds: float,
    meanwhile: Callable[[], None] | None = None,
    users: int = 1_000,
    stragglers_s: float = _STRAGGLERS_S,
) -> list[Trip]:
    """Send `rate` messages a second for `seconds`, and return what became of each; `meanwhile` runs beside it, once."""
    sent_file, read_file = (context.folder / f"{what}-{time.time_ns()}.json" for what in ("sent", "read"))
    common = [f"--bootstrap={context.cluster.bootstrap}", f"--partitions={context.cluster.partitions}"]
    reader = _meter("read", *common, f"--topic={system.tagged}", f"--out={read_file}", f"--id-at={system.id_at}")
    try:
        _await(read_file.with_suffix(".ready"), reader)
        sender = _meter(
            "send", *common, f"--topic={system.raw}", f"--out={sent_file}", f"--rate={rate}", f"--seconds={seconds}",
            f"--users={users}",
            f"--encoding={'ours' if system.kind == 'ours' else 'peers'}",
        )  # fmt: skip
        if meanwhile is not None:
            meanwhile()
        if sender.wait(seconds + 120):
            raise RuntimeError("the sender failed")
        time.sleep(stragglers_s)
    finally:
        reader.terminate()
        reader.wait(60)
    arrived = {record_id: at_ns for record_id, _, at_ns in reversed(json.loads(read_file.read_text()))}
    trips = []
    for record_id, partition, at_ns in json.loads(sent_file.read_text()):
        arrival_ns = arrived.get(record_id)
        trips.append(Trip(partition, at_ns / 1e9, None if arrival_ns is None else arrival_ns / 1e9))
    for file in (sent_file, read_file, read_file.with_suffix(".ready")):
        file.unlink(missing_ok=True)
    return trips


def await_records(context: Context, topic: str, count: int, launched: Launched, limit_s: float = 180.0) -> None:
    """Wait until `count` committed records are in `topic`."""
    reader = context.cluster.reader(topic)
    seen = 0
    deadline_s = time.monotonic() + limit_s
    while seen < count:
        seen += sum(record.error() is None for record in reader.consume(10_000, 0.1))
        launched.require_running()
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"only {seen} of {count} after {limit_s} s:\n{launched.tail()}")
    reader.close()


def _meter(*arguments: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).parent.parent
    return subprocess.Popen([sys.executable, "-m", "bench.meter", *arguments], cwd=root)


def _await(file: Path, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _READY_S
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError("the reader failed")
        time.sleep(0.05)
