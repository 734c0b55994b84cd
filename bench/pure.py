"""The tagging itself: bytes in, bytes out, no Kafka."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

from bench.context import Context
from bench.messages import encode_json, encode_ours, messages
from bench.report import Section, Target, middle, number
from bench.scale import GAP_MS
from bench.task import new_codec, new_task
from processor.core.model import Message, Rules, Tagged, UserState
from processor.core.session import step
from processor.processes.collecting import tune_garbage_collection
from processor.runtime.task import Task
from processor.testing import MemoryRecord

BATCH: Final = 1_000  # messages timed together: a single one is too quick for the clock
COMMIT_EVERY: Final = 10  # batches; a transaction under load


def batches(encode: Callable[[dict[str, Any]], bytes], total: int, users: int) -> list[list[MemoryRecord]]:
    """Return the drain's messages as records of one partition."""
    append_ms = time.time_ns() // 1_000_000
    offsets = count()
    records = [
        MemoryRecord(0, next(offsets), message["user_id"].encode(), encode(message), append_ms)
        for message in messages(total, users)
    ]
    return [records[start : start + BATCH] for start in range(0, len(records), BATCH)]


def bare_steps(chunks: Sequence[list[MemoryRecord]]) -> list[float]:
    """Return µs per message of each batch for decode, step and tag alone."""
    codec, rules = new_codec(), Rules(gap_ms=GAP_MS)
    states: dict[str, UserState | None] = {}
    took = []
    for chunk in chunks:
        begun_ns = time.thread_time_ns()
        for record in chunk:
            value = record.raw_value
            assert value is not None
            message = codec.decode(value, record.append_ms)
            assert type(message) is Message
            states[message.user_id], events = step(states.get(message.user_id), message, record.position, rules)
            for event in events:
                if type(event) is Tagged:
                    codec.tag(value, event)
        took.append((time.thread_time_ns() - begun_ns) / len(chunk) / 1e3)
    return took


def whole_task(chunks: Sequence[list[MemoryRecord]]) -> tuple[list[float], list[float]]:
    """Return µs per message of each batch for Task.process, and of each transaction for all that a task does."""
    task: Task = new_task()
    took, whole = [], []
    for start in range(0, len(chunks), COMMIT_EVERY):
        some = chunks[start : start + COMMIT_EVERY]
        begun_ns = time.thread_time_ns()
        for chunk in some:
            batch_ns = time.thread_time_ns()
            task.process(chunk)
            took.append((time.thread_time_ns() - batch_ns) / len(chunk) / 1e3)
        task.state_records()
        task.committed()
        whole.append((time.thread_time_ns() - begun_ns) / sum(map(len, some)) / 1e3)
    return took, whole


def measure(context: Context) -> Section:
    """Measure the pure step for Avro and JSON."""
    scale = context.scale
    section = Section(
        "pure",
        "The tagging step alone",
        f"{scale.pure_messages:,} messages of {scale.users:,} users, bytes in, bytes out, in one process without "
        "Kafka, garbage collection as in `a3cp process`; µs of CPU per message, "
        f"batches of {BATCH:,} timed together; a transaction is {BATCH * COMMIT_EVERY:,} messages. Median and 99th "
        f"percentile over batches, then the median of {scale.runs} runs.",
        ("encoding", "decode + step + tag", "p99", "Task.process", "p99", "and state records, committed", "p99"),
    )
    worst = 0.0
    for name, encode in (("Avro", encode_ours), ("JSON", encode_json)):
        chunks = batches(encode, scale.pure_messages, scale.users)
        tune_garbage_collection()
        its = [context.quietly(f"pure, {name}", partial(_once, name, chunks)) for _ in range(scale.runs)]
        section.runs += its
        keys = [f"{part}_{rank}" for part in ("steps", "process", "whole") for rank in ("us", "p99_us")]
        section.rows.append((name, *(number(middle(its, key), 2) for key in keys)))
        worst = max(worst, middle(its, "steps_us") or 0.0)
        if name == "Avro":
            avro = middle(its, "steps_us") or 0.0
    section.targets.append(
        Target("≤ 10 µs a message", f"{avro:.1f} µs (Avro), {worst:.1f} µs (the slower)", avro <= 10)
    )
    return section


def _once(name: str, chunks: list[list[MemoryRecord]]) -> dict[str, Any]:
    steps = bare_steps(chunks)
    process, whole = whole_task(chunks)
    run: dict[str, Any] = {"encoding": name}
    for part, took in (("steps", steps), ("process", process), ("whole", whole)):
        ordered = sorted(took)
        run[f"{part}_us"] = ordered[len(ordered) // 2]
        run[f"{part}_p99_us"] = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return run
