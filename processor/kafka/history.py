"""Refuses to begin where the outputs say that the work was begun already, but the group has no offsets."""

from collections.abc import Mapping
from concurrent.futures import wait
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # Its stub forgets to re-export it.

from processor.core.errors import UsageError
from processor.kafka.failures import error_of, failure

_TIMEOUT_S: Final = 10.0


def refuse_lost_offsets(conf: Mapping[str, Any], group_id: str, *, raw: str, state: str, partitions: int) -> None:
    """See to it that each partition with states has a committed offset, or its messages would be tagged again.

    One is missing when another group wrote the outputs, and when the group was away for so long that Kafka forgot its
    offsets (`offsets.retention.minutes`, 7 days by default).

    Raises:
        UsageError: a partition has states and no offset.
        BrokerUnavailable, Fatal: see `failure`.
    """
    admin = AdminClient(dict(conf))
    numbers = range(partitions)
    try:
        futures = admin.list_offsets(
            {TopicPartition(state, number): OffsetSpec.latest() for number in numbers},  # type: ignore[no-untyped-call]
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_TIMEOUT_S,
        )
        wait(futures.values())  # librdkafka crashes when a client goes while one of its answers is still on the way.
        begun = {tp.partition for tp, future in futures.items() if future.result().offset > 0}
        known = _committed(admin, group_id, [TopicPartition(raw, number) for number in numbers])
    except KafkaException as error:
        raise failure("comparing states and offsets", error) from error
    lost = sorted(begun - known)
    if lost:
        raise UsageError(
            f"{state} holds states in partitions {lost}, but group {group_id} has no offsets of {raw} there, "
            "so it would tag messages a second time",
            remedy="run with the A3CP_GROUP_ID that wrote them; to tag the log anew, use new outputs "
            "(docs/operations.md, 'Another group')",
        )


def _committed(admin: AdminClient, group_id: str, wanted: list[TopicPartition]) -> set[int]:
    request = ConsumerGroupTopicPartitions(group_id, wanted)
    try:
        # Stable ones: the markers of a transaction that is being committed reach the states first, now and then.
        futures = admin.list_consumer_group_offsets([request], require_stable=True, request_timeout=_TIMEOUT_S)
        answer = futures[group_id].result()
    except KafkaException as error:
        if error_of(error).code() == KafkaError.GROUP_ID_NOT_FOUND:
            return set()
        raise
    return {tp.partition for tp in answer.topic_partitions or () if tp.offset >= 0 or tp.error is not None}
