"""Reads one topic as any consumer of the system would."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Self

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # Its stub forgets it.

from processor.kafka.conf import reader_conf
from processor.kafka.failures import no_topic, reaching
from processor.kafka.offsets import EARLIEST, LATEST, asked_offsets
from processor.kafka.reading.records import read_spans
from processor.runtime.ports import TopicRecord

_TIMEOUT_S: Final = 10.0


class Reader:
    """Reads one topic, read_committed and without a group; used by one thread."""

    def __init__(self, conf: Mapping[str, Any], topic: str) -> None:
        """Connect.

        Raises:
            UsageError: the topic does not exist, or the client refuses a property.
            BrokerUnavailable: no broker answers.
        """
        self._conf = conf
        self._topic = topic
        with reaching("connecting", conf):
            self._consumer = Consumer(reader_conf(conf, if_gone="error"))
            self._admin = AdminClient(dict(conf))
            known = self._admin.list_topics(timeout=_TIMEOUT_S).topics
        if topic not in known:
            self._consumer.close()
            raise no_topic(topic)
        self.partitions = len(known[topic].partitions)

    def read_all(self, partitions: Collection[int] | None = None) -> Iterator[TopicRecord]:
        """Yield every committed record of `partitions`, by default all, up to where they end now.

        The records of a partition come in their order.

        Raises:
            BrokerUnavailable: the broker stopped answering.
        """
        starts, ends = self._offsets(EARLIEST), self._offsets(LATEST)
        wanted = range(self.partitions) if partitions is None else partitions
        spans = {(self._topic, partition): (starts[partition], ends[partition]) for partition in wanted}
        with reaching(f"reading {self._topic}", self._conf, needs=f"Read on topic {self._topic}"):
            yield from read_spans(self._consumer, spans)

    def start(self, partition: int) -> int:
        """Return the first offset that is left. Raises as `read_all`."""
        return self._offsets(EARLIEST)[partition]

    def read_from(self, partition: int, offset: int) -> Iterator[TopicRecord]:
        """Yield the committed records of one partition from `offset` on, those that are left. Raises as `read_all`."""
        start, end = max(offset, self.start(partition)), self._offsets(LATEST)[partition]
        with reaching(f"reading {self._topic}", self._conf):
            yield from read_spans(self._consumer, {(self._topic, partition): (start, end)})

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _offsets(self, spec: OffsetSpec) -> dict[int, int]:
        places = [(self._topic, partition) for partition in range(self.partitions)]
        found = asked_offsets(self._admin, places, spec, f"reading {self._topic}", self._conf)
        return {partition: offset for (_, partition), offset in found.items()}
