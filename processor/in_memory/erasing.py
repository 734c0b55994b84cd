"""What an erasure reads and changes of a log in memory."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from processor.in_memory.log import TOPICS, topic_record
from processor.kafka.stopped.erasure import HeldInTopic, held_in
from processor.runtime.erased import ErasureMark, mark_of, request_of
from processor.view.position import STATE

if TYPE_CHECKING:
    from processor.in_memory.deployment import MemoryDeployment


class MemoryTopics:
    """What an erasure reads and changes of the topics of a `deployment`: a `Log`."""

    topics: Final = TOPICS

    def __init__(self, deployment: "MemoryDeployment") -> None:
        self._deployment = deployment
        self._broker = deployment.broker

    def held(self, topic: str, person: str, others: set[bytes]) -> list[HeldInTopic]:
        """See `ErasureLog`."""
        logs = self._broker.topics[topic]
        return held_in((topic_record(topic, record) for log in logs for record in log), person, others)

    def done(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """See `ErasureLog`."""
        return {number: self._broker.committed[number] for number in partitions}

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """See `ErasureLog`."""
        return {topic: {"retention.ms": "604800000", "segment.ms": "3600000"} for topic in TOPICS}

    def forget(self, states: Mapping[int, frozenset[bytes]]) -> None:
        """See `ErasureLog`."""
        for number, keys in states.items():
            for key in keys:
                if not self._deployment.processor_is_away:
                    request = request_of(key.decode(), record_id=str(uuid4()), now_ms=self._deployment.clock.now_ms())
                    self._broker.append((TOPICS.raw, request, key, number, None))
                    continue
                for each in (key, mark_of(ErasureMark(key, self._broker.committed[number]))):
                    self._broker.append((STATE, None, each, number, None))
        self._deployment.run()
