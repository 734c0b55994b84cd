"""A person in the topics: what is there of them, until when, and how their state is removed.

The state topic belongs to the processor: its memory and the topic must agree. A tombstone from anyone else would break
that. So a processor that runs is asked in the raw topic to write it. If none runs, the tombstone is written as the
processor writes: by the partition's owner, a member of its group, in a transaction that the group's next generation
would fence.
"""

import contextlib
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.codec.isotime import wall_ms
from processor.core.ids import is_of
from processor.errors import BrokerUnavailable, UsageError
from processor.kafka.conf import LogConf
from processor.kafka.failures import failure
from processor.kafka.offsets import await_stable, committed_offsets
from processor.kafka.reading.reader import Reader
from processor.kafka.stopped.standing_in import committed_by, standing_in
from processor.kafka.worker.slots import members_of
from processor.runtime.erased import ErasureMark, mark_of, read_mark, request_of
from processor.runtime.ports import TopicRecord

_TIMEOUT_S: Final = 10.0
_OBEYED_S: Final = 60.0
_ABORT_S: Final = 1.0
_POLL_S: Final = 0.1


class HeldInTopic(NamedTuple):
    """What one partition holds of a person, under their user id and those of their lanes."""

    topic: str
    partition: int
    records: int
    first_offset: int
    last_offset: int
    last_ms: int  # when the last one was appended
    keys: frozenset[bytes]  # those whose last record has a value: compaction keeps them


def held_of(conf: Mapping[str, Any], topic: str, person: str, others: set[bytes] | None = None) -> list[HeldInTopic]:
    """Return what the partitions of `topic` hold of `person`.

    The whole topic is read, with all that somebody had begun to write before. `others` takes the keys of other records.

    Raises:
        UsageError: the topic does not exist.
        BrokerUnavailable: no broker answers, or a transaction stays open.
    """
    with Reader(conf, topic) as reader:
        await_stable(conf, topic, reader.partitions)
        return held_in(reader.read_all(), person, others)


def held_in(records: Iterable[TopicRecord], person: str, others: set[bytes] | None) -> list[HeldInTopic]:
    """Return what `records`, all those of one topic, hold of `person`, by partition; `others` as for `held_of`."""
    held: dict[int, HeldInTopic] = {}
    for record in records:
        key, number, offset = record.key, record.partition, record.offset
        if key is None or not is_of(key.decode(errors="surrogateescape"), person):
            if others is not None and key is not None and read_mark(key) is None:
                others.add(key)
            continue
        before = held.get(number) or HeldInTopic(record.topic, number, 0, offset, offset, 0, frozenset())
        keys = before.keys - {key} if record.value is None else before.keys | {key}
        held[number] = HeldInTopic(
            record.topic, number, before.records + 1, before.first_offset, offset, record.timestamp_ms, keys
        )
    return [held[number] for number in sorted(held)]


def gone_by_ms(held: HeldInTopic, configs: Mapping[str, str]) -> int | None:
    """Return when retention will have deleted the records, ms since the epoch. Returns None if it never does.

    A segment goes as a whole, once its last record is old enough.
    """
    retention_ms, segment_ms = int(configs["retention.ms"]), int(configs["segment.ms"])
    return None if retention_ms < 0 else held.last_ms + retention_ms + segment_ms


def group_offsets(conf: LogConf, partitions: Iterable[int]) -> dict[int, int]:
    """Return the group's next offset in each of these partitions of the raw topic, where it has one.

    Raises:
        BrokerUnavailable, Fatal: see `failure`.
    """
    try:
        return committed_offsets(conf.consumer, conf.group_id, conf.raw, partitions)
    except KafkaException as error:
        raise failure(f"asking for the offsets of group {conf.group_id}", error) from error


def is_at_work(conf: LogConf) -> bool:
    """Return whether the processor's group has a member.

    Raises:
        BrokerUnavailable, Fatal: see `failure`.
    """
    return bool(members_of(AdminClient(dict(conf.common)), conf.group_id))


def forget(conf: LogConf, states: Mapping[int, Collection[bytes]]) -> None:
    """Remove the keys in `states`, by partition, from the state topic: the processor does it, or is stood in for.

    Raises:
        UsageError: the processor does not get to it, one starts meanwhile, or another group wrote the states.
        BrokerUnavailable, OutcomeUnknown, Fatal: see `failure`. It may be done again.
    """
    if is_at_work(conf):
        _ask_processor(conf, states)
    else:
        _forget_as_owner(conf, states)


def _ask_processor(conf: LogConf, states: Mapping[int, Collection[bytes]]) -> None:
    wanted: dict[int, int] = {}  # by partition, the offset that the group must have committed
    failed: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, record: Message) -> None:
        number, offset = record.partition(), record.offset()
        if error is not None or number is None or offset is None:
            failed.append(error or KafkaError(KafkaError._FAIL))
        else:
            wanted[number] = max(wanted.get(number, 0), offset + 1)

    producer = Producer({**conf.common, "client.id": f"{conf.group_id}-erase"})
    for number, keys in states.items():
        for key in keys:
            value = request_of(key.decode(), record_id=str(uuid4()), now_ms=wall_ms())
            producer.produce(conf.raw, value, key, number, on_delivery=on_delivery)
    if producer.flush(_TIMEOUT_S) or failed:
        raise BrokerUnavailable(f"{conf.raw} has not taken the request to erase", remedy="try again once Kafka answers")
    deadline_s = time.monotonic() + _OBEYED_S
    while any(group_offsets(conf, wanted).get(number, 0) < offset for number, offset in wanted.items()):
        if time.monotonic() > deadline_s:
            raise UsageError(
                f"the processor of the group {conf.group_id} has not carried out the erasure within {_OBEYED_S:.0f} s",
                remedy="see that it runs and catches up; then erase again",
            )
        time.sleep(_POLL_S)


def _forget_as_owner(conf: LogConf, states: Mapping[int, Collection[bytes]]) -> None:
    with standing_in(conf, states.keys(), doing="erasing a state", again="erase again") as consumer:
        places = {tp.partition: tp for tp in committed_by(consumer, conf.raw, states)}
        if missing := sorted(states.keys() - places.keys()):
            raise UsageError(
                f"{conf.state} holds a state in partitions {missing}, but group {conf.group_id} has no offsets there",
                remedy="erase with the A3CP_GROUP_ID that wrote it",
            )
        _write_tombstones(conf, consumer, states, places)


def _write_tombstones(
    conf: LogConf,
    consumer: Consumer,
    states: Mapping[int, Collection[bytes]],
    places: Mapping[int, TopicPartition],
) -> None:
    producer = Producer({**conf.producer, "transactional.id": f"{conf.group_id}-erase"})
    producer.init_transactions(_TIMEOUT_S)
    try:
        producer.begin_transaction()
        for partition, keys in states.items():
            for key in keys:
                for each in (key, mark_of(ErasureMark(key, places[partition].offset))):
                    producer.produce(conf.state, None, each, partition)
        # The offsets stay what they are; with them the group's generation counts, so that a new owner fences us.
        producer.send_offsets_to_transaction(list(places.values()), consumer.consumer_group_metadata(), _TIMEOUT_S)
        producer.commit_transaction(_TIMEOUT_S)
    except KafkaException:
        with contextlib.suppress(KafkaException):
            producer.abort_transaction(_ABORT_S)  # Left open, it would hold up the next restore.
        raise
