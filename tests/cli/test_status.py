"""`a3cp status`: what is wrong, from what stands in Kafka."""

import json
from typing import Any

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from processor.cli.app import app
from processor.kafka.overview.overview import Member, Overview, PartitionProgress, TopicState, troubles

RAW = TopicState("a3cp.raw", 2, 9)
WORKER = Member("group", 0, "127.0.0.1", (0, 1))


def progress(partition: int, **fields: Any) -> PartitionProgress:
    return PartitionProgress(partition, 4, 4, 0, 0, stands_still=False)._replace(**fields)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Overview((RAW,), (WORKER,), (progress(0), progress(1)), ()), []),
        (
            Overview((RAW,), (WORKER,), (progress(0, lag=5), progress(1, lag=3, stands_still=True)), ()),
            ["partition 1 did not move for 2 s; the log of the worker says why"],
        ),
        (
            Overview((RAW,), (WORKER,), (progress(0), progress(1, slot=None, lag=3, stands_still=True)), ()),
            ["no worker reads partition 1; look again in a moment, then at the workers' logs"],
        ),
        (Overview((RAW,), (), (progress(0, slot=None),), ()), ["no worker runs; start one with a3cp process"]),
        (
            Overview((TopicState("a3cp.raw", 0, 0),), (), (), ()),
            ["there is no topic a3cp.raw; make it with a3cp topics apply"],
        ),
    ],
    ids=["well", "stands still", "nobody reads a partition", "no worker", "no topics"],
)
def test_what_is_wrong_is_said(found: Overview, told: list[str]) -> None:
    assert troubles(found) == told


@pytest.mark.broker
def test_what_stands_in_kafka_is_told(kafka: str, topics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics with partitions and counts, what waits, and no worker: 80 columns wide, exit code 1."""
    producer = Producer({"bootstrap.servers": kafka})
    for _ in range(3):
        producer.produce(f"{topics}.raw", b"{}", b"u", 1)
    producer.flush(60)
    monkeypatch.setenv("A3CP_GROUP_ID", topics)
    given = ["status", "--bootstrap", kafka, "--prefix", topics]
    done = CliRunner().invoke(app, [*given, "--json"], catch_exceptions=False)
    told = json.loads(done.output)
    assert (done.exit_code, told["well"], told["workers"]) == (1, False, [])
    assert told["troubles"] == ["no worker runs; start one with a3cp process"]
    assert told["topics"][0]["name"] == f"{topics}.raw"
    assert [topic["offsets"] for topic in told["topics"]] == [3, 0, 0, 0, 0]
    assert [(one["lag"], one["stands_still"]) for one in told["progress"]][:2] == [(0, False), (3, True)]
    text = CliRunner().invoke(app, given, env={"COLUMNS": "80"}).output
    assert f"group {topics}: 0 workers, 3 offsets behind" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
