"""The offsets that a group has committed."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

_TIMEOUT_S: Final = 10.0


def committed_offsets(conf: Mapping[str, Any], group_id: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return the group's committed offset (next to read) of each of `partitions` that has one.

    Stable ones: those of a transaction that is being committed count once that is done.

    Asked for by a consumer that never joins: librdkafka's AdminClient crashes (2.16, a null group in its handler of
    OffsetFetch) when the coordinator is still loading, as on a broker that has just started.

    Raises:
        KafkaException: no answer.
    """
    own = {"group.id": group_id, "isolation.level": "read_committed", "enable.auto.commit": False}
    consumer = Consumer({**conf, **own})
    try:
        answers = consumer.committed([TopicPartition(topic, number) for number in partitions], timeout=_TIMEOUT_S)
    finally:
        consumer.close()
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}
