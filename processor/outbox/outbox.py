"""The outbox: sends what it is given; what Kafka does not take waits in a file, and is sent when Kafka is back.

A sender uses it in place of a producer. While Kafka answers, a record goes straight to the producer. Once it does not,
all that is not acknowledged goes into the file, in the order in which it was sent, and so does what comes later. As
long as a record of a user waits, every later one of that user queues behind it.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from processor.codec.headers import Headers
from processor.codec.isotime import wall_ms
from processor.errors import A3CPError, BrokerUnavailable, Fatal, RecordError, UsageError
from processor.outbox.direct import WINDOW_RECORDS, Direct, Sending
from processor.outbox.file import is_damage
from processor.outbox.ports import Kept, OnDone, RawProducer, Stock, Watcher
from processor.outbox.queue import Queue
from processor.outbox.waiting import Waiting
from processor.runtime.backoff import backoff_s
from processor.upstream.words.counting import counted

PATIENCE_S: Final = 3.0
"""For how long a record may be unacknowledged before Kafka counts as away."""

DIRECT_RECORDS_MAX: Final = 10_000
"""Records in memory that are not acknowledged; more than that go into the file."""

_TURN_S: Final = 0.05
_FIRST_WAIT_S: Final = 0.5
_WAIT_S_MAX: Final = 5.0
_FILE_WAIT_S: Final = 1.0  # after trouble with the file
_REFUSALS: Final = (UsageError, RecordError)  # The record is at fault; anything else is Kafka's.


class Outbox:
    """Appends to the raw topic, through a file while Kafka is away; may be used by several threads.

    `start` makes a thread that does all that takes time (`turn`): it writes the file, watches the producer, drains.
    """

    def __init__(
        self,
        connect: Callable[[], RawProducer],
        queue: Queue,
        *,
        watcher: Watcher,
        bytes_max: int,
        age_ms_max: int,
        was_seen: Callable[[Kept], bool] = lambda _: False,
        patience_s: float = PATIENCE_S,
        now_ms: Callable[[], int] = wall_ms,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with what `queue` holds.

        Args:
            connect: makes the producer; called again as long as it raises `BrokerUnavailable`, and after a fatal error.
            queue: the file; the outbox closes it.
            watcher: is told how the outbox stands.
            bytes_max: most that may be in the file, bytes.
            age_ms_max: once a record has waited longer than this, ms, no more are taken.
            was_seen: whether a record is known to be in the log already, so that it is not sent again.
            patience_s: for how long a record may be unacknowledged before Kafka counts as away.
            now_ms, monotonic_s: the clocks.

        Raises:
            A3CPError: as `connect`, but for `BrokerUnavailable`.
        """
        self._connect = connect
        self._queue = queue
        self._watcher = watcher
        self.was_seen = was_seen
        self._patience_s = patience_s
        self._monotonic_s = monotonic_s
        self._lock = threading.RLock()
        self._told: deque[Callable[[], None]] = deque()  # what callers are to be told, outside of the lock
        self._direct = Direct()
        self._waiting = Waiting(
            queue, self._lock, watcher, bytes_max=bytes_max, age_ms_max=age_ms_max, now_ms=now_ms,
            monotonic_s=monotonic_s, tell=self._told.append,
        )  # fmt: skip
        self._draining: dict[int, Kept] = {}  # from the file, with the producer
        self._undelivered: list[A3CPError] = []  # what no caller was told
        self._producer: RawProducer | None = None
        self._is_away = False
        self._failures = 0  # to reach Kafka, in a row
        self._again_s = monotonic_s()  # when it is tried next
        self._file_again_s = self._again_s  # when the file is used next
        self._why: A3CPError = BrokerUnavailable("records of an earlier run wait")
        self._draining_since_s = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        if queue.damaged is not None:
            watcher.damaged(str(queue.damaged))
        try:
            self._reach()
        except BrokerUnavailable as error:
            self._leave(error)
        if self._waiting.records:
            self._waiting.open(self._why)
        self._show()

    # --- for senders

    def send(
        self,
        value: bytes,
        key: bytes,
        *,
        record_id: str | None = None,
        headers: Headers | None = None,
        on_done: OnDone | None = None,
        on_kept: Callable[[], None] | None = None,
    ) -> None:
        """Send a record, or keep it.

        Args:
            value, key: the record's.
            record_id: by which people find it.
            headers: the record's. Of one that has to wait those are kept that say its trace.
            on_done: called once the record is delivered (None) or was refused (why).
            on_kept: called in its place once the record is safely in the file; None if it must not wait.

        Raises:
            BrokerUnavailable: Kafka is away, and the record must not wait.
            OutboxFull: Kafka is away, and the outbox takes no more.
            A3CPError: an earlier record without `on_done` was refused (this one was not sent, then).
        """
        self._raise_undelivered()
        one = Sending(key, record_id, value, on_done or self._note_undelivered, on_kept, headers)
        with self._lock:
            if self._is_away or self._waiting.waits(key) or len(self._direct) >= DIRECT_RECORDS_MAX:
                self._keep(one)
            else:
                self._direct.add(one)
                self._hand_over(key)
        self._tell()

    def waiting(self, timeout_s: float = 0) -> int:
        """Return how many records are neither delivered nor in the file yet; calls back for those that are."""
        self._poll(timeout_s)
        with self._lock:
            return len(self._direct) + self._waiting.pending

    def flush(self) -> None:
        """Wait until every record is delivered, is in the file, or was refused.

        Raises:
            A3CPError: some that had no `on_done` were refused.
        """
        while self.waiting():
            if self._thread is None:
                self.turn(_TURN_S)
            else:
                self._stopping.wait(_TURN_S)
        self._raise_undelivered()

    @property
    def stock(self) -> Stock:
        """What is in the file, with what is about to be."""
        with self._lock:
            return self._waiting.stock

    def standing(self) -> tuple[Stock, bool]:
        """Return what is in the file, and whether Kafka counts as away."""
        return self.stock, self._is_away

    @property
    def is_away(self) -> bool:
        """Whether Kafka counts as away."""
        return self._is_away

    def waits(self, key: bytes) -> bool:
        """Whether a record of the user waits."""
        return self._waiting.waits(key)

    def start(self) -> None:
        """Do what takes time in a thread, until `close`."""
        self._thread = threading.Thread(target=self._run, name="a3cp-outbox", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop. What is not delivered by then is in the file, or its sender is told that it is not.

        Raises as `flush` does.
        """
        try:
            self.flush()
        finally:
            self._stopping.set()
            if self._thread is not None:
                self._thread.join()
            until_s = self._monotonic_s() + self._patience_s
            while self._draining and not self._is_away and self._monotonic_s() < until_s:
                self.turn(_TURN_S)
            self._queue.close()

    # --- what takes time: one thread

    def turn(self, wait_s: float = 0) -> None:
        """Do all that there is to do now; wait for the producer for `wait_s` at most."""
        try:
            self._reach()
        except A3CPError as error:
            with self._lock:
                self._leave(error)
        self._poll(wait_s)
        with self._lock:
            self._look_at_clock()
        self._tell()
        if self._monotonic_s() >= self._file_again_s:
            try:
                self._waiting.store(self._why)
                self._settle()
                self._drain()
            except sqlite3.Error as error:
                self._recover(error)
            self._tell()
        self._show()

    def _show(self) -> None:
        records, size_bytes, oldest_ms, _ = self.stock
        self._watcher.holds(records, size_bytes, oldest_ms)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.turn(_TURN_S)

    def _reach(self) -> None:
        """Connect, if there is no producer and it is time to try."""
        if self._producer is None and self._monotonic_s() >= self._again_s:
            self._producer = self._connect()

    def _poll(self, wait_s: float) -> None:
        """Let the producer tell what was acknowledged, and hand over what that makes room for."""
        producer = self._producer
        if producer is None:
            self._stopping.wait(wait_s)
        else:
            producer.waiting(wait_s)
        with self._lock:
            for key in self._direct.users():
                self._hand_over(key)
        self._tell()

    def _look_at_clock(self) -> None:
        """Leave Kafka alone if a record has been unacknowledged for too long."""
        now_s = self._monotonic_s()
        oldest_s = self._direct.oldest_s
        if self._draining:
            oldest_s = min(oldest_s, self._draining_since_s)
        if now_s - oldest_s > self._patience_s:
            self._leave(BrokerUnavailable(f"Kafka has not acknowledged a record within {self._patience_s:g} s"))
        elif self._is_away and self._producer is not None and now_s >= self._again_s and not self.stock.records:
            self._is_away = False  # Nothing waits to try with, so the next record that comes is tried.

    def _settle(self) -> None:
        """Let the file know what came of its records; then half of the time is for those who send now."""
        if self._waiting.settle() and not self._draining and not self._is_away:
            now_s = self._monotonic_s()
            self._again_s = now_s + (now_s - self._draining_since_s)

    def _drain(self) -> None:
        """Send the next records of the file, once the last ones are acknowledged and as much time has passed again."""
        if self._draining or not self._waiting.is_settled or self._stopping.is_set():
            return
        if self._producer is None or not self._waiting.records or self._monotonic_s() < self._again_s:
            return
        records = self._waiting.first(1 if self._is_away else WINDOW_RECORDS)
        seen = [record for record in records if self.was_seen(record)]
        with self._lock:
            for record in seen:
                self._waiting.acknowledged(record.seq)
            self._draining_since_s = self._monotonic_s()
            draining = self._draining = {record.seq: record for record in records if record not in seen}
            for record in list(draining.values()):
                if self._draining is not draining:  # Kafka was left in between.
                    return
                try:
                    done = partial(self._drained, record)
                    self._producer.send(record.value, record.key, headers=record.trace, on_done=done)
                except A3CPError as error:
                    self._drained(record, error)

    def _recover(self, error: sqlite3.Error) -> None:
        """Go on after the file could not be read or written; a damaged one is set aside."""
        self._watcher.troubled(A3CPError(f"the outbox at {self._queue.path} cannot be used ({error})"))
        self._file_again_s = self._monotonic_s() + _FILE_WAIT_S
        if not is_damage(error):
            return
        with self._lock:
            self._draining = {}
        self._waiting.reopen()

    # --- under the lock

    def _hand_over(self, key: bytes) -> None:
        """Give the producer the next records of a user, as many as may be on their way at once."""
        assert self._producer is not None
        while (one := self._direct.next_of(key, self._monotonic_s())) is not None:
            try:
                self._producer.send(one.value, one.key, headers=one.headers, on_done=partial(self._delivered, one))
            except A3CPError as error:
                self._delivered(one, error)

    def _keep(self, one: Sending) -> None:
        """Keep a record.

        Raises:
            OutboxFull: there is no room.
            BrokerUnavailable: it must not wait.
        """
        if one.on_kept is None:
            raise BrokerUnavailable(self._why.what, remedy=self._why.remedy)
        self._waiting.keep(one)

    def _leave(self, why: A3CPError) -> None:
        """Leave Kafka alone for a while; what it has not acknowledged is kept, in the order in which it was sent."""
        self._is_away, self._why = True, why
        self._failures += 1
        self._again_s = self._monotonic_s() + backoff_s(self._failures, first_s=_FIRST_WAIT_S, max_s=_WAIT_S_MAX)
        self._draining = {}
        for one in self._direct.clear():
            try:
                self._keep(one)
            except A3CPError as error:
                self._told.append(partial(one.on_done, error))
        producer = self._producer
        if isinstance(why, Fatal):  # It sends nothing any more.
            self._producer = None
        if producer is not None:
            producer.give_up()

    def _delivered(self, one: Sending, error: A3CPError | None) -> None:
        """Take note of what came of a record that was sent straight away."""
        with self._lock:
            if one.is_kept:  # It was given up, but may be in the log all the same.
                if error is None and one.seq is not None:
                    self._waiting.acknowledged(one.seq)
                one.is_delivered |= error is None
            elif one in self._direct:
                if error is not None and not isinstance(error, _REFUSALS):
                    self._leave(error)
                    return
                self._direct.remove(one)
                self._told.append(partial(one.on_done, error))

    def _drained(self, record: Kept, error: A3CPError | None) -> None:
        """Take note of what came of a record from the file."""
        with self._lock:
            if self._draining.pop(record.seq, None) is None:
                if error is None:  # It was given up, but is in the log.
                    self._waiting.acknowledged(record.seq)
            elif error is None:
                self._waiting.acknowledged(record.seq)
                self._is_away, self._failures = False, 0
            elif isinstance(error, _REFUSALS):
                self._waiting.refused(record, error)
            else:
                self._leave(error)

    # --- telling those who sent, outside of the lock

    def _tell(self) -> None:
        while self._told:
            try:
                tell = self._told.popleft()
            except IndexError:  # Another thread was quicker.
                return
            tell()

    def _note_undelivered(self, error: A3CPError | None) -> None:
        if error is not None:
            self._undelivered.append(error)

    def _raise_undelivered(self) -> None:
        if self._undelivered:
            undelivered, self._undelivered = self._undelivered, []
            first, count = undelivered[0], len(undelivered)
            words = counted(count, "record was", "records were")
            raise type(first)(f"{words} not delivered: {first.what}", remedy=first.remedy)
