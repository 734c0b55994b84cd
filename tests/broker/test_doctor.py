"""`a3cp doctor` against a real Kafka: what is wrong is found, and what to do is said."""

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.broker.commands import Commands
from tests.broker.fleet import TIMEOUT_S
from tests.registry_server import always, serving

pytestmark = pytest.mark.broker


@pytest.fixture
def a3cp(kafka: str, topics: str, tmp_path: Path) -> Commands:
    made = Commands(kafka, topics)
    made.environ["A3CP_STORE_URL"] = f"sqlite:///{tmp_path / 'a3cp.db'}"
    return made


def states(examined: Any) -> dict[str, str]:
    return {check["check"]: check["state"] for check in examined["checks"]}


def words(examined: Any, check: str) -> str:
    (found,) = (one for one in examined["checks"] if one["check"] == check)
    return f"{found['what']}; {found['remedy']}"


def put(kafka: str, topic: str, value: bytes = b"{}", key: bytes = b"u") -> None:
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(topic, value, key, 1)
    assert producer.flush(60) == 0


def test_a_healthy_kafka(a3cp: Commands, kafka: str, topics: str) -> None:
    """Nothing is wrong: on one broker with fresh topics; each check is a line for people, each with its state."""
    put(kafka, f"{topics}.raw")
    examined = a3cp.json("doctor")
    assert examined["well"] is True
    assert states(examined) == {
        "broker": "ok", "time-outs": "ok", "topics": "ok", "timestamp type": "ok", "topic settings": "ok",
        "replication": "look", "rights": "ok", "offsets retention": "ok", "group": "ok", "clock": "ok",
        "schema ids": "ok", "lag": "look", "open transactions": "ok", "store": "unseen",
    }  # fmt: skip
    lines = a3cp("doctor").stdout.splitlines()
    assert len(lines) == len(examined["checks"])
    assert lines[0].split() == ["ok", "broker", "1", "broker,", "Kafka", "4", "or", "newer"]


def test_missing_topics_and_a_missing_broker(a3cp: Commands, prefix: str) -> None:
    """What depends on them is not looked at; the roots are, all the same."""
    a3cp.environ["A3CP_TOPIC_PREFIX"] = f"{prefix}-none"
    assert "make the topics with a3cp topics apply" in words(a3cp.json("doctor", code=1), "topics")
    away = a3cp.json("doctor", "--bootstrap", "127.0.0.1:1", "--to", "bundles", code=1)
    assert states(away) == {"broker": "wrong", "store": "unseen", "bundle root": "ok"}


def test_an_open_transaction_is_found(a3cp: Commands, kafka: str, topics: str) -> None:
    """With where it begins, how much waits, and what names its producer."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(f"{topics}.tagged", b"{}", b"u", 2)
    producer.flush(TIMEOUT_S)
    found = words(a3cp.json("doctor"), "open transactions")
    producer.abort_transaction(TIMEOUT_S)
    assert found.startswith(f"1 offset waits behind an open transaction at {topics}.tagged[2]@0")
    assert f"describe-producers --topic {topics}.tagged --partition 2" in found
    assert states(a3cp.json("doctor"))["open transactions"] == "ok"


def test_states_without_offsets_are_wrong(a3cp: Commands, kafka: str, topics: str) -> None:
    """A worker would refuse to begin, so the doctor ends with 1."""
    put(kafka, f"{topics}.state")
    assert "has no offsets" in words(a3cp.json("doctor", code=1), "group")


@pytest.mark.long
def test_how_far_the_store_is(a3cp: Commands, kafka: str, topics: str, tmp_path: Path) -> None:
    """It has all, it is behind, or records went before it had them; its own root is looked at without being named."""
    put(kafka, f"{topics}.tagged")
    a3cp("export", "--to", str(tmp_path / "bundles"), code=1)  # The record is unreadable, and stored all the same.
    assert "has all that the topics hold" in words(a3cp.json("doctor"), "store")
    put(kafka, f"{topics}.tagged")
    put(kafka, f"{topics}.tagged")
    assert "is 2 offsets behind" in words(a3cp.json("doctor"), "store")
    place = TopicPartition(f"{topics}.tagged", 1, 2)
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_records([place])[place].result(TIMEOUT_S)
    assert f"lacks {topics}.tagged[1]@1 to 1" in words(a3cp.json("doctor"), "store")


def test_what_the_registry_says(a3cp: Commands, topics: str) -> None:
    """The ids of what is written; a registry that does not answer is no fault of a start."""
    with serving() as server:
        a3cp.environ["SCHEMA_REGISTRY_URL"] = server.url
        server.answer = always(200, b'{"id": 12}')
        assert f"{topics}.tagged-value id 12, {topics}.sessions-value id 12" in words(a3cp.json("doctor"), "schema ids")
        server.answer = always(500)
        assert states(a3cp.json("doctor"))["schema ids"] == "look"
