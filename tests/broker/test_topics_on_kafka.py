"""Topics as code, against a real Kafka."""

import pytest

from processor.core.errors import UsageError
from processor.kafka.topic_admin import check_topics, ensure_topics, read_topics
from processor.kafka.topics import desired_topics, plan

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
