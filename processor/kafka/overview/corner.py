"""What the operators' corner asks a Kafka."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer

from processor.kafka.conf import reader_conf
from processor.kafka.deadletters.latest import LatestLetters
from processor.kafka.deadletters.letter import DeadLetter
from processor.kafka.failures import reaching
from processor.kafka.overview.overview import Overview, overview
from processor.kafka.reading.records import TopicPlace, read_spans
from processor.settings.model import TopicNames

_SILENCE_S: Final = 3.0


class CornerOnKafka:
    """Answers from a Kafka; used by one thread at a time. Its methods raise an A3CPError if there is no answer."""

    def __init__(self, conf: Mapping[str, Any], topics: TopicNames, group_id: str, partitions: int) -> None:
        self._conf = conf
        self._topics = topics
        self._group_id = group_id
        self._partitions = partitions
        self._letters = LatestLetters()

    def overview(self) -> Overview:
        """Return how the processor stands."""
        return overview(self._conf, self._topics, self._group_id)

    def letters(self) -> Sequence[DeadLetter]:
        """Return the latest dead letters."""
        return self._letters.read(self._conf, self._topics.dlq, self._partitions)

    def appended_ms(self, spans: Mapping[TopicPlace, tuple[int, int]]) -> Mapping[TopicPlace, int]:
        """Return when the first record of each span was appended, ms. Spans without a record are left out."""
        firsts: dict[TopicPlace, int] = {}
        if not spans:
            return firsts
        with reaching("looking for what waits", self._conf):
            consumer = Consumer(reader_conf(self._conf, if_gone="earliest"))
            try:
                for record in read_spans(consumer, spans, silence_s=_SILENCE_S):
                    firsts.setdefault((record.topic, record.partition), record.timestamp_ms)
                    if len(firsts) == len(spans):
                        break
            finally:
                consumer.close()
        return firsts
