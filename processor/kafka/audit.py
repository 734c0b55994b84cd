"""The five topics on Kafka as an audit reads them: read_committed, without a group, nothing is written."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # Its stub forgets it.

from processor.audit.topics import Span
from processor.errors import UsageError
from processor.kafka.committed.marks import marks_in
from processor.kafka.committed.origin import require_same
from processor.kafka.conf import reader_conf
from processor.kafka.deadletters.letter import is_marker
from processor.kafka.failures import reaching
from processor.kafka.identities import identities
from processor.kafka.offsets import EARLIEST, LATEST, asked_offsets, committed_places, patiently
from processor.kafka.reading.records import read_spans
from processor.runtime.adopting import Adopted
from processor.runtime.growing import Grown
from processor.runtime.ports import TopicRecord

_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 60.0  # an open transaction is waited for; a dead worker's ends after 10 s
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
        on_read: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Ask how far the topics go.

        Args:
            conf: librdkafka's properties.
            topics: those to be read. A topic that explains another comes after it: the dead letters, and raw last.
            raw, group_id: the raw topic and the processor's group, if it matters what is processed.
            origin: the topics, by role, that the group must have worked on.
            on_read: gets how many offsets were passed, and how many there are.

        Raises:
            UsageError: a topic does not exist, they have different numbers of partitions, the group worked on other
                topics of these names, or the Kafka client refuses a property.
            BrokerUnavailable: no broker answers.
        """
        self._conf = conf
        self._on_read = on_read
        self._passed = 0  # offsets
        with reaching(_ASKING, conf):
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
        self._spans = {
            place: Span(starts[place], max(starts[place], certain[place]), max(starts[place], end))
            for place, end in ends.items()
        }
        self._size = sum(span.end - span.start for span in self._spans.values())

    def span(self, topic: str, partition: int) -> Span:
        """See `Topics.span`."""
        return self._spans[topic, partition]

    def committed(self) -> Mapping[int, int]:
        """See `Topics.committed`."""
        return {place.partition: place.offset for place in self._committed}

    def lost(self) -> Mapping[int, tuple[int, int]]:
        """See `Topics.lost`. It stands beside the committed offsets."""
        told = ((place.partition, marks_in(place.metadata).lost) for place in self._committed)
        return {partition: lost for partition, lost in told if lost is not None}

    def late(self) -> Mapping[int, int]:
        """See `Topics.late`. It stands beside the committed offsets, too."""
        told = ((place.partition, marks_in(place.metadata).late) for place in self._committed)
        return {partition: start for partition, start in told if start is not None}

    def grown(self, partition: int) -> Sequence[Grown]:
        """See `Topics.grown`. It stands beside the committed offsets, too."""
        marks = {place.partition: marks_in(place.metadata).grown for place in self._committed}
        return marks.get(partition, ())

    def adopted(self, partition: int) -> Adopted | None:
        """See `Topics.adopted`."""
        marks = {place.partition: marks_in(place.metadata).adopted for place in self._committed}
        return marks.get(partition)

    def read(self, topic: str, partition: int) -> Iterator[TopicRecord]:
        """See `Topics.read`.

        Raises:
            BrokerUnavailable: the broker stopped answering, or a transaction stays open.
        """
        span = self._spans[topic, partition]
        if span.start >= span.end:
            return
        spans = {(topic, partition): (span.start, span.end)}
        with (
            reaching(f"reading {topic}", self._conf, needs=f"Read on topic {topic}"),
            contextlib.closing(Consumer(reader_conf(self._conf, if_gone="earliest"))) as consumer,
        ):
            for record in read_spans(consumer, spans, silence_s=_SILENCE_S, on_read=self._count):
                if not is_marker(name for name, _ in record.headers):
                    yield record

    def _count(self, offsets: int) -> None:
        self._passed += offsets
        self._on_read(self._passed, self._size)

    def _offsets(
        self, admin: AdminClient, topics: Sequence[str], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[tuple[str, int], int]:
        places = [(topic, partition) for topic in topics for partition in range(self.partitions)]
        return asked_offsets(admin, places, spec, _ASKING, self._conf, isolation=isolation)
