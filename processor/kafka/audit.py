"""The five topics on Kafka as an audit reads them: read_committed, without a group, nothing is written."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # Its stub forgets it.

from processor.audit.topics import Span, TopicRecord
from processor.errors import BrokerUnavailable, UsageError
from processor.kafka.conf import reader_conf
from processor.kafka.deadletters import is_marker
from processor.kafka.identities import identities
from processor.kafka.marks import late_in, lost_in
from processor.kafka.offsets import EARLIEST, LATEST, committed_places, log_offsets, patiently
from processor.kafka.origin import require_same
from processor.kafka.producer import unreachable
from processor.kafka.unreadable import reading_error
from processor.runtime.headers import headers_of
from processor.runtime.ports import RawRecord

_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 60.0  # an open transaction is waited for; a dead worker's ends after 10 s
_BATCH_RECORDS: Final = 1_000
_ASKING: Final = "asking how far the topics go"


class KafkaTopics:
    """The `Topics` port on Kafka; used by one thread."""

    def __init__(
        self,
        conf: Mapping[str, Any],
        topics: Sequence[str],
        *,
        raw: str | None = None,
        group_id: str = "",
        origin: Mapping[str, str] = MappingProxyType({}),
        on_read: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Look how far the topics go.

        Args:
            conf: librdkafka's properties.
            topics: those to be read; one that explains another comes after it, the dead letters and raw last.
            raw, group_id: the raw topic and the processor's group, when it matters what is processed.
            origin: the topics, by role, that the group must have worked on.
            on_read: told how many offsets were passed.

        Raises:
            UsageError: a topic does not exist, they have different numbers of partitions, the group worked on others of
                these names, or a property is none.
            BrokerUnavailable: no broker answers.
        """
        self._conf = conf
        self._on_read = on_read
        try:
            admin = AdminClient(dict(conf))
            known = admin.list_topics(timeout=_TIMEOUT_S).topics
            if missing := [topic for topic in topics if topic not in known]:
                raise UsageError(
                    f"no topic {missing[0]}", remedy="name the --prefix, or make it with a3cp topics apply"
                )
            counts = {len(known[topic].partitions) for topic in topics}
            if len(counts) > 1:
                raise UsageError(
                    f"{', '.join(topics)} have different numbers of partitions",
                    remedy="see what differs with a3cp topics plan",
                )
            self.partitions = counts.pop()
            certain = self._offsets(admin, topics, LATEST, IsolationLevel.READ_COMMITTED)
            self._committed = (
                []
                if raw is None
                else patiently(lambda: committed_places(conf, group_id, raw, range(self.partitions)), _ASKING, conf)
            )
            require_same(group_id, origin, self._committed, identities(admin, origin))
            # The rest of what was committed by now was appended by now: one after the other, explanations last.
            ends: dict[tuple[str, int], int] = {}
            for topic in topics:
                ends.update(self._offsets(admin, [topic], LATEST, IsolationLevel.READ_UNCOMMITTED))
            starts = self._offsets(admin, topics, EARLIEST, IsolationLevel.READ_COMMITTED)
        except KafkaException as error:
            raise unreachable(_ASKING, error, conf) from error
        self._spans = {
            place: Span(starts[place], max(starts[place], certain[place]), max(starts[place], end))
            for place, end in ends.items()
        }

    @property
    def offsets(self) -> int:
        """How many offsets there are to read."""
        return sum(span.end - span.start for span in self._spans.values())

    def span(self, topic: str, partition: int) -> Span:
        """See `Topics.span`."""
        return self._spans[topic, partition]

    def committed(self) -> Mapping[int, int]:
        """See `Topics.committed`."""
        return {place.partition: place.offset for place in self._committed}

    def lost(self) -> Mapping[int, tuple[int, int]]:
        """See `Topics.lost`: it stands beside the committed offsets."""
        told = ((place.partition, lost_in(place.metadata)) for place in self._committed)
        return {partition: lost for partition, lost in told if lost is not None}

    def late(self) -> Mapping[int, int]:
        """See `Topics.late`: it stands there too."""
        told = ((place.partition, late_in(place.metadata)) for place in self._committed)
        return {partition: start for partition, start in told if start is not None}

    def read(self, topic: str, partition: int) -> Iterator[TopicRecord]:
        """See `Topics.read`.

        Raises:
            BrokerUnavailable: the broker stopped answering, or a transaction stays open.
        """
        span = self._spans[topic, partition]
        if span.start >= span.end:
            return
        try:
            consumer = Consumer(reader_conf(self._conf, if_gone="earliest"))
            consumer.assign([TopicPartition(topic, partition, span.start)])
            with contextlib.closing(consumer):
                yield from self._records(consumer, topic, span.start, span.end)
        except KafkaException as error:
            raise unreachable(f"reading {topic}", error, self._conf) from error

    def _records(self, consumer: Consumer, topic: str, position: int, end: int) -> Iterator[TopicRecord]:
        silent_s = 0.0
        while position < end:
            asked_s = time.monotonic()
            first = consumer.poll(0.2)
            # `consume` with a time-out would wait for it to run out whenever the batch is not full.
            messages = [] if first is None else [first, *consumer.consume(_BATCH_RECORDS - 1, 0)]
            before = position
            for message in messages:
                offset = message.offset()
                assert offset is not None
                if message.error() is None:
                    position = offset + 1
                    if offset >= end:
                        break
                    headers = tuple(headers_of(cast("RawRecord", message)))
                    if not is_marker(name for name, _ in headers):
                        yield TopicRecord(offset, message.timestamp()[1], message.key(), message.value(), headers)
                elif message.error().code() == KafkaError._PARTITION_EOF:  # type: ignore[union-attr]
                    position = max(position, offset)  # Transaction markers take offsets, so no record may be last.
                else:
                    raise reading_error(message)
            self._on_read(min(position, end) - before)
            silent_s = 0.0 if position > before else silent_s + time.monotonic() - asked_s
            if silent_s > _SILENCE_S:
                raise BrokerUnavailable(
                    f"{topic}: nothing came for {_SILENCE_S:.0f} s, {end - position} offsets before the end",
                    remedy="try again; if it stays so, a transaction hangs (kafka-transactions.sh find-hanging)",
                )

    def _offsets(
        self, admin: AdminClient, topics: Sequence[str], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[tuple[str, int], int]:
        places = [(topic, partition) for topic in topics for partition in range(self.partitions)]
        return patiently(lambda: log_offsets(admin, places, spec, isolation), _ASKING, self._conf)
