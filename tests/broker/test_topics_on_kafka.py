"""Topics as code, against a real Kafka."""

import pytest

from processor.errors import UsageError
from processor.kafka.topics.admin import apply, check_topics, ensure_topics, read_topics
from processor.kafka.topics.desired import Action, Difference, desired_topics, plan
from tests.broker.fleet import await_true

pytestmark = pytest.mark.broker


def test_what_was_applied_is_there(kafka: str, topics: str) -> None:
    """After an apply the broker has every topic with every setting of its file, and a second plan is empty."""
    conf = {"bootstrap.servers": kafka}
    desired = desired_topics(topics)
    assert plan(desired, read_topics(conf, [topic.name for topic in desired])) == []
    assert ensure_topics(conf, topics) == []
    assert check_topics(conf, topics) == 4


def test_nothing_shrinks(kafka: str, topics: str) -> None:
    """An apply with fewer partitions is refused as a whole, with what to do instead."""
    conf = {"bootstrap.servers": kafka}
    with pytest.raises(UsageError, match="--partitions 4"):
        ensure_topics(conf, topics, partitions=2)
    assert check_topics(conf, topics) == 4


def test_a_missing_topic_is_named(kafka: str, prefix: str) -> None:
    """Where the topics were never made, the error says which and how to make them."""
    with pytest.raises(UsageError, match=rf"no topic {prefix}.dlq.*a3cp topics apply"):
        check_topics({"bootstrap.servers": kafka}, prefix)


def test_what_the_rules_rest_on_is_checked(kafka: str, topics: str) -> None:
    """A raw topic that takes its producers' times, and a state topic that forgets, are refused until mended."""
    conf = {"bootstrap.servers": kafka}
    raw, state = f"{topics}.raw", f"{topics}.state"
    names = [topic.name for topic in desired_topics(topics)]

    def put(topic: str, setting: str, value: str) -> None:
        apply(conf, [], [Difference(topic, setting, None, value, Action.SET)])
        await_true("the broker heeds it", lambda: read_topics(conf, [topic])[topic].configs[setting] == value)

    put(raw, "message.timestamp.type", "CreateTime")
    with pytest.raises(UsageError, match=rf"{raw}: message.timestamp.type is CreateTime.*a3cp topics apply"):
        check_topics(conf, topics)
    assert [difference.subject for difference in ensure_topics(conf, topics)] == ["message.timestamp.type"]
    await_true("it is mended", lambda: plan(desired_topics(topics), read_topics(conf, names)) == [])
    assert check_topics(conf, topics) == 4

    put(f"{topics}.dlq", "message.timestamp.type", "CreateTime")
    assert check_topics(conf, topics, raw=f"{topics}.dlq") == 4  # Another's log may be a mirror.

    put(state, "cleanup.policy", "delete")
    with pytest.raises(UsageError, match=rf"{state}: cleanup.policy is delete.*kafka-configs"):
        check_topics(conf, topics)
    put(state, "cleanup.policy", "compact,delete")
    assert check_topics(conf, topics) == 4


def test_more_copies_than_brokers_name_the_way_out(kafka: str, prefix: str) -> None:
    """A Kafka with fewer brokers than copies refuses, and the message says what to type."""
    with pytest.raises(UsageError, match="--replicas 1"):
        ensure_topics({"bootstrap.servers": kafka}, prefix, replicas=99)
