"""Finds other groups that write to our outputs. Kafka refuses neither group, and each message is tagged twice.

A worker is known by its client id, and the topic that it writes to by the text beside its group's offsets (`Origin`).
"""

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from random import sample
from threading import Event
from typing import Any, Final

from confluent_kafka import ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.errors import UsageError
from processor.kafka.committed.origin import ids_in
from processor.kafka.identities import ids_of
from processor.kafka.offsets import committed_places
from processor.kafka.worker.slots import groups, slot_of
from processor.runtime.identities import Identities
from processor.runtime.ports import Alarm, LogObserver

_TIMEOUT_S: Final = 1.0  # of one question; a worker that is stopped waits for three of them at most
_GROUPS_MAX: Final = 200  # asked about in one go; of more, some at random, so that each has its turn
_STATES: Final = {
    ConsumerGroupState.STABLE, ConsumerGroupState.PREPARING_REBALANCING, ConsumerGroupState.COMPLETING_REBALANCING
}  # fmt: skip
_REMEDY: Final = (
    "stop its workers, and see with a3cp audit what was tagged twice; each A3CP_TOPIC_PREFIX has one A3CP_GROUP_ID "
    "(docs/operations.md, 'Another group')"
)


def refuse_another_group(conf: Mapping[str, Any], group_id: str, tagged: str) -> None:
    """Check that no other group writes to our outputs, as far as other groups can be seen.

    Raises:
        UsageError: one does.
        BrokerUnavailable: no broker answers.
    """
    topic_id = ids_of(conf, [tagged]).get(tagged)
    other = next(_other_groups(conf, group_id, topic_id), None) if topic_id else None
    if other is not None:
        raise UsageError(_why(other, tagged), remedy=_REMEDY)


class OtherGroups:
    """Looks for such groups now and then, in a thread, and tells the observer."""

    def __init__(
        self, conf: Mapping[str, Any], group_id: str, tagged: str, observer: LogObserver, *, every_s: float
    ) -> None:
        """Prepare.

        Args:
            conf: where the brokers are and how to get in.
            group_id: our group.
            tagged: the topic that only our group should write to.
            observer: is told.
            every_s: how often to ask.
        """
        self._conf = conf
        self._group_id = group_id
        self._tagged = tagged
        self._observer = observer
        self._every_s = every_s
        self._threads = ThreadPoolExecutor(1, "other-groups")
        self._stopping = Event()
        self._asked: Future[str | None] | None = None
        self._ask_at_s = 0.0
        self._other: str | None = None
        self._told: set[int] = set()  # the partitions for which it was

    def look(self, known: Identities, owned: Collection[int]) -> None:
        """Ask when it is time. Report another group once for each owned partition."""
        now_s = time.monotonic()
        if self._asked is None and now_s >= self._ask_at_s and "tagged" in known:
            self._ask_at_s = now_s + self._every_s
            self._asked = self._threads.submit(self._find, known["tagged"])
        if self._asked is not None and self._asked.done():
            self._other, self._asked = self._asked.result(), None
        self._told.intersection_update(owned)
        if self._other is not None:
            for partition in set(owned) - self._told:
                self._observer.alarm(partition, Alarm.ANOTHER_GROUP, _why(self._other, self._tagged), remedy=_REMEDY)
                self._told.add(partition)

    def close(self) -> None:
        """Wait for the question that is under way; ask no more."""
        self._stopping.set()
        self._threads.shutdown()

    def _find(self, topic_id: str) -> str | None:
        return next(_other_groups(self._conf, self._group_id, topic_id, self._stopping), None)


def _why(other: str, tagged: str) -> str:
    return f"group {other} tags messages into {tagged} too, so they are there twice"


def _other_groups(
    conf: Mapping[str, Any], group_id: str, topic_id: str, stopping: Event | None = None
) -> Iterator[str]:
    """Yield the groups with workers that write to the tagged topic of this id, as far as there is an answer."""
    with contextlib.suppress(KafkaException):
        for other, places in _groups_of_workers(AdminClient(dict(conf)), group_id):
            if stopping is not None and stopping.is_set():
                return
            if topic_id in _tagged_by(conf, other, places):
                yield other


def _tagged_by(conf: Mapping[str, Any], group_id: str, places: Sequence[TopicPartition]) -> set[str]:
    """Return the ids of the tagged topics that the group writes to for these places, as far as there is an answer."""
    found: set[str] = set()
    for topic in {place.topic for place in places}:
        numbers = [place.partition for place in places if place.topic == topic]
        with contextlib.suppress(KafkaException):
            committed = committed_places(conf, group_id, topic, numbers, _TIMEOUT_S)
            found.update(ids_in(place.metadata).get("tagged", "") for place in committed)
    return found


def _groups_of_workers(admin: AdminClient, group_id: str) -> Iterator[tuple[str, Sequence[TopicPartition]]]:
    """Yield each other group that has a worker, with the partitions of its members.

    Raises:
        KafkaException: no answer.
    """

    def others(names: list[str]) -> list[str]:
        found = [name for name in names if name != group_id]
        return sample(found, min(len(found), _GROUPS_MAX))

    for name, future in groups(admin, others, timeout_s=_TIMEOUT_S, states=_STATES).items():
        if future.exception() is None:
            members = future.result().members
            if any(slot_of(name, member.client_id) is not None for member in members):
                yield name, [place for member in members for place in member.assignment.topic_partitions]
