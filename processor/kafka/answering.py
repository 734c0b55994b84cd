"""Asks now and then whether a broker answers: without a record to read, nothing else tells for sure.

librdkafka's own word that all brokers are down can stay away: one that went soon after it had come back was missed.
"""

import time
from typing import Final

from confluent_kafka import Consumer, KafkaException

_EVERY_S: Final = 2.0


class Answering:
    """Knows when it is time to ask again."""

    def __init__(self, topic: str, timeout_s: float) -> None:
        """`topic`: asked about; `timeout_s`: how long an answer is waited for."""
        self._topic = topic
        self._timeout_s = timeout_s
        self._ask_at_s = 0.0

    @property
    def is_due(self) -> bool:
        """Whether nothing was heard for a while."""
        return time.monotonic() >= self._ask_at_s

    def heard(self) -> None:
        """Take note that a broker has just answered."""
        self._ask_at_s = time.monotonic() + _EVERY_S

    def ask(self, consumer: Consumer) -> KafkaException | None:
        """Return why no broker answers; None when one does."""
        self.heard()
        try:
            consumer.list_topics(self._topic, timeout=self._timeout_s)
        except KafkaException as error:
            return error
        return None
