"""Standing in for a processor that does not run: as the one member of its group, which owns partitions of raw.

While we are in the group, no worker is given a partition: its join waits until we leave. What is written in a
transaction with the group's offsets is fenced if the group has moved on all the same.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from processor.errors import Aborted, OwnershipLost, UsageError
from processor.kafka.conf import LogConf
from processor.kafka.failures import failure

_ASSIGNED_S: Final = 60.0
_POLL_S: Final = 0.1
_TIMEOUT_S: Final = 10.0


@contextmanager
def standing_in(conf: LogConf, partitions: Collection[int], *, doing: str, again: str) -> Iterator[Consumer]:
    """Yield a member of the processor's group that owns `partitions`, and leave the group at the end.

    `doing` and `again` are the words for it, and for doing it again.

    Raises:
        UsageError: a processor has started meanwhile; the transaction is undone.
        BrokerUnavailable, OutcomeUnknown, Fatal: see `failure`.
    """
    owned: set[int] = set()

    def on_assign(consumer: Consumer, assigned: list[TopicPartition]) -> None:
        consumer.incremental_assign([])  # They are ours, and nothing of them is read.
        owned.update(tp.partition for tp in assigned)

    def on_revoke(_: Consumer, revoked: list[TopicPartition]) -> None:
        owned.difference_update(tp.partition for tp in revoked)

    consumer = Consumer({**conf.consumer, "group.id": conf.group_id, "client.id": f"{conf.group_id}-stand-in"})
    try:
        consumer.subscribe([conf.raw], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_revoke)
        deadline_s = monotonic() + _ASSIGNED_S
        while not owned.issuperset(partitions):
            consumer.poll(_POLL_S)
            if monotonic() > deadline_s:
                raise _started_meanwhile(conf.group_id, again)
        yield consumer
    except (Aborted, OwnershipLost) as error:  # A processor has joined meanwhile; the transaction is undone.
        raise _started_meanwhile(conf.group_id, again) from error
    except KafkaException as error:
        outcome = failure(doing, error, in_transaction=True)
        if isinstance(outcome, OwnershipLost):
            raise _started_meanwhile(conf.group_id, again) from error
        raise outcome from error
    finally:
        consumer.close()


def committed_by(consumer: Consumer, raw: str, partitions: Iterable[int]) -> list[TopicPartition]:
    """Return what the group has committed of `partitions` of the topic `raw`: each offset with its text.

    Raises:
        KafkaException: no answer.
    """
    asked = [TopicPartition(raw, partition) for partition in sorted(partitions)]
    return [place for place in consumer.committed(asked, timeout=_TIMEOUT_S) if place.offset >= 0]


def _started_meanwhile(group_id: str, again: str) -> UsageError:
    return UsageError(f"a processor of the group {group_id} has started meanwhile", remedy=again)
