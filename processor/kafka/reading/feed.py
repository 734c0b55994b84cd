"""The `Feed` port on Kafka: a member of the exporters' group, which reads the two output topics side by side."""

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.codec.headers import headers_of
from processor.codec.traces import traceparent_of
from processor.errors import A3CPError, UsageError
from processor.kafka.answering import Answering
from processor.kafka.conf import feed_conf, reader_conf
from processor.kafka.failures import failure, no_topic, reaching, unreachable
from processor.kafka.identities import identities
from processor.kafka.offsets import LATEST, asked_offsets, patiently
from processor.kafka.reading.records import fetch, place_of, read_spans
from processor.kafka.unreadable import REMEDY, Probes, is_unreadable, unreadable_because
from processor.runtime.identities import Identities
from processor.runtime.ports import Assigned, Cause, RawRecord, Revoked
from processor.sessions.ports import SESSIONS, TAGGED, Place, Source
from processor.sessions.projection.feed import OutputRecord, Read, Standstill

_TIMEOUT_S: Final = 10.0
_ASK_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 3.0
_QUEUED: Final = 500  # records that are fetched ahead to read some again: mostly one is wanted
_RUN_GAP: Final = 1_000  # offsets between two records that are wanted; reading so many is quicker than beginning anew


class KafkaFeed:
    """One member of the group; used by one thread."""

    def __init__(
        self,
        conf: Mapping[str, Any],
        *,
        tagged: str,
        sessions: str,
        group_id: str,
        session_timeout_ms: int,
    ) -> None:
        """Join the group.

        Args:
            conf: librdkafka's properties, where the brokers are at least.
            tagged, sessions: the names of the topics.
            group_id: of all exporters with the same store.
            session_timeout_ms: after how long without a heartbeat a member counts as dead.

        Raises:
            UsageError: a topic does not exist, they have different numbers of partitions, or the client refuses a
                property.
            BrokerUnavailable: no broker answers.
        """
        self._conf = conf
        self._reader_conf = {**reader_conf(conf, if_gone="earliest"), "queued.min.messages": _QUEUED}
        self._topics = {TAGGED: tagged, SESSIONS: sessions}
        self._words = {name: word for word, name in self._topics.items()}
        self._needs = f"Read on topics {tagged} and {sessions}"
        self._reassigned: list[Assigned | Revoked] = []
        self._owned: frozenset[int] = frozenset()
        self._positions: dict[Source, int] = {}
        self._began: Mapping[Source, int] = {}  # where each assigned partition is read from
        self._held: set[Source] = set()
        self._unreadable: dict[Source, Standstill] = {}
        self._failed: A3CPError | None = None
        self._answering = Answering(tagged, _ASK_TIMEOUT_S)
        self._partitions = 0
        with reaching("connecting", conf):
            self._admin = AdminClient(dict(conf))
            known = self._admin.list_topics(timeout=_TIMEOUT_S).topics
            self._partitions = self._count_partitions({name: len(topic.partitions) for name, topic in known.items()})
            self._consumer_conf = {
                **feed_conf(conf, group_id=group_id, session_timeout_ms=session_timeout_ms),
                "error_cb": self._on_error,
            }
            self._probes = {word: Probes(self._consumer_conf, name) for word, name in self._topics.items()}
            self._consumer = self._join()

    def _join(self) -> Consumer:
        consumer = Consumer(self._consumer_conf)
        consumer.subscribe(
            list(self._words), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        return consumer

    def poll(self, records_max: int, timeout_s: float) -> Sequence[OutputRecord]:
        """See `Feed.poll`."""
        told = len(self._reassigned)
        try:
            if any(probes.one_is_readable() for probes in self._probes.values()):
                self._rejoin()
                return []
            messages = fetch(self._consumer, records_max, timeout_s)
            records = [record for record in map(self._record, messages) if record is not None]
        except KafkaException as error:
            raise failure("reading the output topics", error, conf=self._conf, needs=self._needs) from error
        if records:
            self._answering.heard()
        elif self._failed is None and self._answering.is_due:
            unanswered = self._answering.ask(self._consumer)
            self._failed = None if unanswered is None else unreachable("reading", unanswered, self._conf)
        if len(self._reassigned) > told:  # What was read before the change comes again, or is another member's.
            records = []
        self._go_beyond(records)
        if self._failed is not None and not records:
            raise self._failed
        self._failed = None
        return records

    def _go_beyond(self, records: Sequence[OutputRecord]) -> None:
        """Move the positions behind `records`. Stop reading partitions that cannot be read."""
        for record in records:
            source = record.topic, record.partition
            self._positions[source] = max(
                record.offset + 1, self._positions.get(source, 0)
            )  # Or the end, found already.
        if self._unreadable.keys() - self._held:
            self._stop_reading(self._unreadable)

    def assignments(self) -> Sequence[Assigned | Revoked]:
        """See `Feed.assignments`."""
        told, self._reassigned = self._reassigned, []
        return told

    def begin(self, starts: Mapping[Source, int]) -> None:
        """See `Feed.begin`."""
        sources = ((word, partition) for word in self._topics for partition in self._owned)
        self._begin_anew({source: starts.get(source, 0) for source in sources})
        self._assign()

    def positions(self) -> Mapping[Source, int]:
        """See `Feed.positions`."""
        return self._positions

    def hold_back(self, source: Source, offset: int) -> None:
        """See `Feed.hold_back`."""
        self._positions[source] = offset
        self._stop_reading([source])

    def go_on(self, source: Source) -> None:
        """See `Feed.go_on`."""
        if source in self._unreadable:  # Behind where it was held back; this client must not read it any more.
            self._rejoin()
            return
        if source in self._held:
            self._held.discard(source)
            self._assign()

    def unreadable(self) -> Sequence[Standstill]:
        """See `Feed.unreadable`."""
        return list(self._unreadable.values())

    def ends(self) -> Mapping[Source, int]:
        """See `Feed.ends`."""
        places = [(name, number) for name in self._words for number in range(self._partitions)]
        ends = asked_offsets(self._admin, places, LATEST, "asking for the ends", self._conf)
        return {(self._words[name], number): end for (name, number), end in ends.items()}

    def identities(self) -> Identities:
        """See `Feed.identities`."""
        return patiently(
            lambda: identities(self._admin, {name: name for name in self._words}), "asking who they are", self._conf
        )

    def read(self, places: Iterable[Place]) -> Read:
        """See `Feed.read`."""
        wanted = frozenset(places)
        runs: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for word, number, offset in sorted(wanted):
            known = runs.setdefault((self._topics[word], number), [])
            if known and offset - known[-1][1] < _RUN_GAP:
                known[-1] = known[-1][0], offset + 1
            else:
                known.append((offset, offset + 1))

        def read() -> Read:
            rounds = zip_longest(*([(place, run) for run in each] for place, each in runs.items()))
            unreadable: dict[Source, Standstill] = {}

            def note(error: Message) -> None:
                standing = self._standing(error)
                unreadable[standing.topic, standing.partition] = standing

            with contextlib.closing(Consumer(self._reader_conf)) as consumer:
                found = chain.from_iterable(
                    read_spans(consumer, dict(filter(None, spans)), on_unreadable=note) for spans in rounds
                )
                records = (
                    OutputRecord(self._words[record.topic], *record[1:4], record.value, traceparent_of(record.headers))
                    for record in found
                )
                return Read([record for record in records if record[:3] in wanted], list(unreadable.values()))

        return patiently(read, "reading the output topics", self._conf, needs=self._needs)

    def stored(self, offsets: Mapping[Source, int]) -> None:
        """See `Feed.stored`."""
        told = [TopicPartition(self._topics[word], number, offset) for (word, number), offset in offsets.items()]
        with contextlib.suppress(KafkaException):  # Nothing depends on it.
            self._consumer.commit(offsets=told, asynchronous=True)

    def close(self) -> None:
        """See `Feed.close`.

        If a commit has no answer, since the broker went away, librdkafka waits for one for ever (its issue 3740). Such
        a client is left behind; it closes once a broker answers.
        """
        for probes in self._probes.values():
            probes.close()
        self._leave()

    def _leave(self) -> None:
        closing = threading.Thread(target=_close, args=(self._consumer,), name="a3cp-feed-closing", daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)

    def _count_partitions(self, known: Mapping[str, int]) -> int:
        for name in self._words:
            if name not in known:
                raise no_topic(name)
        counts = {known[name] for name in self._words}
        if len(counts) > 1:
            raise UsageError(
                f"{' and '.join(self._words)} have different numbers of partitions",
                remedy="make them equal with a3cp topics apply",
            )
        return counts.pop()

    def _record(self, message: Message) -> OutputRecord | None:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF and not is_unreadable(message):
            raise KafkaException(error)
        topic, partition, offset = place_of(message)
        source = self._words[topic], partition
        if source in self._unreadable:  # Behind such a batch nothing counts.
            return None
        if error is not None:
            if partition in self._owned and is_unreadable(message):
                self._unreadable[source] = self._standing(message)
                self._probes[source[0]].put_off(partition, offset)
            elif partition in self._owned and self._positions.get(source, 0) <= offset:
                self._positions[source] = (
                    offset  # Transaction markers take offsets, so this may be beyond the last record.
                )
            return None
        traceparent = traceparent_of(headers_of(cast("RawRecord", message)))
        return OutputRecord(*source, offset, message.timestamp()[1], message.value(), traceparent)

    def _standing(self, message: Message) -> Standstill:
        """Return where a partition stands still: at the batch that the error `message` names."""
        topic, partition, offset = place_of(message)
        return Standstill(self._words[topic], partition, offset, Cause.UNREADABLE, unreadable_because(message), REMEDY)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take the partitions. They are read from `begin` on."""
        consumer.assign([])
        self._begin_anew({})
        self._owned = frozenset(tp.partition for tp in partitions)
        self._reassigned.append(Assigned(self._owned))

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        consumer.unassign()
        if consumer is not self._consumer:  # It was left behind.
            return
        self._begin_anew({})
        self._reassigned.append(Revoked(self._owned, lost=True))
        self._owned = frozenset()

    def _begin_anew(self, starts: Mapping[Source, int]) -> None:
        self._began = starts
        self._positions.clear()
        self._held.clear()
        self._unreadable.clear()
        for probes in self._probes.values():
            probes.close()

    def _stop_reading(self, sources: Iterable[Source]) -> None:
        """Read only the other partitions. These are unassigned: a paused partition slows the others down."""
        self._held.update(sources)
        self._assign()

    def _assign(self) -> None:
        """Read all partitions that are not held back, each from its position."""
        assigned = [
            TopicPartition(self._topics[source[0]], source[1], self._positions.get(source, start))
            for source, start in self._began.items()
            if source not in self._held
        ]
        try:
            self._consumer.assign(assigned)
        except KafkaException as error:
            raise failure("reading the output topics", error) from error

    def _rejoin(self) -> None:
        """Become another member, with a new client; see `Probes`."""
        self._leave()
        if self._owned:  # The client left without a word.
            self._reassigned.append(Revoked(self._owned, lost=True))
            self._owned = frozenset()
        self._begin_anew({})
        self._consumer = self._join()

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failed = failure("reading the output topics", error)


def _close(consumer: Consumer) -> None:
    with contextlib.suppress(KafkaException, RuntimeError):
        consumer.close()
