"""The plan of topics: what is made, what is set, what is refused. No broker."""

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigEntry  # type: ignore[attr-defined]  # Its stub forgets to re-export it.

from processor.errors import BrokerUnavailable, UsageError
from processor.kafka.topics.admin import readable
from processor.kafka.topics.desired import Action, Topic, as_grown, check_configs, desired_topics, plan, read_topic

WANTED = Topic("a3cp.raw", 4, 1, {"retention.ms": "1000", "segment.ms": "60", "cleanup.policy": "delete"})
UNSET = replace(WANTED, configs={"cleanup.policy": "delete", "segment.ms": "60"})


def having(name: str, value: str) -> Topic:
    return replace(WANTED, configs={**WANTED.configs, name: value})


def outcome(actual: Topic | None, wanted: Topic = WANTED) -> list[tuple[str, str]]:
    there = {} if actual is None else {actual.name: actual}
    return [(difference.subject, difference.action.value) for difference in plan([wanted], there)]


@pytest.mark.parametrize(
    ("title", "actual", "expected"),
    [
        ("a missing topic is made", None, [("topic", "create")]),
        ("nothing to do", WANTED, []),
        ("other settings of the topic do not matter", having("x", "1"), []),
        ("an unset setting is set", UNSET, [("retention.ms", "set")]),
        ("a shorter retention is raised", having("retention.ms", "999"), [("retention.ms", "set")]),
        ("a longer one is not lowered", having("retention.ms", "1001"), [("retention.ms", "refuse")]),
        ("nor an unlimited one", having("retention.ms", "-1"), [("retention.ms", "refuse")]),
        ("a harmless setting goes down", having("segment.ms", "99"), [("segment.ms", "set")]),
        ("another policy is refused", having("cleanup.policy", "compact"), [("cleanup.policy", "refuse")]),
        ("fewer partitions are refused", replace(WANTED, partitions=5), [("partitions", "refuse")]),
        ("more partitions are refused", replace(WANTED, partitions=3), [("partitions", "refuse")]),
        ("more replicas than asked for are no fault", replace(WANTED, replicas=3), []),
    ],
)  # fmt: skip
def test_plan(title: str, actual: Topic | None, expected: list[tuple[str, str]]) -> None:
    """The table is the rule: what is there, and what an apply does about it."""
    assert outcome(actual) == expected


def test_settings_that_may_not_be_read_are_let_pass() -> None:
    """Without the right to read settings there are none to check; any other failure to read them is told."""

    def answered(code: int) -> dict[str, str]:
        answer: Future[dict[str, ConfigEntry]] = Future()
        answer.set_exception(KafkaException(KafkaError(code)))
        return readable(answer, {"bootstrap.servers": "kafka:9092"})

    settings = answered(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    check_configs(replace(WANTED, configs=settings), replace(WANTED, configs=settings), is_ours=True)
    with pytest.raises(BrokerUnavailable, match="kafka:9092"):
        answered(KafkaError.REQUEST_TIMED_OUT)


def test_topics_that_were_grown_stay_so() -> None:
    """The files' number of partitions is for topics that are made; one that is made later has as many as the others."""
    tagged = Topic("a3cp.tagged", 4, 1, {})
    there = {"a3cp.raw": replace(WANTED, partitions=8)}
    assert [topic.partitions for topic in as_grown([WANTED, tagged], there)] == [8, 8]
    assert [topic.partitions for topic in as_grown([WANTED], {"a3cp.raw": replace(WANTED, partitions=3)})] == [4]
    assert as_grown([WANTED], {}) == [WANTED]


def test_too_few_replicas_are_refused() -> None:
    """Replicas cannot be added here, so the remedy names the tool that can."""
    (difference,) = plan([replace(WANTED, replicas=3)], {WANTED.name: WANTED})
    assert (difference.subject, difference.action) == ("replicas", Action.REFUSE)
    assert "kafka-reassign-partitions" in difference.remedy


def test_unequal_partition_counts_are_an_error() -> None:
    """Topics on the broker that cannot work together are named, each with its count, and with the way out."""
    tagged = Topic("a3cp.tagged", 4, 1, {})
    there = {"a3cp.raw": WANTED, "a3cp.tagged": replace(tagged, partitions=8)}
    with pytest.raises(UsageError, match=r"unequal partition counts: a3cp.raw 4, a3cp.tagged 8; .*A3CP_TOPIC_PREFIX"):
        plan([WANTED, tagged], there)


def test_the_files_agree_with_the_design() -> None:
    """Five topics with equal partitions; the append time on raw; outputs larger than the input; the state compacted."""
    topics = {topic.name: topic for topic in desired_topics()}
    assert sorted(topics) == ["a3cp.dlq", "a3cp.raw", "a3cp.sessions", "a3cp.state", "a3cp.tagged"]
    assert topics["a3cp.raw"].configs["message.timestamp.type"] == "LogAppendTime"
    limits = {name: int(topic.configs["max.message.bytes"]) for name, topic in topics.items()}
    assert all(limit >= 2 * limits["a3cp.raw"] for name, limit in limits.items() if name != "a3cp.raw")
    assert topics["a3cp.state"].configs["cleanup.policy"] == "compact"
    assert all(topic.configs["cleanup.policy"] == "delete" for name, topic in topics.items() if name != "a3cp.state")


def test_prefix_partitions_and_replicas_replace_those_of_the_files() -> None:
    """With three replicas comes the setting without which they protect nothing."""
    for topic in desired_topics("site-a", partitions=12, replicas=3):
        assert topic.name.startswith("site-a.")
        assert (topic.partitions, topic.replicas) == (12, 3)
        assert topic.configs["min.insync.replicas"] == "2"


@pytest.mark.parametrize("prefix", ["", "a b", "a/b", "é", "x" * 201])
def test_a_prefix_that_is_no_name_is_refused(prefix: str) -> None:
    """Kafka would refuse it later and less clearly."""
    with pytest.raises(UsageError, match="cannot start a topic name"):
        desired_topics(prefix)


@pytest.mark.parametrize(
    "text", ["", "a: [", "apiVersion: v1\nkind: KafkaTopic", "apiVersion: kafka.jikkou.io/v1\nkind: KafkaTopic"]
)
def test_a_file_of_another_form_is_named(tmp_path: Path, text: str) -> None:
    """Whatever is wrong with it, the error says which file."""
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"odd\.yaml is no KafkaTopic"):
        read_topic(path)
