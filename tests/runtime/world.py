"""A processor in memory: the real worker, tasks, rules and codec over a log in memory."""

import json
from collections.abc import Mapping
from typing import Any

from processor.codec.isotime import format_time
from processor.core.model import Rules
from processor.runtime.task import Task
from processor.runtime.worker import Worker
from processor.settings.model import TopicNames
from processor.testing import Fault, ManualClock, MemoryBroker, MemoryLog
from tests.strategies import make_codec

TOPICS = TopicNames("raw", "tagged", "sessions", "state", "dlq")
GAP_MS = 3_600_000
RULES = Rules(gap_ms=GAP_MS, quiet_ms=10_000)
NOW_MS = 1_750_000_000_000


class Silent:
    """An observer that only counts failures."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []

    def failed(self, error: Exception, backoff_s: float) -> None:
        """Note a failure."""
        self.failures.append(error)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def message(user_id: str, at_ms: int = NOW_MS, **fields: Any) -> bytes:
    """Return a conforming message in JSON."""
    number = fields.pop("number", 0)
    spine = {
        "schema_version": "1.0.1",
        "record_id": f"07e4c9ff-9b8e-4d3e-bc7c-{number:012d}",
        "user_id": user_id,
        "timestamp": format_time(at_ms),
        "source": "ui",
    }
    return json.dumps({**spine, **fields}, separators=(",", ":")).encode()


def broker(*, partitions: int = 4) -> MemoryBroker:
    """Return an empty broker whose clock shows NOW_MS."""
    return MemoryBroker(ManualClock(NOW_MS), partitions=partitions)


def worker_on(
    memory: MemoryBroker,
    *,
    faults: Mapping[int, Fault] | None = None,
    batch_records_max: int = 7,
    record_bytes_max: int = 2 << 20,
) -> tuple[Worker, Silent]:
    """Return a worker that owns all partitions of `memory`, and what watches it."""
    observer = Silent()
    codec = make_codec()

    def task_of(partition: int) -> Task:
        return Task(
            partition, memory.partitions, codec=codec, rules=RULES, topics=TOPICS, record_bytes_max=record_bytes_max
        )

    worker = Worker(
        MemoryLog(memory, raw="raw", state="state", faults=faults),
        task_of,
        memory.clock,
        observer,
        batch_records_max=batch_records_max,
        punctuate_ms=500,
        sleep=lambda _: None,
    )
    return worker, observer


def run_until_done(worker: Worker, memory: MemoryBroker, *, turns_max: int = 400) -> None:
    """Let the worker run until all of the raw topic is committed."""
    turn, turns = worker.turn, 0

    def counted() -> None:
        nonlocal turns
        turns += 1
        assert turns <= turns_max, "the worker does not come to an end"
        done = all(memory.committed[p] == len(log) for p, log in enumerate(memory.topics["raw"]))
        if done and len(worker.tasks) == memory.partitions:
            worker.stop()
            return
        turn()

    worker.turn = counted  # type: ignore[method-assign]  # The loop is the worker's own; only its end is ours.
    worker.run()
    worker.turn = turn  # type: ignore[method-assign]  # For those who take more turns.


def outcome(memory: MemoryBroker) -> dict[str, list[list[bytes | None]]]:
    """Return what a reader of the outputs sees."""
    return {
        topic: [[record.raw_value for record in log] for log in memory.topics[topic]]
        for topic in ("tagged", "sessions", "dlq")
    }
