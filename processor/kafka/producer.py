"""Writes records outside of transactions: idempotent, acknowledged by all, in the partition that Java would choose."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from processor.codec.headers import Headers
from processor.errors import A3CPError, BrokerUnavailable, UsageError
from processor.kafka.failures import failure, no_topic, reaching
from processor.kafka.reading.records import place_of
from processor.runtime.partitioner import partition_of
from processor.upstream.words.counting import counted

QUEUE_RECORDS_MAX: Final = 10_000
DELIVERY_TIMEOUT_S: Final = 30.0
_METADATA_TIMEOUT_S: Final = 10.0
_QUEUE_FULL_POLL_S: Final = 0.05

_PRODUCER: Final[dict[str, Any]] = {
    "linger.ms": 5,
    "socket.connection.setup.timeout.ms": 5_000,
    "message.max.bytes": 4 << 20,  # The broker's topics decide; see topics/*.yaml.
}
_OURS: Final[dict[str, Any]] = {"enable.idempotence": True, "acks": "all"}


class RecordProducer:
    """Sends records to one topic; may be used by several threads.

    If a record cannot be delivered, its callback gets the error. Without a callback, the next `send` or `flush` raises
    it.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        topic: str,
        *,
        queue_records_max: int = QUEUE_RECORDS_MAX,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
        queue_wait_s: float | None = None,
        calls_back: bool = True,
    ) -> None:
        """Connect.

        Args:
            conf: librdkafka's properties, where the brokers are at least.
            topic: where the records go.
            queue_records_max: records that wait to be delivered; `send` waits when there are as many.
            delivery_timeout_s: how long a record is tried for.
            queue_wait_s: how long `send` waits for a place in the queue; by default the delivery time-out.
            calls_back: whether `send` calls back for records that are delivered by then; `waiting` always does.

        Raises:
            UsageError: the topic does not exist, or the client refuses a property.
            BrokerUnavailable: no broker answers.
        """
        self._topic = topic
        self._conf = conf
        self._timeout_s = delivery_timeout_s
        self._queue_wait_s = delivery_timeout_s if queue_wait_s is None else queue_wait_s
        self._calls_back = calls_back
        self._lock = threading.Lock()
        self._failed = 0
        self._first: A3CPError | None = None
        ours = {"queue.buffering.max.messages": queue_records_max, "message.timeout.ms": int(delivery_timeout_s * 1000)}
        with reaching("connecting", conf):
            self._producer = Producer({**_PRODUCER, **conf, **ours, **_OURS})
            known = self._producer.list_topics(timeout=_METADATA_TIMEOUT_S).topics
        if topic not in known:
            raise no_topic(topic)
        self.partitions = len(known[topic].partitions)

    def send(
        self,
        value: bytes,
        key: bytes | None,
        *,
        partition: int | None = None,
        headers: Headers | None = None,
        on_done: Callable[[A3CPError | None], None] | None = None,
        on_place: Callable[[int, int], None] | None = None,
    ) -> int:
        """Queue a record and return its partition: the given one, else that of murmur2(key).

        Once it is delivered, `on_place` gets its partition and offset.

        Raises:
            BrokerUnavailable: the queue has been full for as long as `send` waits.
            A3CPError: an earlier record was not delivered. Then this one was not sent.
        """
        self.raise_failures()
        if partition is None:
            partition = partition_of(key if key is not None else value, self.partitions)

        def delivered(error: KafkaError | None, sent: Message) -> None:
            if on_place is not None and error is None:
                on_place(*place_of(sent)[1:])
            outcome = None if error is None else self._undelivered(error, len(value))
            if on_done is not None:
                on_done(outcome)
            elif outcome is not None:
                with self._lock:
                    self._failed += 1
                    self._first = self._first or outcome

        deadline_s = time.monotonic() + self._queue_wait_s
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, partition, on_delivery=delivered, headers=list(headers or ())
                )
                break
            except BufferError:
                if time.monotonic() > deadline_s:
                    raise BrokerUnavailable(
                        f"{counted(len(self._producer), 'record waits', 'records wait')} to be "
                        "delivered, and no place was free within "
                        f"{self._queue_wait_s:g} s",
                        remedy="see that the broker runs, and that it is the one that is named",
                    ) from None
                self._call(self._producer.poll, _QUEUE_FULL_POLL_S)
            except KafkaException as error:
                raise self._undelivered(error.args[0], len(value)) from error
        if self._calls_back:
            self._call(self._producer.poll, 0)
        return partition

    def flush(self) -> None:
        """Wait until all records are delivered or have failed.

        Raises:
            A3CPError: some were not delivered.
        """
        self._call(self._producer.flush, self._timeout_s + 1)
        self.raise_failures()

    def give_up(self) -> None:
        """Try no longer to deliver what is not acknowledged: it fails, though some of it may be in the log.

        It fails as `BrokerUnavailable`, told by whoever asks next (`waiting`, `send`, `flush`).
        """
        self._producer.purge(blocking=False)

    def waiting(self, timeout_s: float = 0) -> int:
        """Call back for records that are delivered within `timeout_s`. Return how many are not delivered yet."""
        self._call(self._producer.poll, timeout_s)
        return len(self._producer)

    def raise_failures(self) -> None:
        """Raise the error of records without a callback that were not delivered; each once."""
        with self._lock:
            failed, first = self._failed, self._first
            self._failed, self._first = 0, None
        if first is not None:
            count = counted(failed, "record was", "records were")
            raise type(first)(f"{count} not delivered: {first.what}", remedy=first.remedy)

    def _call(self, act: Callable[[float], object], timeout_s: float) -> None:
        """Call the client, which raises a fatal error out of whatever is called next.

        If a delivery callback is, what comes is a SystemError with the client's error as its cause.
        """
        try:
            act(timeout_s)
        except (KafkaException, SystemError) as error:
            cause = error if isinstance(error, KafkaException) else error.__cause__
            if not isinstance(cause, KafkaException):
                raise
            raise self._undelivered(cause.args[0], 0) from error

    def _undelivered(self, error: KafkaError, size_bytes: int) -> A3CPError:
        code = error.code()
        if code in (KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            return BrokerUnavailable(
                f"{self._topic}: no broker acknowledged it within {self._timeout_s:.0f} s",
                remedy="see that the broker runs, and that it is the one that is named, then send it again",
            )
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            return UsageError(
                f"{self._topic}: a record of {size_bytes} bytes is larger than the topic takes",
                remedy="leave media out of messages; max.message.bytes in topics/ is the limit",
            )
        needs = f"Write on topic {self._topic}"
        return failure(f"writing to {self._topic}", error, conf=self._conf, needs=needs)
