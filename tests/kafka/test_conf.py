"""What the clients are told, whatever a user passes through. No broker."""

from typing import Any

import pytest

from processor.errors import UsageError
from processor.kafka.conf import consumer_conf, feed_conf, reader_conf, restorer_conf

LATEST = {"auto.offset.reset": "latest"}


def consumer(common: dict[str, Any], protocol: str = "classic") -> dict[str, Any]:
    return consumer_conf(common, session_timeout_ms=6_000, group_protocol=protocol)


def test_nothing_that_is_there_is_skipped() -> None:
    """No reader begins at the end because a property says so: the processor refuses it, the others do not heed it."""
    assert consumer({})["auto.offset.reset"] == "error"
    with pytest.raises(UsageError, match=r"auto\.offset\.reset cannot be latest; leave it out"):
        consumer(LATEST)
    assert restorer_conf(LATEST, group_id="g")["auto.offset.reset"] == "earliest"
    assert reader_conf(LATEST, if_gone="error")["auto.offset.reset"] == "error"


def test_partitions_come_and_go_one_by_one() -> None:
    """The classic protocol needs the assignor that the rebalance is written for; the other has none to set."""
    strategy = "partition.assignment.strategy"
    assert consumer({strategy: "range"})[strategy] == "cooperative-sticky"
    assert strategy not in consumer({}, "consumer")


@pytest.mark.parametrize(
    ("session_ms", "heartbeat_ms"), [(45_000, 3_100), (6_000, 3_100), (3_000, 500), (1_000, 166), (300, 100)]
)
def test_how_often_a_member_says_that_it_lives(session_ms: int, heartbeat_ms: int) -> None:
    """Two heartbeats take a little longer than the shortest session that Kafka allows by default; of others six fit."""
    conf = consumer_conf({}, session_timeout_ms=session_ms, group_protocol="classic")
    assert conf["heartbeat.interval.ms"] == heartbeat_ms


def test_all_read_what_a_topic_takes() -> None:
    """Whoever reads has the largest limit to unpack a batch, and looks at checksums; a user's limit wins."""
    confs = [
        consumer({}),
        restorer_conf({}, group_id="g"),
        reader_conf({}, if_gone="error"),
        feed_conf({}, group_id="g", session_timeout_ms=6_000),
    ]
    assert {(conf["receive.message.max.bytes"], conf["check.crcs"]) for conf in confs} == {(2**31 - 1, True)}
    assert consumer({"receive.message.max.bytes": "60000000"})["receive.message.max.bytes"] == "60000000"
