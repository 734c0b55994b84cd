"""Transactions, one after the other, over two producers that take turns.

Alternating hides the 20 ms that librdkafka waits when the broker is still writing the last transaction's markers
(CONCURRENT_TRANSACTIONS). Figures: docs/performance.md.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from processor.errors import Aborted, OutcomeUnknown
from processor.kafka.failures import error_of, failure, is_outdated
from processor.runtime.ports import Output

T = TypeVar("T")

PRODUCERS: Final = 2
_FENCED_AT_ONCE: Final = 16  # slots
_INIT_TIMEOUT_S: Final = 10.0
_INIT_LOOK_S: Final = 0.1  # It takes 0.03 to 0.08 s if nothing was left open.
_ABORT_TIMEOUT_S: Final = 1.0
_QUEUE_FULL_POLL_S: Final = 0.01
_COMMIT_TIMEOUT_S: Final = 4.0  # It takes some ms. A longer one is mostly one that never returns, see `_Calls`.
_SLOW_S: Final = 2.0
_NEEDS: Final = "Write on that topic"
_HUNG_AFTER_S: Final = 1.0  # beyond a call's own time-out


def transactional_id(group_id: str, slot: int | str, number: int) -> str:
    """Return the transactional id of producer `number` of a slot; a successor in the slot fences its predecessor."""
    return f"{group_id}-{slot}-{number}"


class Transactions:
    """Begins, fills and commits transactions. After any error, `close` it and make a new one."""

    def __init__(
        self, conf: Mapping[str, Any], group_id: str, slot: int | str, on_slow: Callable[[str], None] = lambda _: None
    ) -> None:
        """Abort what a predecessor in this slot left open, and fence it.

        `slot` is a worker's, or names what runs while no worker does. `on_slow` is called if a commit has no answer for
        a while.

        Raises:
            BrokerUnavailable, OwnershipLost, Fatal: see `failure`.
        """
        self._producers = [
            Producer({**conf, "transactional.id": transactional_id(group_id, slot, number)})
            for number in range(PRODUCERS)
        ]
        try:
            for producer in self._producers:
                _prepare(producer)
        except KafkaException as error:
            raise failure("preparing transactions", error, conf=conf) from error
        self._conf = conf
        self._turn = 0
        self._open = False
        self._timeout_s = int(conf["transaction.timeout.ms"]) / 1000
        self._on_slow = on_slow
        self._calls = _Calls()

    def send(self, outputs: Sequence[Output]) -> None:
        """Produce `outputs` in the open transaction. If there is none, open one.

        Raises:
            OutcomeUnknown, OwnershipLost, Fatal: see `failure`. Also if the broker refused earlier records.
        """
        producer = self._producers[self._turn]
        try:
            if not self._open:
                producer.begin_transaction()
                self._open = True
            produce = producer.produce
            for topic, value, key, partition, headers in outputs:
                if not headers:
                    try:
                        produce(topic, value, key, partition)
                        continue
                    except BufferError:
                        pass
                _produce_when_there_is_room(producer, (topic, value, key, partition, headers))
            producer.poll(0)
        except KafkaException as error:
            if error_of(error).code() == KafkaError._STATE:
                _raise_refused(producer, self._conf)
            raise failure("producing", error, in_transaction=True, conf=self._conf, needs=_NEEDS) from error

    def commit(self, offsets: list[TopicPartition], group_metadata: object) -> None:
        """Commit what was sent together with the input `offsets` (next to read).

        All records are acknowledged before the offsets join the transaction. So a successor that sees the offsets
        committed finds the states below the end of their topic, as it was when its restore began.

        Records are waited for as long as the transaction may last: after that the broker aborts it. The commit itself
        has less time. A time-out is safe here, since the producers are thrown away after it.

        Raises:
            Aborted: the group is in another generation than `group_metadata`; the transaction is aborted.
            OutcomeUnknown, OwnershipLost, Fatal: see `failure`.
        """
        assert offsets, "without offsets nothing fences a late owner"
        producer = self._producers[self._turn]
        try:
            if not self._open:
                producer.begin_transaction()
                self._open = True
            self._await_acknowledged()
            deadline_s = time.monotonic() + _COMMIT_TIMEOUT_S

            def finish() -> None:
                producer.send_offsets_to_transaction(offsets, group_metadata, _left(deadline_s))
                producer.commit_transaction(_left(deadline_s))

            self._call(finish, _COMMIT_TIMEOUT_S)
        except KafkaException as error:
            if is_outdated(error):
                self.abort()
                raise Aborted(f"the group has moved on: {error_of(error).str()}") from error
            raise failure("committing", error, in_transaction=True, conf=self._conf, needs=_NEEDS) from error
        self._next_turn()

    def try_out(self, output: Output, look: Callable[[], T]) -> T:
        """Return what `look` returns while `output` is in the log, uncommitted. Then abort.

        Raises:
            BrokerUnavailable, OutcomeUnknown, OwnershipLost, Fatal: see `failure`.
        """
        assert not self._open
        self.send([output])
        try:
            self._await_acknowledged()
            found = look()
        except KafkaException as error:
            raise failure("trying out a write", error, in_transaction=True, conf=self._conf, needs=_NEEDS) from error
        self.abort()
        return found

    def _await_acknowledged(self) -> None:
        deadline_s = time.monotonic() + self._timeout_s
        producer = self._producers[self._turn]
        while producer.flush(_SLOW_S):
            _raise_refused(producer, self._conf)  # After a refusal the rest is never sent.
            self._on_slow(f"outputs have not been acknowledged for {_SLOW_S:.0f} s")
            if time.monotonic() > deadline_s:
                raise OutcomeUnknown(f"outputs were not acknowledged within {self._timeout_s:.0f} s")

    def abort(self) -> None:
        """Abort the open transaction, if there is one."""
        if self._open:
            try:
                abort = self._producers[self._turn].abort_transaction
                self._call(lambda: abort(_COMMIT_TIMEOUT_S), _COMMIT_TIMEOUT_S)
            except KafkaException as error:
                raise failure("aborting", error, in_transaction=True) from error
            self._next_turn()

    def _call(self, function: Callable[[], None], timeout_s: float) -> None:
        self._calls.call(
            function,
            timeout_s + _HUNG_AFTER_S,
            on_slow=lambda: self._on_slow(f"a commit has not been answered for {_SLOW_S:.0f} s"),
        )

    def _next_turn(self) -> None:
        self._open = False
        self._turn = (self._turn + 1) % PRODUCERS

    def close(self) -> None:
        """Abort the open transaction and let go of the producers. It never raises: a successor would abort it, too."""
        if self._open and not self._calls.hung:
            abort = self._producers[self._turn].abort_transaction
            with contextlib.suppress(KafkaException, OutcomeUnknown):
                self._call(lambda: abort(_ABORT_TIMEOUT_S), _ABORT_TIMEOUT_S)
        self._calls.close()
        for producer in self._producers:
            with contextlib.suppress(KafkaException):
                producer.purge()
        self._producers.clear()


class _Calls:
    """Makes calls in a thread, so that a call that never returns does not stop the worker.

    Where the group's coordinator goes, as in a restart of a broker, `send_offsets_to_transaction` may hang for ever,
    whatever its time-out (librdkafka 2.16, its issue 5456; tests/broker/test_exactly_once.py). Such a thread is left
    behind with its producer.
    """

    def __init__(self) -> None:
        self.hung = False
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[KafkaException | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], None], timeout_s: float, *, on_slow: Callable[[], None]) -> None:
        """Call `function`, and raise the `KafkaException` that it raises.

        Raises:
            OutcomeUnknown: it has not returned after `timeout_s`.
        """
        assert not self.hung
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="a3cp-transactions", daemon=True)
            self._thread.start()
        self._todo.put(function)
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                error = self._done.get(timeout=_SLOW_S)
                break
            except queue.Empty:
                on_slow()
            if time.monotonic() > deadline_s:
                self.hung = True
                raise OutcomeUnknown(f"a transaction call has not returned within {timeout_s:.0f} s")
        if error is not None:
            raise error

    def close(self) -> None:
        """Let the thread end."""
        self._todo.put(None)

    def _run(self) -> None:
        while (function := self._todo.get()) is not None:
            try:
                function()
                self._done.put(None)
            except KafkaException as error:
                self._done.put(error)
            del function  # It holds a producer, which is to be let go of.


def _prepare(producer: Producer) -> None:
    """Have the broker abort what a predecessor left open.

    It aborts within some ms, but answers the first request that it has not done so yet. librdkafka (2.16) asks again
    after 0.5 s, or at once if it is called again.

    Raises:
        KafkaException: it cannot, or not within 10 s.
    """
    deadline_s = time.monotonic() + _INIT_TIMEOUT_S
    while True:
        try:
            producer.init_transactions(_INIT_LOOK_S)
        except KafkaException as error:
            if not error_of(error).retriable() or time.monotonic() >= deadline_s:
                raise
        else:
            return


def _left(deadline_s: float) -> float:
    return max(0.1, deadline_s - time.monotonic())


def _raise_refused(producer: Producer, conf: Mapping[str, Any]) -> None:
    """Raise the reason if the open transaction of `producer` cannot be committed.

    Beginning a second transaction is always refused: with that reason, or because one is open. A delivery callback does
    not work: at a fatal error confluent_kafka calls it with an exception pending, which ends in a SystemError.
    """
    try:
        producer.begin_transaction()
    except KafkaException as error:
        if error_of(error).code() != KafkaError._STATE:
            raise failure("producing", error, in_transaction=True, conf=conf, needs=_NEEDS) from error


def _produce_when_there_is_room(producer: Producer, output: Output) -> None:
    topic, value, key, partition, headers = output
    while True:
        try:
            producer.produce(topic, value, key, partition, headers=list(headers or ()))
            return
        except BufferError:  # The queue's limit, `queue.buffering.max.*`, is reached: wait for the broker.
            producer.poll(_QUEUE_FULL_POLL_S)


def fence(conf: Mapping[str, Any], group_id: str, slots: Iterable[int]) -> None:
    """Abort what dead workers left open in their `slots`.

    Until they time out, their open transactions would hide the states behind them from their successors. Several slots
    are done at once: each takes about 0.3 s, nearly all of it waiting, and the worker's loop stands still meanwhile.
    So 100 slots take 3 s instead of 30 (2 cores, November 2026).

    Raises:
        BrokerUnavailable, OwnershipLost, Fatal: see `failure`.
    """
    with ThreadPoolExecutor(_FENCED_AT_ONCE, thread_name_prefix="a3cp-fence") as threads:
        for _ in threads.map(lambda slot: Transactions(conf, group_id, slot).close(), slots):
            pass
