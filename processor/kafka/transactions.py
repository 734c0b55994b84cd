"""Transactions, one after the other, over two producers that take turns.

Alternating hides the 20 ms that librdkafka waits when the broker is still writing the last transaction's markers
(CONCURRENT_TRANSACTIONS). Figures: docs/performance.md.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaException, Producer, TopicPartition

from processor.core.errors import Aborted
from processor.kafka.failures import error_of, failure, is_outdated
from processor.ports import Output

PRODUCERS: Final = 2
_INIT_TIMEOUT_S: Final = 10.0
_QUEUE_FULL_POLL_S: Final = 0.01


def transactional_id(group_id: str, slot: int, number: int) -> str:
    """Return the transactional id of producer `number` of a slot; a successor in the slot fences its predecessor."""
    return f"{group_id}-{slot}-{number}"


class Transactions:
    """Begins, fills and commits transactions; after any error it is to be thrown away (`close`) and made anew."""

    def __init__(self, conf: Mapping[str, Any], group_id: str, slot: int) -> None:
        """Abort what a predecessor in this slot left open, and fence it.

        Raises:
            BrokerUnavailable, OwnershipLost, Fatal: see `failure`.
        """
        self._producers = [
            Producer({**conf, "transactional.id": transactional_id(group_id, slot, number)})
            for number in range(PRODUCERS)
        ]
        try:
            for producer in self._producers:
                producer.init_transactions(_INIT_TIMEOUT_S)
        except KafkaException as error:
            raise failure("preparing transactions", error) from error
        self._turn = 0
        self._open = False

    def send(self, outputs: Sequence[Output]) -> None:
        """Produce `outputs` in the open transaction; opens one when there is none."""
        producer = self._producers[self._turn]
        try:
            if not self._open:
                producer.begin_transaction()
                self._open = True
            produce = producer.produce
            for topic, value, key, partition, headers in outputs:
                if headers is None:
                    try:
                        produce(topic, value, key, partition)
                        continue
                    except BufferError:
                        pass
                _produce_when_there_is_room(producer, (topic, value, key, partition, headers))
            producer.poll(0)
        except KafkaException as error:
            raise failure("producing", error, in_transaction=True) from error

    def commit(self, offsets: list[TopicPartition], group_metadata: object) -> None:
        """Commit what was sent together with the input `offsets` (next to read).

        All records are acknowledged before the offsets join the transaction: a successor that sees the offsets
        committed then finds the states below the end of their topic as it was when its restore began.

        Raises:
            Aborted: the group is in another generation than `group_metadata`; the transaction is aborted.
        """
        assert offsets, "without offsets nothing fences a late owner"
        producer = self._producers[self._turn]
        try:
            if not self._open:
                producer.begin_transaction()
                self._open = True
            producer.flush()
            producer.send_offsets_to_transaction(offsets, group_metadata)
            producer.commit_transaction()
        except KafkaException as error:
            if is_outdated(error):
                self.abort()
                raise Aborted(f"the group has moved on: {error_of(error).str()}") from error
            raise failure("committing", error, in_transaction=True) from error
        self._next_turn()

    def abort(self) -> None:
        """Abort the open transaction, if there is one."""
        if self._open:
            try:
                self._producers[self._turn].abort_transaction()
            except KafkaException as error:
                raise failure("aborting", error, in_transaction=True) from error
            self._next_turn()

    def _next_turn(self) -> None:
        self._open = False
        self._turn = (self._turn + 1) % PRODUCERS

    def close(self) -> None:
        """Abort what is open and let go of the producers; never raises, since a successor aborts it all the same."""
        if self._open:
            with contextlib.suppress(KafkaException):
                self._producers[self._turn].abort_transaction(1.0)
        for producer in self._producers:
            with contextlib.suppress(KafkaException):
                producer.purge()
        self._producers.clear()


def _produce_when_there_is_room(producer: Producer, output: Output) -> None:
    topic, value, key, partition, headers = output
    while True:
        try:
            producer.produce(topic, value, key, partition, headers=list(headers or ()))
            return
        except BufferError:  # The queue's limit, `queue.buffering.max.*`, is reached: wait for the broker.
            producer.poll(_QUEUE_FULL_POLL_S)


def fence(conf: Mapping[str, Any], group_id: str, slot: int) -> None:
    """Abort what a dead worker left open in its `slot`.

    Its open transaction would hide the states behind it from its successors until it times out.
    """
    Transactions(conf, group_id, slot).close()
