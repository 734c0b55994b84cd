"""The `Log` port on Kafka: one consumer of the group, transactions, and the restore of what is assigned."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_STORED, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.core.errors import A3CPError
from processor.kafka.failures import failure
from processor.kafka.restorer import Restorer
from processor.kafka.slots import client_id, dead_slots, free_slots, is_shared
from processor.kafka.transactions import Transactions, fence
from processor.ports import Assigned, Output, RawRecord, Revoked, StateChunk


class LogConf(NamedTuple):
    """What a `KafkaLog` needs to know; the mappings are librdkafka's properties."""

    common: Mapping[str, Any]  # where the brokers are and how to get in; part of all the others
    consumer: Mapping[str, Any]
    producer: Mapping[str, Any]
    restorer: Mapping[str, Any]
    group_id: str
    slot: int
    slot_is_fixed: bool  # else another is taken when two members turn out to run in one
    raw: str
    state: str
    partitions: int


class KafkaLog:
    """One member of the group; used by one thread."""

    def __init__(self, conf: LogConf, on_broker: Callable[[str | None], None]) -> None:
        """Prepare transactions and join the group.

        Args:
            conf: names and properties.
            on_broker: told why no broker answers, or None once one does again.

        Raises:
            BrokerUnavailable, OwnershipLost, Fatal: see `failure`.
        """
        self._conf = conf
        self._on_broker = on_broker
        self._away = False
        self._changes: list[Assigned | Revoked] = []
        self._owned: set[int] = set()
        self._caught_up: set[int] = set()
        self._next: dict[int, int] = {}  # partition -> next offset, of what was polled since the last commit
        self._fatal: A3CPError | None = None
        self._admin = AdminClient(dict(conf.common))
        self._restorer = Restorer(conf.restorer, conf.state, self._admin, self._fence_the_dead)
        self._transactions: Transactions | None = self._new_transactions()
        self._consumer = self._new_consumer()

    def poll(self, records_max: int, timeout_s: float) -> Sequence[RawRecord]:
        """See `Log.poll`."""
        known = len(self._changes)
        try:
            first = self._consumer.poll(timeout_s)
            if first is None:
                return []
            messages: list[Message] = [first, *self._consumer.consume(records_max - 1, 0)]
        except KafkaException as error:
            raise failure("polling", error) from error
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            else:
                self._notice(message, error)
        if len(self._changes) > known:  # What was fetched of them before the change is not ours, or comes again.
            changed = {partition for change in self._changes[known:] for partition in change.partitions}
            records = [record for record in records if record.partition() not in changed]
        if records:
            polled = {record.partition(): record.offset() + 1 for record in records}
            self._next.update(polled)
            ended = {m.partition(): m.offset() for m in messages if m.error() is not None}
            for partition, position in polled.items():
                if ended.get(partition, -1) < position:
                    self._caught_up.discard(partition)
        if self._away:
            self._answers()
        return records

    def changes(self) -> Sequence[Assigned | Revoked]:
        """See `Log.changes`."""
        changes, self._changes = self._changes, []
        for change in changes:
            if isinstance(change, Assigned):
                self._restorer.add(change.partitions)
            else:
                self._restorer.remove(change.partitions)
        return changes

    def restore(self, timeout_s: float) -> Iterable[StateChunk]:
        """See `Log.restore`."""
        chunks = self._restorer.poll(timeout_s)
        restored = [TopicPartition(self._conf.raw, chunk.partition) for chunk in chunks if chunk.finished]
        if restored:
            self._consumer.resume(restored)
        return chunks

    def caught_up(self, partition: int) -> bool:
        """See `Log.caught_up`."""
        return partition in self._caught_up

    def lag(self) -> Mapping[int, int]:
        """See `Log.lag`."""
        lag = {}
        for position in self._consumer.position([TopicPartition(self._conf.raw, p) for p in sorted(self._owned)]):
            if position.partition in self._caught_up:
                lag[position.partition] = 0
                continue
            with contextlib.suppress(KafkaException):
                _, end = self._consumer.get_watermark_offsets(position, cached=True)
                lag[position.partition] = max(0, end - max(0, position.offset))
        return lag

    def send(self, outputs: Sequence[Output]) -> None:
        """See `Log.send`."""
        assert self._transactions is not None
        self._transactions.send(outputs)

    def commit(self) -> None:
        """See `Log.commit`."""
        assert self._transactions is not None
        offsets = [TopicPartition(self._conf.raw, partition, offset) for partition, offset in self._next.items()]
        self._transactions.commit(offsets, self._consumer.consumer_group_metadata())
        self._next.clear()

    def recover(self) -> None:
        """See `Log.recover`."""
        if self._transactions is not None:
            self._transactions.close()
            self._transactions = None
        self._restorer.close()
        self._next.clear()
        self._give_way()
        self._transactions = self._new_transactions()
        again = [TopicPartition(self._conf.raw, partition, OFFSET_STORED) for partition in sorted(self._owned)]
        try:
            if self._fatal is not None:
                raise KafkaException(KafkaError(KafkaError._FATAL, str(self._fatal)))
            if again:
                self._consumer.incremental_unassign(again)
                self._on_assign(self._consumer, again)
        except KafkaException:
            self._rejoin()

    def close(self) -> None:
        """See `Log.close`."""
        if self._transactions is not None:
            self._transactions.close()
            self._transactions = None
        self._restorer.close()
        with contextlib.suppress(KafkaException, RuntimeError):
            self._consumer.close()

    def _give_way(self) -> None:
        """Move to a free slot when another member runs in ours, or both would fence each other for ever."""
        conf = self._conf
        if conf.slot_is_fixed or not is_shared(self._admin, conf.group_id, conf.slot, self._consumer.memberid() or ""):
            return
        (slot,) = free_slots(self._admin, conf.group_id, 1)
        self._conf = conf._replace(slot=slot)
        self._rejoin()

    def _new_transactions(self) -> Transactions:
        return Transactions(self._conf.producer, self._conf.group_id, self._conf.slot)

    def _new_consumer(self) -> Consumer:
        conf = {
            **self._conf.consumer,
            "group.id": self._conf.group_id,
            "client.id": client_id(self._conf.group_id, self._conf.slot),
            "error_cb": self._on_error,
        }
        consumer = Consumer(conf)
        consumer.subscribe(
            [self._conf.raw], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        return consumer

    def _rejoin(self) -> None:
        """Leave the group with what we own and join it anew."""
        with contextlib.suppress(KafkaException, RuntimeError):
            self._consumer.close()
        self._changes.append(Revoked(frozenset(self._owned), lost=True))
        self._owned.clear()
        self._caught_up.clear()
        self._fatal = None
        self._consumer = self._new_consumer()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take the partitions, but read nothing of them until their states are restored."""
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        numbers = frozenset(partition.partition for partition in partitions)
        self._owned |= numbers
        self._caught_up -= numbers
        self._changes.append(Assigned(numbers))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions, lost=False)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions, lost=True)

    def _drop(self, partitions: list[TopicPartition], *, lost: bool) -> None:
        numbers = frozenset(partition.partition for partition in partitions)
        assert not self._next, "an assignment changed while a transaction was open"
        self._owned -= numbers
        self._caught_up -= numbers
        self._changes.append(Revoked(numbers, lost))

    def _notice(self, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._caught_up.add(message.partition())
        elif error.fatal():
            self._fatal = failure("polling", error)
            raise self._fatal
        else:
            raise failure("polling", error)

    def _on_error(self, error: KafkaError) -> None:
        """Take note of what librdkafka tells of its connections; it goes on trying by itself."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._away = True
            self._on_broker(error.str())
        elif error.fatal():
            self._fatal = failure("polling", error)

    def _answers(self) -> None:
        self._away = False
        self._on_broker(None)

    def _fence_the_dead(self) -> None:
        """Abort the open transactions of slots that no member runs in: they hide what they wrote from the restore."""
        conf = self._conf
        for slot in dead_slots(self._admin, conf.group_id, conf.slot, conf.partitions):
            fence(conf.producer, conf.group_id, slot)
