"""A worker whose registry is in trouble: one record waits for it, or its partition does, and never the worker."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from processor.broker.probe import free_ports
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import Cause
from tests.broker.audit import read_topic
from tests.broker.fleet import BASE_MS, TIMEOUT_S, Fleet, await_true, message, names_of, probe
from tests.registry_server import Registering, serving
from tests.strategies import SCHEMA_TEXTS, framed

pytestmark = pytest.mark.broker

FINE, FAILS, DRIPS, BOMB = 1, 2, 3, 4


def bomb() -> str:
    """A schema of whose values nobody could read one: 2^40 nulls."""
    inner: object = "null"
    for level in range(40):
        fields = [{"name": "a", "type": inner}, {"name": "b", "type": f"L{level - 1}" if level else "null"}]
        inner = {"type": "record", "name": f"L{level}", "fields": fields}
    schema = json.loads(SCHEMA_TEXTS["A3CPMessage"])
    schema["fields"].append({"name": "bomb", "type": inner})
    return json.dumps(schema)


USERS = [next(f"u{n}" for n in range(99) if partition_of(f"u{n}".encode(), 4) == partition) for partition in range(4)]


@pytest.mark.long
def test_ids_on_which_the_registry_fails(kafka: str, topics: str, tmp_path: Path) -> None:
    """Each holds its partition back, and is named in log, `/readyz` and a metric; the other partitions go on.

    A schema that would make endless work is a dead letter. A stop takes no longer than usual. Once the registry is
    mended, all is tagged.
    """
    names, producer = names_of(topics), Producer({"bootstrap.servers": kafka})
    (port,) = free_ports(1)

    def send(partition: int, *schema_ids: int) -> None:
        for schema_id in schema_ids:
            producer.produce(names.raw, framed(USERS[partition], schema_id), USERS[partition], partition)
        assert producer.flush(TIMEOUT_S) == 0

    def tagged() -> list[int]:
        return [len(rows) for rows in read_topic(kafka, names.tagged)]

    send(0, FINE, FAILS, FINE)
    send(1, DRIPS)
    send(2, BOMB, FINE)
    answers = Registering(FINE, FAILS, DRIPS)
    answers.texts[BOMB], answers.fails, answers.drips = bomb(), {FAILS}, {DRIPS}
    with serving(answers) as server, Fleet(kafka, topics, tmp_path, metrics_port=port) as fleet:
        fleet.environ["SCHEMA_REGISTRY_URL"] = server.url
        worker = fleet.start(slot=0)
        await_true("it tells", lambda: all(f"schema id {n} (" in probe(port, "/readyz")[1] for n in (FAILS, DRIPS)))
        producer.produce(names.raw, message(USERS[3], BASE_MS), USERS[3], 3)
        send(3, FINE)
        await_true("the others go on", lambda: tagged() == [1, 0, 1, 2])
        _, why = probe(port, "/readyz")
        assert f"{names.raw}[0]@1: schema registry does not answer for schema id {FAILS} (status 500)" in why
        assert f"{names.raw}[1]@0: schema registry does not answer for schema id {DRIPS} (no whole answer" in why
        assert probe(port, "/livez")[0] == 200
        _, metrics = probe(port, "/metrics")
        for partition in (0, 1):
            assert f'a3cp_partition_waiting{{cause="{Cause.REGISTRY}",partition="{partition}"}} 1.0' in metrics
        assert worker.said("stands still") >= 2
        (letter,) = read_topic(kafka, names.dlq)[2]
        assert b"more than 1000 fields that take no bytes" in dict(letter.headers)["a3cp-dlq-message"]
        assert worker.stop(30) == 0
        answers.fails, answers.drips = set(), set()
        fleet.start(slot=0)
        await_true("all is tagged", lambda: tagged() == [3, 1, 1, 2])
        await_true("it is ready", lambda: probe(port, "/readyz")[0] == 200)
