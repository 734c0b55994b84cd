"""Reads the state topic of newly assigned partitions, up to where the log stood when they were assigned."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka.failures import failure
from processor.kafka.offsets import LATEST, log_offsets
from processor.kafka.unreadable import Pauses, is_unreadable, tell_unreadable
from processor.runtime.ports import Cause, LogObserver, StateChunk

_CHUNK_RECORDS: Final = 20_000
_BLOCKED_AFTER_S: Final = 0.3


@dataclass(slots=True)
class _Progress:
    """How far one partition's restore has come."""

    target: int  # the end of the replicated log when the partition was assigned
    since_s: float
    fenced: bool = False


class Restorer:
    """Restores several partitions side by side.

    A restore is done by its position, not by its last record: transaction markers take offsets too. The target is the
    end of the replicated log (the high watermark). So a predecessor's last transaction is waited for if it is
    committed but not yet marked so.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        topic: str,
        admin: AdminClient,
        unblock: Callable[[], None],
        observer: LogObserver,
        *,
        stuck_s: float,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            conf: librdkafka's properties.
            topic: the state topic.
            admin: asked how far it goes.
            unblock: called when a dead worker's open transaction seems to be in the way.
            observer: told if a partition stands still for long, or a batch of it cannot be read.
            stuck_s: after how long without progress a restore begins anew.
        """
        self._conf = dict(conf)
        self._topic = topic
        self._admin = admin
        self._unblock = unblock
        self._observer = observer
        self._stuck_s = stuck_s
        self._unread = Pauses()
        self._consumer: Consumer | None = None
        self._progress: dict[int, _Progress] = {}

    def add(self, partitions: Iterable[int]) -> None:
        """Start restoring `partitions`.

        Raises:
            BrokerUnavailable, Fatal: see `failure`.
        """
        partitions = list(partitions)
        self.remove(partitions)
        self._start(partitions)

    def _start(self, partitions: Iterable[int]) -> None:
        new = [TopicPartition(self._topic, partition, 0) for partition in partitions]  # BEGINNING costs 0.5 s more.
        if not new:
            return
        try:
            places = [(tp.topic, tp.partition) for tp in new]
            ends = log_offsets(self._admin, places, LATEST, IsolationLevel.READ_UNCOMMITTED)
            if self._consumer is None:
                self._consumer = Consumer(self._conf)
            self._consumer.incremental_assign(new)
        except KafkaException as error:
            raise failure(f"restoring {self._topic}", error) from error
        now_s = time.monotonic()
        for (_, partition), end in ends.items():
            self._progress[partition] = _Progress(end, now_s)

    def remove(self, partitions: Iterable[int]) -> None:
        """Stop restoring those of `partitions` that are being restored."""
        partitions = list(partitions)
        for partition in partitions:
            self._unread.forget(partition)
        self._unassign(partitions)

    def _unassign(self, partitions: Iterable[int]) -> None:
        old = [partition for partition in partitions if self._progress.pop(partition, None) is not None]
        if old and self._consumer is not None:
            with contextlib.suppress(KafkaException):
                self._consumer.incremental_unassign([TopicPartition(self._topic, partition) for partition in old])
        if not self._progress:
            self.close()

    def poll(self, timeout_s: float) -> list[StateChunk]:
        """Return what came within `timeout_s`, by partition. The last chunk of a partition says so.

        If one stands still before its target, all begin anew with a new client, and their records come again.

        Raises:
            BrokerUnavailable, Fatal, OutcomeUnknown: see `failure`.
        """
        if not self._progress and (due := self._unread.due()):  # With a new client, see `Probes`.
            self._start(due)
        if self._consumer is None:
            return []
        records, ends = self._read(self._consumer, timeout_s)
        chunks = []
        blocked = stuck = False
        now_s = time.monotonic()
        for partition in records.keys() | ends.keys() | self._progress.keys():
            progress = self._progress.get(partition)
            if progress is None:
                continue
            (position,) = self._consumer.position([TopicPartition(self._topic, partition)])
            reached = max(ends.get(partition, 0), position.offset)
            finished = reached >= progress.target
            if partition in records or finished:
                chunks.append(StateChunk(partition, records.get(partition, ()), finished))
            if partition in records:
                progress.since_s = now_s
            elif not finished and not progress.fenced and now_s - progress.since_s > _BLOCKED_AFTER_S:
                progress.fenced = blocked = True
            elif not finished and now_s - progress.since_s > self._stuck_s:
                self._observer.stuck(f"{self._topic}[{partition}] stands still at {reached} of {progress.target}")
                stuck = True
        if blocked:
            self._unblock()
        done = [chunk.partition for chunk in chunks if chunk.finished]
        for partition in done:
            if partition in self._unread:
                self._observer.waiting(partition, Cause.UNREADABLE, None)
        self.remove(done)
        if stuck:
            left = list(self._progress)
            self.close()
            self.add(left)
        return chunks

    def _read(
        self, consumer: Consumer, timeout_s: float
    ) -> tuple[Mapping[int, Sequence[tuple[bytes, bytes | None]]], Mapping[int, int]]:
        """Return by partition the records that came within `timeout_s`, and the ends that were reached."""
        records: dict[int, list[tuple[bytes, bytes | None]]] = {}
        ends: dict[int, int] = {}
        for message in consumer.consume(_CHUNK_RECORDS, timeout_s):
            error, partition = message.error(), message.partition()
            if is_unreadable(message):
                self._put_off(message)
                continue
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                needs = f"Read on topic {self._topic}"
                raise failure(f"restoring {self._topic}", error, conf=self._conf, needs=needs)
            assert partition is not None
            if error is None:
                key = message.key()
                assert isinstance(key, bytes)  # We alone write this topic.
                records.setdefault(partition, []).append((key, message.value()))
            else:
                offset = message.offset()
                assert offset is not None
                ends[partition] = offset
        return records, ends

    def _put_off(self, message: Message) -> None:
        """Begin a partition anew later, since a batch of it cannot be read: without it the states would be wrong."""
        partition = message.partition()
        if partition in self._progress:
            self._unread.put_off(partition)
            self._unassign([partition])
            tell_unreadable(self._observer, message)

    def close(self) -> None:
        """Forget all and close the consumer."""
        self._progress.clear()
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
