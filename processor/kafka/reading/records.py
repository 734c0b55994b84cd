"""Reads partitions as any consumer would: committed records only, without a group, nothing is written."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from processor.codec.headers import headers_of
from processor.errors import BrokerUnavailable
from processor.kafka.unreadable import is_unreadable, reading_error
from processor.runtime.ports import RawRecord, TopicRecord
from processor.upstream.words.counting import counted

TopicPlace: TypeAlias = tuple[str, int]
"""A topic and a partition of it."""

SILENCE_S: Final = 30.0  # longer than the transaction of a worker that died stays open
FETCHED_BYTES_MAX: Final = 32 << 20  # a fetch stops at the first chunk beyond
_CHUNK_RECORDS: Final = 200  # so that large records do not add up to much more
_FETCHED_RECORDS: Final = 1_000
_POLL_S: Final = 0.2


# Making a tuple directly takes a third of the time of calling `TopicRecord`, which does just this.
_new_record: Final = cast("Callable[[type[TopicRecord], tuple[object, ...]], TopicRecord]", tuple.__new__)


def fetch(consumer: Consumer, records_max: int, timeout_s: float) -> list[Message]:
    """Return what comes within `timeout_s`, up to a little more than `FETCHED_BYTES_MAX`.

    `Consumer.consume` with a time-out would wait for its end whenever there are fewer records.
    """
    first = consumer.poll(timeout_s)
    if first is None:
        return []
    messages = [first]
    size = len(first)
    while len(messages) < records_max and size < FETCHED_BYTES_MAX:
        chunk = consumer.consume(min(_CHUNK_RECORDS, records_max - len(messages)), 0)
        if not chunk:
            break
        messages += chunk
        size += sum(map(len, chunk))
    return messages


def place_of(message: Message) -> tuple[str, int, int]:
    """Return topic, partition and offset of a record, or of an error that belongs to a partition."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return topic, partition, offset


def place_in(position: str) -> tuple[int, int]:
    """Return partition and offset of a position such as a3cp.dlq[1]@5."""
    partition, _, offset = position.rpartition("[")[2].partition("]@")
    return int(partition), int(offset)


def as_record(message: Message) -> TopicRecord:
    """Return the record that `message` is."""
    headers = headers_of(cast("RawRecord", message)) or ()  # A list for each record that is kept would take 56 bytes.
    return _new_record(
        TopicRecord,
        (
            message.topic(),
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            message.key(),
            message.value(),
            headers,
        ),
    )


def read_spans(
    consumer: Consumer,
    spans: Mapping[TopicPlace, tuple[int, int]],
    *,
    silence_s: float = SILENCE_S,
    on_read: Callable[[int], None] = lambda _: None,
    on_unreadable: Callable[[Message], None] | None = None,
) -> Iterator[TopicRecord]:
    """Yield the committed records of partitions, those of each in their order.

    A partition is done when the reader's position reaches its end: transaction markers take offsets too, so there may
    be no record just before the end.

    Args:
        consumer: has the properties of `reader_conf`; it is assigned anew.
        spans: by partition, the first offset and the first one that is not read.
        silence_s: how long to wait for the next record; meanwhile an open transaction may end.
        on_read: gets how many offsets were passed.
        on_unreadable: gets the client's error for a batch that cannot be read. That partition is done then.

    Raises:
        KafkaException, Fatal: a partition cannot be read. For a batch only without `on_unreadable`.
        BrokerUnavailable: nothing came for `silence_s`.
    """
    left = {place: span for place, span in spans.items() if span[0] < span[1]}
    consumer.assign([TopicPartition(*place, start) for place, (start, _) in left.items()])
    waited_s = 0.0
    while left:
        asked_s = time.monotonic()
        messages = fetch(consumer, _FETCHED_RECORDS, _POLL_S)
        waited_s += time.monotonic() - asked_s
        passed = 0
        for message in messages:
            error = message.error()
            is_bad = error is not None and error.code() != KafkaError._PARTITION_EOF
            if is_bad and (on_unreadable is None or not is_unreadable(message)):
                raise reading_error(message)
            topic, partition, offset = place_of(message)
            place = topic, partition
            if place not in left:
                continue
            if is_bad and on_unreadable is not None:
                on_unreadable(message)
                del left[place]
                continue
            position, end = left[place]
            if error is None and offset < end:
                yield as_record(message)
            reached = min(end, offset if error is not None else offset + 1)
            passed += max(0, reached - position)
            if reached >= end:
                del left[place]
            elif reached > position:
                left[place] = reached, end
        if passed:
            on_read(passed)
            waited_s = 0.0
        if waited_s > silence_s:
            (topic, partition), (position, end) = min(left.items())
            raise BrokerUnavailable(
                f"{topic}[{partition}]@{position}: nothing came for {silence_s:.0f} s, "
                f"{counted(end - position, 'offset')} before "
                "the end",
                remedy="try again; if it stays so, a transaction hangs (kafka-transactions.sh find-hanging)",
            )
