"""Exactly once, whatever dies: workers are killed and frozen, the broker is restarted; the audit proves the rest."""

import random
import signal
from pathlib import Path

import pytest

from processor.core.model import Rules
from tests.broker.audit import audit, committed_offsets, read_kafka
from tests.broker.fleet import Fleet, Watcher, await_true, day, produce

pytestmark = pytest.mark.broker

COUNT = 24_000
USERS = 300


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments(kafka: str, topics: str, tmp_path: Path, workers: int) -> None:
    """Kill -9 in the middle of transactions, again and again: nothing is lost and nothing doubled."""
    chance = random.Random(workers)
    with Fleet(kafka, topics, tmp_path, batch_records_max=50) as fleet, Watcher(kafka, fleet.names.raw) as raw:
        count = produce(kafka, fleet.names.raw, day(seed=workers, count=COUNT, users=USERS))
        with Watcher(kafka, fleet.names.tagged) as tagged:
            for kill in range(1, 5):
                worker = fleet.start("--workers", str(workers))
                tagged.await_count(kill * COUNT // 6 + chance.randrange(COUNT // 12))
                worker.kill()
            fleet.start("--workers", str(workers))
            raw.await_count(count)
            end = {partition: seen for partition, seen in raw.counts.items()}
            await_true("all committed", lambda: committed_offsets(kafka, topics, fleet.names.raw, 4) == end)
        found = audit(read_kafka(kafka, fleet.names), Rules(), names=fleet.names, clocked=True)
    assert found.tagged > 0.9 * COUNT
