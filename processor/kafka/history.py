"""Refuses to begin where the outputs say that the work was begun already, but the group has no offsets."""

import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.core.errors import BrokerUnavailable, UsageError
from processor.kafka.failures import failure
from processor.kafka.offsets import LATEST, committed_offsets, log_offsets, patiently

_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.5


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
        places = [(state, number) for number in numbers]
        ends = patiently(
            lambda: log_offsets(admin, places, LATEST, IsolationLevel.READ_COMMITTED), f"reading {state}", conf
        )
        begun = {number for (_, number), end in ends.items() if end > 0}
        lost = begun - committed_offsets(conf, group_id, raw, numbers).keys()
        if lost:
            holding = _holding_records(conf, state, lost)
            # Asked anew: another worker may have begun in between, and its states and offsets come together.
            lost = holding - committed_offsets(conf, group_id, raw, holding).keys()
    except KafkaException as error:
        raise failure("comparing states and offsets", error) from error
    if lost:
        raise UsageError(
            f"{state} holds states in partitions {sorted(lost)}, but group {group_id} has no offsets of {raw} there, "
            "so it would tag messages a second time",
            remedy="run with the A3CP_GROUP_ID that wrote them; to tag the log anew, use new outputs "
            "(docs/operations.md, 'Another group')",
        )


def _holding_records(conf: Mapping[str, Any], topic: str, partitions: set[int]) -> set[int]:
    """Return those of `partitions` that hold a committed record: what was aborted takes offsets too."""
    own = {"group.id": "unused", "isolation.level": "read_committed", "enable.partition.eof": True}
    reader = Consumer({**conf, **own, "enable.auto.commit": False})
    holding, left = set(), set(partitions)
    deadline_s = time.monotonic() + _TIMEOUT_S
    try:
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        while left:
            if time.monotonic() > deadline_s:
                raise BrokerUnavailable(f"{topic} was not read within {_TIMEOUT_S:.0f} s", remedy="look at the broker")
            record = reader.poll(_POLL_S)
            if record is None:
                continue
            error, number = record.error(), record.partition()
            assert number is not None
            if error is None:
                holding.add(number)
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            left.discard(number)
    finally:
        reader.close()
    return holding
