"""Looks now and then whether the topics are still those that the work began with; it never waits for the answer."""

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, wait
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from processor.kafka.failures import error_of
from processor.kafka.identities import id_of
from processor.runtime.identities import Identities, differing
from processor.runtime.ports import Cause, LogObserver

_TIMEOUT_S: Final = 2.0


class Survey:
    """Tells the observer of topics that were deleted or made anew, and of partitions that were added."""

    def __init__(
        self,
        common: Mapping[str, Any],
        topics: Mapping[str, str],
        partitions: int,
        observer: LogObserver,
        *,
        every_s: float,
    ) -> None:
        """Prepare.

        Args:
            common: where the brokers are.
            topics: their names by role, "raw" among them.
            partitions: how many each topic had at the beginning.
            observer: is told.
            every_s: how often to ask.
        """
        self._admin = AdminClient(dict(common))  # Its own, since it must live until an answer has come.
        self._topics = topics
        self._partitions = partitions
        self._observer = observer
        self._every_s = every_s
        self._asked: dict[str, Future[Any]] = {}  # by topic
        self._ask_at_s = 0.0

    def look(self, known: Identities, owned: Collection[int]) -> bool:
        """Ask if it is time, and take the answers. Return whether a topic has another id than was `known`."""
        now_s = time.monotonic()
        if not self._asked and now_s >= self._ask_at_s:
            self._ask_at_s = now_s + self._every_s
            names = TopicCollection(list(self._topics.values()))
            self._asked = self._admin.describe_topics(names, request_timeout=_TIMEOUT_S)
        if not self._asked or not all(future.done() for future in self._asked.values()):
            return False
        asked, self._asked = self._asked, {}
        return self._compare(asked, known, owned)

    def close(self) -> None:
        """Wait for the answers: librdkafka crashes if a client goes while an answer is on the way."""
        wait(self._asked.values())

    def _compare(self, asked: Mapping[str, Future[Any]], known: Identities, owned: Collection[int]) -> bool:
        now: dict[str, str] = {}
        gone: list[str] = []
        for role, name in self._topics.items():
            try:
                topic = asked[name].result()
            except KafkaException as error:
                if error_of(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return False  # No answer, which says nothing.
                gone.append(name)
            else:
                now[role] = id_of(topic)
                if role == "raw":
                    self._tell_of_partitions(len(topic.partitions))
        others = [self._topics[role] for role in differing(known, now) if now[role]]
        self._tell_of_topics(gone, others, owned)
        return bool(others)

    def _tell_of_topics(self, gone: Collection[str], others: Collection[str], owned: Collection[int]) -> None:
        why = None
        if others:
            why = f"{' and '.join(others)} was deleted and made anew, and offsets and states are those of the old one"
        elif gone:
            why = f"{' and '.join(gone)} does not exist any more"
        for partition in owned:
            self._observer.waiting(
                partition, Cause.TOPIC, why,
                remedy="stop the workers and look who did it; docs/operations.md, 'Topics made anew'",
            )  # fmt: skip

    def _tell_of_partitions(self, count: int) -> None:
        raw, multiple = self._topics["raw"], -(-count // self._partitions) * self._partitions
        for partition in range(self._partitions, count):
            self._observer.waiting(
                partition, Cause.PARTITIONS,
                f"{raw} has {count} partitions now, and users' states are in {self._partitions}: nothing is read here",
                remedy=f"stop all workers and run a3cp topics grow --partitions {multiple} "
                "(docs/operations.md, 'More partitions')",
            )  # fmt: skip
