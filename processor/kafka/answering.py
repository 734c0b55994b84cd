"""Asks whether a broker answers. While no record comes, nothing else tells for sure.

librdkafka does not always say that all brokers are down: it missed a broker that went soon after it had come back.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from processor.errors import A3CPError, BrokerUnavailable
from processor.kafka.failures import reaching, unreachable

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
        """Return why no broker answers. Returns None if one does."""
        self.heard()
        try:
            consumer.list_topics(self._topic, timeout=self._timeout_s)
        except KafkaException as error:
            return error
        return None


def await_broker(
    conf: Mapping[str, Any],
    *,
    stopped: Callable[[], bool],
    on_trouble: Callable[[A3CPError], None],
    give_up_s: float | None,
) -> bool:
    """Wait until a broker answers, and return True; return False if `stopped` says so before.

    Raises:
        BrokerUnavailable: none has answered for `give_up_s`.
        UsageError: the Kafka client refuses a property.
    """
    began_s = time.monotonic()
    is_told = False
    with reaching("connecting", conf):
        admin = AdminClient(dict(conf))
    while not stopped():
        try:
            admin.list_topics(timeout=_EVERY_S)
        except KafkaException as error:
            outcome = unreachable("connecting", error, conf)
            if not isinstance(outcome, BrokerUnavailable) or (
                give_up_s is not None and time.monotonic() - began_s > give_up_s
            ):
                raise outcome from error
            if not is_told:
                on_trouble(outcome)
                is_told = True
        else:
            return True
    return False
