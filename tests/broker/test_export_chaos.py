"""`a3cp export --follow` killed at random moments while a processor works: it ends with a calm run's tree and store."""

import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from sqlalchemy import select

from processor.bundles.verify import verify
from processor.store.tables import EVENTS, SESSIONS
from tests.broker.exporters import Exporter, assert_same
from tests.broker.fleet import Fleet, await_true, day, message, produce
from tests.postgres import programs

pytestmark = [pytest.mark.broker, pytest.mark.long]

KILLS = {"sqlite": 20, "postgresql": 8}
STARTING_SHARE = 0.4  # of the kills, in the first two seconds; the others come within a second of its first work
USERS = 150
MESSAGES = 5_000


def with_notes(records: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield `records`, and now and then a note of the same user at the same time."""
    for number, (user, value) in enumerate(records):
        yield user, value
        if number % 37 == 0:
            at = json.loads(value)["timestamp"]
            yield user, message(user, 0, number=number, command="note", timestamp=at, session_notes=f"note {number}")


def has_coordinator(kafka: str, group_id: str) -> bool:
    """Whether a broker answers for the group; one that was just started does not at once."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group_id})
    try:
        consumer.committed([TopicPartition(f"{group_id}.raw", 0)], timeout=60)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


@pytest.mark.timeout(600)
def test_killed_at_random_moments(kafka: str, topics: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Killed 20 times on SQLite and 8 times on PostgreSQL, it leaves a calm run's rows and files, byte for byte."""
    seed = random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")  # pytest shows it when the test fails.
    chance = random.Random(seed)
    records = list(with_notes(day(seed, MESSAGES, USERS)))
    addresses = {"sqlite": f"sqlite:///{tmp_path / 'store.db'}"}
    if programs() is not None:
        addresses["postgresql"] = request.getfixturevalue("cluster").new_database(topics)
    turns = KILLS["sqlite"]
    chosen = {"sqlite": set(range(turns)), "postgresql": set(chance.sample(range(turns), KILLS["postgresql"]))}
    in_work = 0
    with ExitStack() as stack:
        fleet = stack.enter_context(Fleet(kafka, topics, tmp_path, quiet_ms=500))
        await_true("the broker is ready for groups", lambda: has_coordinator(kafka, topics))
        produce(kafka, fleet.names.raw, iter(records[:1]))
        worker = fleet.start()
        await_true("the processor works", lambda: worker.said("restored"))
        exporters = {
            name: stack.enter_context(Exporter(fleet.environ, address, tmp_path / name))
            for name, address in addresses.items()
        }
        size = -(-len(records) // turns)
        for turn in range(turns):
            before = exporters["sqlite"].held()
            for exporter in exporters.values():
                exporter.start()
            produce(kafka, fleet.names.raw, iter(records[1 + turn * size : 1 + (turn + 1) * size]))
            starting = chance.random() < STARTING_SHARE
            if not starting:
                await_true("it works", partial(exporters["sqlite"].has_moved, before))
            time.sleep(chance.uniform(0, 2 if starting else 1))  # The promise is about any moment.
            for name, exporter in exporters.items():
                if turn in chosen[name]:
                    assert exporter.end(signal.SIGKILL) == -signal.SIGKILL
                    in_work += any(exporter.root.glob(".tmp/*=.*"))
        for exporter in exporters.values():
            exporter.start()
        fleet.await_processed()
        for exporter in exporters.values():
            exporter.await_exported(kafka, topics)
            assert exporter.end(signal.SIGTERM) == 0
            assert "error" not in exporter.said()
        sys.stdout.write(f"{in_work} kills left a half written bundle behind\n")
        calm = stack.enter_context(Exporter(fleet.environ, f"sqlite:///{tmp_path / 'calm.db'}", tmp_path / "calm"))
        assert calm.run().returncode == 0
        with calm.store.database.engine.connect() as connection:
            revisions = list(connection.execute(select(SESSIONS.c.revision)).scalars())
            kinds = set(connection.execute(select(EVENTS.c.kind)).scalars())
        assert len(revisions) > 300
        assert max(revisions) > 0
        assert {"note", "ended"} <= kinds
        for exporter in exporters.values():
            assert_same(exporter, calm)
            assert [report.problems for report in verify(str(exporter.root)) if report.problems] == []
