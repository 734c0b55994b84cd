"""The `Log` port on Kafka: one consumer of the group, transactions, and the restore of what is assigned."""

import contextlib
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, cast

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from processor.errors import A3CPError, Aborted, BrokerUnavailable
from processor.kafka.answering import Answering
from processor.kafka.committed.marks import with_marks
from processor.kafka.committed.origin import Origin
from processor.kafka.conf import LogConf
from processor.kafka.failures import AWAY, error_of, failure
from processor.kafka.identities import identities
from processor.kafka.offsets import newest_ms
from processor.kafka.reading.records import fetch
from processor.kafka.unreadable import is_unreadable
from processor.kafka.worker.beginnings import Beginnings
from processor.kafka.worker.hidden import HiddenWatch
from processor.kafka.worker.other_groups import OtherGroups
from processor.kafka.worker.partitions import Partitions
from processor.kafka.worker.restorer import Restorer
from processor.kafka.worker.slots import client_id, dead_slots, free_slots, is_shared
from processor.kafka.worker.survey import Survey
from processor.kafka.worker.transactions import Transactions, fence
from processor.runtime.identities import Identities
from processor.runtime.ports import Assigned, LogObserver, Output, RawRecord, Revoked, StateChunk

_ASK_TIMEOUT_S: Final = 1.0
_COMMITTED_TIMEOUT_S: Final = 1.0  # Then it is asked again.
_LEAVE_S: Final = 1.0  # It takes some ms when a broker answers.
_LEAVE_POLL_S: Final = 0.002


