"""The shared set of odd records once through the real thing: client, processor, export, verify, audit, replay, dlq."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.client import SessionClient
from processor.kafka.reading.reader import Reader
from tests.broker.audit import read_topic
from tests.broker.commands import Commands
from tests.broker.fleet import Fleet, await_true
from tests.odd_records import NUL_IN_USER, framed_records, json_records, shipped_records
from tests.registry_server import Answering, serving
from tests.strategies import FakeRegistry

pytestmark = pytest.mark.broker

SCHEMAS, FRAMED = framed_records()
VALUES = {**json_records(), **shipped_records(), **FRAMED}
del VALUES[NUL_IN_USER]  # The client refuses ids with what cannot be seen.
REPLAYED = ("space all around", "odd texts", "uuid in fixed", "double NaN")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry that knows the set's schemas, named to all."""
    known = FakeRegistry(*SCHEMAS)

    def answer(asked: Answering) -> None:
        if asked.command == "POST":
            text = json.loads(asked.body)["schema"]
            asked.give(200, json.dumps({"id": known.register(asked.path, text)}).encode())
        else:
            schema_id = int(asked.path.partition("?")[0].rpartition("/")[2])
            asked.give(200, json.dumps({"schema": known.schema_text(schema_id)}).encode())

    with serving(answer) as server:
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", server.url)
        yield


@pytest.mark.long
@pytest.mark.usefixtures("registry")
def test_the_whole_way(kafka: str, topics: str, tmp_path: Path) -> None:
    """All are sent, tagged, exported and proven; what is replayed comes out as it went in."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        fleet.start()
        with SessionClient(kafka, topic_prefix=topics) as client:
            for value in VALUES.values():
                client.send(value)

        def tagged() -> int:
            return sum(len(rows) for rows in read_topic(kafka, fleet.names.tagged))

        await_true("all are tagged", lambda: tagged() == len(VALUES))

    a3cp = Commands(kafka, topics)
    a3cp.environ["A3CP_STORE_URL"] = f"sqlite:///{tmp_path / 'store.db'}"
    assert a3cp.json("dlq", "list")["count"] == 0
    told = a3cp.json("export", "--to", str(tmp_path / "bundles"), "--training", str(tmp_path / "training"))
    assert (told["bundles"]["written"], told["bundles"]["messages"]) == (len(VALUES), len(VALUES))
    checked = a3cp.json("verify", str(tmp_path / "bundles"))
    assert (checked["bundles"], checked["broken"]) == (len(VALUES), 0)
    a3cp("audit")

    bundles = {
        json.loads(path.read_text("utf-8"))["user_id"]: path.parent
        for path in (tmp_path / "bundles").rglob("session_metadata.json")
    }
    topic = f"{topics}.raw"
    before = sum(len(rows) for rows in read_topic(kafka, topic))
    for number, name in enumerate(REPLAYED):
        place = bundles[name]
        a3cp.json("replay", str(place) if number % 2 else place.name, "--to", topic, "--speed", "max")
    with Reader({"bootstrap.servers": kafka}, topic) as reader:
        found = [record.value for record in reader.read_all()]
    assert len(found) == before + len(REPLAYED)
    assert {name: found.count(VALUES[name]) for name in REPLAYED} == dict.fromkeys(REPLAYED, 2)
