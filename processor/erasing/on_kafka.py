"""The topics of an erasure on Kafka."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from processor.kafka.conf import LogConf
from processor.kafka.stopped import erasure
from processor.kafka.topics.admin import read_topics
from processor.settings.model import TopicNames


class ErasureLogOnKafka(NamedTuple):
    """An `ErasureLog` on Kafka."""

    conf: LogConf
    topics: TopicNames

    def held(self, topic: str, person: str, others: set[bytes]) -> list[erasure.HeldInTopic]:
        """See `ErasureLog`."""
        return erasure.held_of(self.conf.common, topic, person, others)

    def done(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """See `ErasureLog`."""
        return erasure.group_offsets(self.conf, partitions)

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """See `ErasureLog`."""
        return {name: topic.configs for name, topic in read_topics(self.conf.common, self.topics).items()}

    def forget(self, states: Mapping[int, frozenset[bytes]]) -> None:
        """See `ErasureLog`."""
        erasure.forget(self.conf, states)