class KafkaLog:
    """One member of the group; used by one thread."""

    def __init__(self, conf: LogConf, observer: LogObserver) -> None:
        """Prepare transactions and join the group.

        Args:
            conf: names and properties.
            observer: told what the log meets.

        Raises:
            BrokerUnavailable, OwnershipLost, Fatal: see `failure`.
        """
        self._conf = conf
        self._observer = observer
        self._away = False
        self._answering = Answering(conf.raw, _ASK_TIMEOUT_S)
        self._reassigned: list[Assigned | Revoked] = []
        self._owned: set[int] = set()
        self._hidden = HiddenWatch(conf.raw, observer, conf.waits)
        self._topics = {"raw": conf.raw, "state": conf.state, "tagged": conf.tagged, "sessions": conf.sessions}
        self._survey = Survey(conf.common, self._topics, conf.partitions, observer, every_s=conf.waits.survey_s)
        self._other_groups = OtherGroups(
            conf.common, conf.group_id, conf.tagged, observer, every_s=conf.waits.other_groups_s
        )
        self._origin = Origin(conf.group_id, self._topics)
        self._ids: Identities | None = None  # asked for once an assignment
        self._beginnings = Beginnings(conf.raw, observer)
        self._restored: set[int] = set()  # those of the assigned partitions that are restored and not begun to be read
        self._begun: set[int] = set()  # those of the assigned partitions that have states
        self._fatal: A3CPError | None = None
        self._admin, self._restorer = self._new_readers()
        self._transactions: Transactions | None = self._new_transactions()
        self._consumer = self._new_consumer()
        self._partitions = Partitions(self._consumer, conf, observer)

    def poll(self, records_max: int, timeout_s: float) -> Sequence[RawRecord]:
        """See `Log.poll`."""
        known = len(self._reassigned)
        try:
            if self._partitions.one_is_readable():
                self._rejoin()
                return []
            messages = fetch(self._consumer, records_max, timeout_s)
        except KafkaException as error:
            raise failure("polling", error) from error
        if not messages:
            if self._away or self._answering.is_due:
                unanswered = self._answering.ask(self._consumer)
                self._set_away(None if unanswered is None else error_of(unanswered).str())
            return []
        # What is no error is a record, whose fields are never None, though the client's types allow it.
        records = cast("list[RawRecord]", [message for message in messages if message.error() is None])
        if len(records) < len(messages) or self._partitions.has_unreadable:
            records = self._notice_all(messages)
        if len(self._reassigned) > known:  # What was fetched of them before the change is not ours, or comes again.
            changed = {partition for change in self._reassigned[known:] for partition in change.partitions}
            records = [record for record in records if record.partition() not in changed]
        if records:
            self._partitions.positions.polled(records)
        self._set_away(None)
        return records

    def assignments(self) -> Sequence[Assigned | Revoked]:
        """See `Log.assignments`."""
        for change in self._reassigned:
            self._begun -= change.partitions
            if isinstance(change, Assigned):
                self._ids = None
                self._restorer.add(change.partitions)
            else:
                self._restorer.remove(change.partitions)
        told, self._reassigned = self._reassigned, []  # Only now: a broker that fails to answer is asked again first.
        return told

    def restore(self, timeout_s: float) -> Iterable[StateChunk]:
        """See `Log.restore`."""
        chunks = self._restorer.poll(timeout_s)
        self._begun.update(chunk.partition for chunk in chunks if chunk.records)
        self._restored.update(chunk.partition for chunk in chunks if chunk.finished)
        finished = self._begin_restored() if self._restored else ()
        told = [chunk._replace(finished=False) for chunk in chunks]
        return told + [StateChunk(partition, (), finished=True) for partition in finished]

    def _begin_restored(self) -> Sequence[int]:
        """Begin to read the restored partitions, and return them. While there is no answer, return none.

        A partition that has to stand still is returned too: its states are there.
        """
        restored = sorted(self._restored)
        try:
            self._partitions.begin(self._beginnings.find(self._admin, self._committed(restored)))
        except KafkaException as error:
            if error_of(error).code() in AWAY or error_of(error).retriable():
                return ()  # It is asked again; a predecessor's transaction may still be ending.
            raise failure("beginning to read", error) from error
        self._restored.clear()
        return restored

    def _committed(self, partitions: Sequence[int]) -> list[TopicPartition]:
        """Return what the group has committed of `partitions`: each offset with its text.

        Raises:
            KafkaException: no answer.
            UsageError: the offsets belong to other topics of these names; see `Origin.require`.
        """
        asked = [TopicPartition(self._conf.raw, partition) for partition in partitions]
        places = self._consumer.committed(asked, timeout=_COMMITTED_TIMEOUT_S)
        if self._ids is None:
            self._ids = identities(self._admin, self._topics)
        self._origin.require(places, self._begun.intersection(partitions), self._ids)
        return places

    def hold_back(self, partition: int, offset: int) -> None:
        """See `Log.hold_back`."""
        self._partitions.hold_back(partition, offset)

    def go_on(self, partition: int) -> None:
        """See `Log.go_on`."""
        self._partitions.go_on(partition)

    def caught_up(self, partition: int) -> bool:
        """See `Log.caught_up`."""
        return self._partitions.caught_up(partition)

    def lag(self) -> Mapping[int, int]:
        """See `Log.lag`. The topics and other groups are looked at here too, since it is called now and then."""
        lag, ends = self._partitions.lag(), self._partitions.positions.ends
        hidden = {partition: (end, lag[partition]) for partition, end in ends.items() if lag[partition]}
        with contextlib.suppress(KafkaException):  # It is asked again.
            self._hidden.look(hidden, self._admin)
        if self._survey.look(self._ids or {}, self._owned):
            self._stop_reading(self._owned)
        self._other_groups.look(self._ids or {}, self._owned)
        return lag | self._partitions.lag_of_others(None if self._away else self._admin)

    def now_ms(self) -> int:
        """See `Log.now_ms`. It is the append time of a record whose transaction is aborted, so that nobody sees it."""
        assert self._transactions is not None
        state, partition = self._conf.state, min(self._owned)
        output = (state, None, b"", partition, None)
        return self._transactions.try_out(output, lambda: newest_ms(self._admin, state, partition))

    def send(self, outputs: Sequence[Output]) -> None:
        """See `Log.send`."""
        assert self._transactions is not None
        self._transactions.send(outputs)

    def commit(self) -> None:
        """See `Log.commit`."""
        assert self._transactions is not None
        batch = self._partitions.positions
        positions = batch.to_commit()
        raw, text, marks = self._conf.raw, self._origin.text, self._beginnings.marks
        offsets = [
            TopicPartition(raw, partition, offset, with_marks(text, marks(partition)))
            for partition, offset in positions.items()
        ]
        try:
            self._transactions.commit(offsets, self._consumer.consumer_group_metadata())
        except Aborted:
            self._partitions.rewind()
            raise
        batch.committed(positions)

    def settle(self) -> None:
        """See `Log.settle`. Without it, Kafka's own tools show a lag of 1 or 2 for ever, behind a marker on raw."""
        if self._partitions.positions.is_to_settle():
            self.commit()

    def recover(self) -> None:
        """See `Log.recover`."""
        self._let_go()
        self._admin, self._restorer = self._new_readers()
        try:
            self._give_way()
            self._transactions = self._new_transactions()
        except BrokerUnavailable as error:
            self._set_away(str(error))
            raise
        self._set_away(None)
        try:
            if self._fatal is not None:
                raise KafkaException(KafkaError(KafkaError._FATAL, str(self._fatal)))
            self._stop_reading(self._owned)
            self._reassigned.append(Assigned(frozenset(self._owned)))
        except KafkaException:
            self._rejoin()

    def close(self) -> None:
        """See `Log.close`."""
        self._let_go()
        self._partitions.close()
        self._survey.close()
        self._other_groups.close()
        if self._conf.is_static:
            self._leave()
        with contextlib.suppress(KafkaException, RuntimeError):
            self._consumer.close()

    def _leave(self) -> None:
        """Leave the group as a static member. Otherwise its partitions stay taken until its session times out."""
        deadline_s = time.monotonic() + _LEAVE_S
        with contextlib.suppress(KafkaException, RuntimeError):
            self._consumer.unsubscribe()
            while self._consumer.memberid() and time.monotonic() < deadline_s:
                self._consumer.poll(_LEAVE_POLL_S)

    def _let_go(self) -> None:
        """Abort and forget whatever is under way."""
        if self._transactions is not None:
            self._transactions.close()
            self._transactions = None
        self._restorer.close()
        self._partitions.positions.forget_batch()

    def _give_way(self) -> None:
        """Move to a free slot if another member runs in ours. Else both would fence each other for ever."""
        conf = self._conf
        if conf.slot_is_fixed or not is_shared(self._admin, conf.group_id, conf.slot, self._consumer.memberid() or ""):
            return
        (slot,) = free_slots(self._admin, conf.group_id, 1)
        self._conf = conf._replace(slot=slot)
        self._observer.slot(slot)
        self._rejoin()

    def _new_readers(self) -> tuple[AdminClient, Restorer]:
        """Return new clients: an old one keeps leader epochs, for which a restarted broker refuses it for minutes."""
        conf, admin = self._conf, AdminClient(dict(self._conf.common))
        restorer = Restorer(
            conf.restorer, conf.state, admin, self._fence_the_dead, self._observer, stuck_s=conf.waits.stuck_s
        )
        return admin, restorer

    def _new_transactions(self) -> Transactions:
        return Transactions(self._conf.producer, self._conf.group_id, self._conf.slot, self._set_away)

    def _new_consumer(self) -> Consumer:
        conf = {
            **self._conf.consumer,
            "group.id": self._conf.group_id,
            "client.id": client_id(self._conf.group_id, self._conf.slot),
            "error_cb": self._on_error,
        }
        if self._conf.is_static:
            conf["group.instance.id"] = conf["client.id"]
        consumer = Consumer(conf)
        consumer.subscribe(
            [self._conf.raw], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        return consumer

    def _rejoin(self) -> None:
        """Leave the group with what we own and join it anew."""
        with contextlib.suppress(KafkaException, RuntimeError):
            self._consumer.close()
        self._reassigned.append(Revoked(frozenset(self._owned), lost=True))
        self._partitions.close()
        self._owned.clear()
        self._restored.clear()
        self._fatal = None
        self._consumer = self._new_consumer()
        self._partitions = Partitions(self._consumer, self._conf, self._observer)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take the partitions, but read nothing of them until their states are restored.

        Then they are assigned to the client. To pause them until then would be slower: a broker's thread whose
        partitions are all paused sleeps for up to a second.
        """
        consumer.incremental_assign([])
        numbers = self._numbers(partitions)
        self._owned |= numbers
        self._reassigned.append(Assigned(numbers))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions, lost=False)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions, lost=True)

    def _drop(self, partitions: list[TopicPartition], *, lost: bool) -> None:
        numbers = self._numbers(partitions)
        assert not self._partitions.positions.next, "an assignment changed while a transaction was open"
        self._stop_reading(numbers)
        self._owned -= numbers
        self._reassigned.append(Revoked(numbers, lost))

    def _numbers(self, partitions: Iterable[TopicPartition]) -> frozenset[int]:
        """Return their numbers. Partitions that were added later are left out: they have no states, see `Survey`."""
        return frozenset(place.partition for place in partitions if place.partition < self._conf.partitions)

    def _stop_reading(self, partitions: Collection[int]) -> None:
        self._restored.difference_update(partitions)
        self._partitions.stop(partitions)

    def _notice_all(self, messages: Sequence[Message]) -> list[RawRecord]:
        """Return the records among `messages`, and note the errors, all in their order.

        Behind a batch that cannot be read, all records of its partition are left out.
        """
        records = []
        for message in messages:
            problem = message.error()
            if is_unreadable(message):
                self._partitions.put_off(message)
            elif problem is not None:
                self._notice(message, problem)
            elif message.partition() in self._partitions.reading:
                records.append(cast("RawRecord", message))
        return records

    def _notice(self, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            if partition in self._partitions.reading:
                self._partitions.positions.ends[partition] = offset
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._begin_again(message)
        elif error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal = self._failure(error)
            raise self._fatal
        else:
            raise self._failure(error)

    def _failure(self, error: KafkaError) -> A3CPError:
        raw = self._conf.raw
        return failure(f"reading {raw}", error, conf=self._conf.common, needs=f"Read on topic {raw}")

    def _begin_again(self, message: Message) -> None:
        """Go on where the log begins now: the next record is no longer there."""
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        if partition in self._partitions.reading:
            self._partitions.unassign([partition])
            try:
                self._partitions.begin(self._beginnings.at(self._admin, {partition: offset}))
            except KafkaException as error:
                raise failure("beginning to read", error) from error

    def _on_error(self, error: KafkaError) -> None:
        """Keep a fatal error. librdkafka tries connections again by itself."""
        if error.fatal():
            self._fatal = failure("polling", error)

    def _set_away(self, why: str | None) -> None:
        """Report when no broker answers any more, and when one answers again."""
        if (why is not None) != self._away:
            self._away = why is not None
            self._observer.broker(why)

    def _fence_the_dead(self) -> None:
        """Abort the open transactions of slots without a member: they hide states from the restore."""
        conf = self._conf
        fence(conf.producer, conf.group_id, dead_slots(self._admin, conf.group_id, conf.slot, conf.partitions))
