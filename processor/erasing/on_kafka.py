"""The topics of an erasure on Kafka."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from processor.kafka import erasure
from processor.kafka.conf import LogConf
from processor.kafka.topic_admin import read_topics
from processor.settings.model import TopicNames


class KafkaLog(NamedTuple):
    """A `Log` on Kafka."""

    conf: LogConf
    topics: TopicNames

    def held(self, topic: str, person: str, others: set[bytes]) -> list[erasure.Held]:
        """See `Log`."""
        return erasure.held_of(self.conf.common, topic, person, others)

    def done(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """See `Log`."""
        return erasure.group_offsets(self.conf, partitions)

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """See `Log`."""
        return {name: topic.configs for name, topic in read_topics(self.conf.common, self.topics).items()}

    def forget(self, states: Mapping[int, frozenset[bytes]]) -> None:
        """See `Log`."""
        erasure.forget(self.conf, states)
