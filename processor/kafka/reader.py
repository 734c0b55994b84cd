"""Reads partitions as any consumer of the system would, read_committed and without a group: nothing is committed."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # Its stub forgets it.

from processor.errors import BrokerUnavailable, UsageError
from processor.kafka.conf import reader_conf
from processor.kafka.offsets import EARLIEST, LATEST, log_offsets, patiently
from processor.kafka.producer import unreachable
from processor.kafka.unreadable import is_unreadable, reading_error
from processor.runtime.headers import headers_of
from processor.runtime.ports import RawRecord

_TIMEOUT_S: Final = 10.0
_BATCH_RECORDS: Final = 1_000
_SILENCE_S: Final = 30.0


class ReadRecord(NamedTuple):
    """A record as it was read."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Reader:
    """Reads one topic; used by one thread."""

    def __init__(self, conf: Mapping[str, Any], topic: str) -> None:
        """Connect.

        Raises:
            UsageError: the topic does not exist, or a property is none.
            BrokerUnavailable: no broker answers.
        """
        self._conf = conf
        self._topic = topic
        try:
            self._consumer = Consumer(reader_conf(conf, if_gone="error"))
            self._admin = AdminClient(dict(conf))
            known = self._admin.list_topics(timeout=_TIMEOUT_S).topics
        except KafkaException as error:
            raise unreachable("connecting", error, conf) from error
        if topic not in known:
            self._consumer.close()
            raise UsageError(f"no topic {topic}", remedy="make the topics with a3cp topics apply")
        self.partitions = len(known[topic].partitions)

    def read_all(self, partitions: Collection[int] | None = None) -> Iterator[ReadRecord]:
        """Yield every committed record of `partitions`, by default all, up to where they end now.

        The records of a partition come in their order.

        Raises:
            BrokerUnavailable: the broker stopped answering.
        """
        starts, ends = self._offsets(EARLIEST), self._offsets(LATEST)
        left = {
            partition
            for partition, end in ends.items()
            if starts[partition] < end and (partitions is None or partition in partitions)
        }
        self._assign({partition: starts[partition] for partition in left})
        silent_since_s = time.monotonic()
        while left:
            for message in self._consumer.consume(_BATCH_RECORDS, 0.1):
                silent_since_s = time.monotonic()
                record = self._record(message)
                if record is None:  # The partition's end: transaction markers take offsets, so no record may be last.
                    left.discard(message.partition())
                elif record.partition in left:
                    if record.offset < ends[record.partition]:
                        yield record
                    if record.offset + 1 >= ends[record.partition]:
                        left.discard(record.partition)
            if time.monotonic() - silent_since_s > _SILENCE_S:
                raise BrokerUnavailable(f"{self._topic}: nothing came for {_SILENCE_S:.0f} s", remedy="try again")

    def start_at_end(self, partition: int) -> None:
        """Make `next` return what is appended to `partition` from now on."""
        self._assign({partition: self._offsets(LATEST)[partition]})

    def next(self, timeout_s: float) -> ReadRecord | None:
        """Return the next record; None when none came within `timeout_s`."""
        message = self._consumer.poll(timeout_s)
        return None if message is None else self._record(message)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _assign(self, offsets: Mapping[int, int]) -> None:
        self._consumer.assign([TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()])

    def _offsets(self, spec: OffsetSpec) -> dict[int, int]:
        places = [(self._topic, partition) for partition in range(self.partitions)]
        found = patiently(
            lambda: log_offsets(self._admin, places, spec, IsolationLevel.READ_COMMITTED),
            f"reading {self._topic}",
            self._conf,
        )
        return {partition: offset for (_, partition), offset in found.items()}

    def _record(self, message: Message) -> ReadRecord | None:
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return None
            if is_unreadable(message):
                raise reading_error(message)
            raise unreachable(f"reading {self._topic}", KafkaException(error), self._conf)
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        headers = headers_of(cast("RawRecord", message))
        return ReadRecord(partition, offset, message.timestamp()[1], message.key(), message.value(), headers)
