"""What a log in memory tells the operators."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from processor.in_memory.log import TOPICS, topic_record
from processor.kafka.deadletters.latest import LatestLetters
from processor.kafka.deadletters.letter import DeadLetter
from processor.kafka.overview.overview import Member, Overview, PartitionProgress

if TYPE_CHECKING:
    from processor.in_memory.deployment import MemoryDeployment


class MemoryCorner:
    """What a `deployment` tells of its log: a `Broker` of the operators' corner."""

    def __init__(self, deployment: "MemoryDeployment") -> None:
        self._deployment = deployment
        self._broker = deployment.broker

    def overview(self) -> Overview:
        """See `Broker`."""
        self._deployment.ends()
        is_away = self._deployment.processor_is_away
        numbers = tuple(range(self._broker.partitions))
        progress = tuple(
            PartitionProgress(number, done, end, end - done, slot, is_away)
            for number in numbers
            for done, end in [(self._broker.committed[number], len(self._broker.topics[TOPICS.raw][number]))]
            for slot in [None if is_away else 0]
        )
        workers = () if is_away else (Member(self._deployment.settings.group_id, 0, "memory", numbers),)
        return Overview((), workers, progress, ())

    def letters(self) -> Sequence[DeadLetter]:
        """See `Broker`."""
        letters = LatestLetters()
        for record in chain.from_iterable(self._broker.topics[TOPICS.dlq]):
            letters.take(topic_record(TOPICS.dlq, record))
        return letters.letters()

    def appended_ms(self, spans: Mapping[tuple[str, int], tuple[int, int]]) -> Mapping[tuple[str, int], int]:
        """See `Broker`."""
        topics = self._broker.topics
        return {place: topics[place[0]][place[1]][first].append_ms for place, (first, _) in spans.items()}
