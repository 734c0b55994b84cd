"""Follows topics: all partitions, committed records only, without a group. Each reader reads everything."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from processor.errors import A3CPError, RecordsGone, UsageError
from processor.kafka.conf import reader_conf
from processor.kafka.failures import no_topic, reaching, unreachable
from processor.kafka.offsets import EARLIEST, LATEST, asked_offsets
from processor.kafka.reading.records import TopicPlace, as_record, fetch, place_of
from processor.kafka.unreadable import Probes, is_unreadable, unreadable_error
from processor.runtime.ports import TopicRecord

RECORDS_MAX: Final = 1_000  # that a poll returns
_LOOK_EVERY_S: Final = 2.0
_CONNECT_TIMEOUT_S: Final = 10.0
_LOOK_TIMEOUT_S: Final = 2.0
_THREAD_POLL_S: Final = 0.1


class EndlessReader:
    """Reads topics from a moment on, for ever. Used by one thread; `positions` and `ends` by any.

    It holds at most the records of one poll, and 16 MiB that the client fetched ahead.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        topics: Collection[str],
        *,
        from_beginning: bool = False,
        offsets: Mapping[TopicPlace, int] = MappingProxyType({}),
    ) -> None:
        """Begin. A partition that comes later is read from its own beginning.

        Args:
            conf: librdkafka's properties.
            topics: which.
            from_beginning: read what is there already too, not only what comes from now on.
            offsets: where to begin instead, for those partitions that it names.

        Raises:
            UsageError: a topic or partition does not exist, or the client refuses a property.
            BrokerUnavailable: no broker answers.
        """
        self._conf = conf
        self._topics = list(topics)
        self._reader_conf = reader_conf(conf, if_gone="error")
        self._positions: dict[TopicPlace, int] = {}
        self._troubles: deque[A3CPError] = deque()
        self._probes = {topic: Probes(self._reader_conf, topic) for topic in topics}
        self._unread: set[TopicPlace] = set()
        with reaching("connecting", conf):
            self._admin = AdminClient(dict(conf))
            self._consumer = Consumer(self._reader_conf)
        self._partitions = self._count_partitions(_CONNECT_TIMEOUT_S)
        starts = self._ask(from_beginning=from_beginning)
        if strange := offsets.keys() - starts.keys():
            topic, partition = min(strange)
            raise UsageError(f"there is no {topic}[{partition}]", remedy="see the partitions with a3cp topics plan")
        self._read_from({**starts, **offsets})
        self._look_at_s = time.monotonic() + _LOOK_EVERY_S

    def poll(self, timeout_s: float) -> list[TopicRecord]:
        """Return the records that come within `timeout_s`, those of a partition in their order.

        Each error is raised once. After it, poll again: reading goes on with what can be read.

        Raises:
            BrokerUnavailable: no broker answers.
            RecordsGone: the next record was removed. Reading goes on where the partition begins now.
            Fatal: a batch cannot be read. Its partition stands still, and is tried again.
            UsageError: a topic does not exist any more.
        """
        if not self._troubles and time.monotonic() >= self._look_at_s:
            self._look_around()
        if self._troubles:
            raise self._troubles.popleft()
        with reaching("following topics", self._conf):
            messages = fetch(self._consumer, RECORDS_MAX, timeout_s)
        records, positions = [], self._positions
        for message in messages:
            if message.error() is None:
                record = as_record(message)
                place = record.topic, record.partition
                if place not in self._unread:
                    positions[place] = record.offset + 1
                    records.append(record)
            else:
                self._notice(message)
        return records

    def positions(self) -> Mapping[TopicPlace, int]:
        """Return the next offset of each partition. It passes transaction markers too, once it comes to the end."""
        return dict(self._positions)

    def ends(self) -> Mapping[TopicPlace, int]:
        """Return where each partition ends now for a reader of committed records; any thread may ask.

        Raises:
            BrokerUnavailable: no broker answers.
        """
        return self._ask(from_beginning=False)

    def close(self) -> None:
        """Let go of the connections."""
        for probes in self._probes.values():
            probes.close()
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _count_partitions(self, timeout_s: float) -> dict[str, int]:
        counts = {}
        for topic in self._topics:
            with reaching("following topics", self._conf):
                known = self._admin.list_topics(topic, timeout=timeout_s).topics.get(topic)
            if known is None or known.error is not None:
                raise no_topic(topic)
            counts[topic] = len(known.partitions)
        return counts

    def _ask(self, *, from_beginning: bool) -> dict[TopicPlace, int]:
        places = [(topic, number) for topic, count in self._partitions.items() for number in range(count)]
        spec = EARLIEST if from_beginning else LATEST
        return asked_offsets(self._admin, places, spec, "asking how far the topics go", self._conf)

    def _read_from(self, offsets: Mapping[TopicPlace, int]) -> None:
        self._positions.update(offsets)
        with reaching("following topics", self._conf):
            self._consumer.incremental_assign([TopicPartition(*place, offset) for place, offset in offsets.items()])

    def _look_around(self) -> None:
        """Ask how many partitions there are. That shows too whether a broker answers."""
        self._look_at_s = time.monotonic() + _LOOK_EVERY_S
        try:
            counts = self._count_partitions(_LOOK_TIMEOUT_S)
            new = {
                (topic, number): 0
                for topic, count in counts.items()
                for number in range(self._partitions[topic], count)
            }
            if new:
                self._read_from(new)
            self._partitions = counts
            if any(probes.one_is_readable() for probes in self._probes.values()):
                self._begin_anew()
        except A3CPError as error:
            self._troubles.append(error)

    def _begin_anew(self) -> None:
        """Go on with a new client, see `Probes`."""
        self.close()
        self._unread.clear()
        self._consumer = Consumer(self._reader_conf)
        self._read_from(self._positions)

    def _notice(self, message: Message) -> None:
        error = message.error()
        assert error is not None
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return  # `_look_around` tells it.
        if message.topic() is None or (message.partition() or 0) < 0:
            self._troubles.append(unreachable("following topics", KafkaException(error), self._conf))
            return
        topic, partition, offset = place_of(message)
        place = topic, partition
        if place in self._unread:
            return
        if error.code() == KafkaError._PARTITION_EOF:
            self._positions[place] = max(offset, self._positions[place])
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._go_on_from_the_beginning(place)
        elif is_unreadable(message):
            self._unread.add(place)
            self._consumer.incremental_unassign([TopicPartition(*place)])
            self._probes[topic].put_off(partition, offset)
            self._troubles.append(unreadable_error(message))
        else:
            needs = f"Read on topic {topic}"
            self._troubles.append(unreachable(f"following {topic}", KafkaException(error), self._conf, needs=needs))

    def _go_on_from_the_beginning(self, place: TopicPlace) -> None:
        topic, partition = place
        what = f"{topic}[{partition}]@{self._positions[place]} is not there any more"
        self._troubles.append(RecordsGone(what, remedy="take what is missing from the store or from bundles"))
        self._positions[place] = 0
        self._consumer.incremental_unassign([TopicPartition(*place)])
        self._consumer.incremental_assign([TopicPartition(*place, OFFSET_BEGINNING)])


class ReadingThread:
    """Polls a reader in a thread of its own, and closes it."""

    def __init__(
        self,
        reader: EndlessReader,
        take: Callable[[Sequence[TopicRecord]], None],
        on_trouble: Callable[[A3CPError], None],
    ) -> None:
        """Begin.

        Args:
            reader: nobody else polls it.
            take: called with the records of each poll; at least ten times a second, then with none.
            on_trouble: called with each error, again and again while no broker answers.
        """
        self._reader = reader
        self._take = take
        self._on_trouble = on_trouble
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="a3cp-tail", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, once what is being taken is taken."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                records = self._reader.poll(_THREAD_POLL_S)
            except A3CPError as error:
                self._on_trouble(error)
                self._stopping.wait(_THREAD_POLL_S)
                records = []
            self._take(records)
        self._reader.close()
