"""The memory that users with open sessions take, each time in a fresh process (`python -m bench.memory …`)."""

import gc
import json
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from bench.context import Context
from bench.messages import START_MS, encode_ours, message
from bench.report import Section, Target, number
from bench.task import new_task, open_state, user_key, users_of
from processor.processes.collecting import tune_garbage_collection
from processor.runtime.task import Task
from processor.testing import MemoryRecord

PARTITIONS: Final = 4
_CHUNK: Final = 10_000
_LIVED: Final = "lived, 1 message each"
_RESTORED: Final = "restored, {} messages each"
MESSAGES_EACH: Final = (1, 25, 40)  # 25 is the drain's mean; from 32 on a state grows no more


def main(how: str, users: int, messages: int) -> dict[str, float]:
    """Fill four tasks with users, and return what that cost."""
    tune_garbage_collection()
    process = psutil.Process()
    tasks = [new_task(partition, PARTITIONS) for partition in range(PARTITIONS)]
    tasks[0].process([_record(0, 0, 1)])
    tasks[0].state_records()
    tasks[0].committed()  # Caches and the like are there before the first reading.
    numbers = [users_of(partition, PARTITIONS, users) for partition in range(PARTITIONS)]
    gc.collect()
    before = process.memory_info().rss
    begun_s = time.monotonic()
    for task, its in zip(tasks, numbers, strict=True):
        for start in range(0, len(its), _CHUNK):
            _fill(task, how, its[start : start + _CHUNK], messages)
        if how == "restored":
            task.restored()
    gc.collect()
    after = process.memory_info().rss
    stored = sum(len(state) for task in tasks for state in task.states.values())
    assert sum(task.open_sessions for task in tasks) >= users
    return {
        "mb": (after - before) / 1e6,
        "bytes_per_user": (after - before) / users,
        "state_bytes": stored / users,
        "seconds": time.monotonic() - begun_s,
    }


def _fill(task: Task, how: str, numbers: list[int], messages: int) -> None:
    if how == "restored":
        append_ms = time.time_ns() // 1_000_000
        task.restore([(user_key(number), open_state(number, messages, append_ms)) for number in numbers])
        return
    task.process([_record(task.partition, number, 1) for number in numbers])
    task.state_records()
    task.committed()


def _record(partition: int, number: int, step: int) -> MemoryRecord:
    user_id = user_key(number).decode()
    value = encode_ours(message(random.Random(number), user_id, START_MS + 10_000 * step))
    return MemoryRecord(partition, number, user_id.encode(), value, time.time_ns() // 1_000_000)


def in_fresh_process(how: str, users: int, messages: int) -> dict[str, Any]:
    """Run `main` in a process of its own."""
    command = [sys.executable, "-m", "bench.memory", how, str(users), str(messages)]
    root = Path(__file__).parent.parent
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def measure(context: Context) -> Section:
    """Measure the memory of many users."""
    users = context.scale.many_users
    section = Section(
        "memory",
        "Memory of users with open sessions",
        f"{users:,} users with an open session each, in {PARTITIONS} tasks in a fresh process without Kafka: growth "
        "of the resident size (MB of 10^6 bytes). Lived: each user's first message through Task.process and a commit. "
        "Restored: states of the size they have after that many messages, through Task.restore.",
        ("how", "MB", "bytes a user", "of these the encoded state"),
    )
    for how, messages in (("lived", 1), *(("restored", each) for each in MESSAGES_EACH)):
        name = _LIVED if how == "lived" else _RESTORED.format(messages)
        run = context.quietly(f"memory, {name}", partial(in_fresh_process, how, users, messages))
        section.runs.append({"how": name, **run})
        section.rows.append((name, number(run["mb"]), number(run["bytes_per_user"]), number(run["state_bytes"])))
    scaled = [run["bytes_per_user"] for run in section.runs]
    section.targets.append(
        Target(
            "a million in ≤ 500 MB",
            f"{scaled[0]:.0f} MB with one message each, {scaled[-1]:.0f} MB with {MESSAGES_EACH[-1]} each",
            max(scaled) <= 500,
        )
    )
    return section


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
