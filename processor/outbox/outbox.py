"""The outbox: sends what it is given; what Kafka does not take waits in a file, and is sent when Kafka is back.

A sender uses it in place of a producer. While Kafka answers, a record goes straight to the producer. Once it does not,
all that is not acknowledged goes into the file, in the order in which it was sent, and so does what comes later. As
long as a record of a user waits, every later one of that user queues behind it.
"""

import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from processor.errors import A3CPError, BrokerUnavailable, Fatal, OutboxFull, RecordError, UsageError
from processor.outbox.file import is_damage
from processor.outbox.ports import Kept, OnDone, RawProducer, Stock, Watcher
from processor.outbox.queue import RECORD_BYTES, Queue
from processor.runtime.backoff import backoff_s

PATIENCE_S: Final = 3.0
"""For how long a record may be unacknowledged before Kafka counts as away."""

WINDOW_RECORDS: Final = 20
"""Records of one user that are on their way at once: fewer than those among which the processor knows a repeat."""

DIRECT_RECORDS_MAX: Final = 10_000
"""Records in memory that are not acknowledged; more than that go into the file."""

_TURN_S: Final = 0.05
_FIRST_WAIT_S: Final = 0.5
_WAIT_S_MAX: Final = 5.0
_FILE_WAIT_S: Final = 1.0  # after trouble with the file
_REFUSALS: Final = (UsageError, RecordError)  # The record is at fault; anything else is Kafka's.
_REMEDY: Final = "see that Kafka runs; keep the record, and send it again later"
_STORED_BYTES_MAX: Final = 1 << 20  # of one transaction, roughly: its part of the write-ahead log


@dataclass(slots=True, eq=False)
class _Sending:
    """A record that somebody has sent and has heard nothing of yet."""

    key: bytes
    record_id: str | None
    value: bytes
    on_done: OnDone
    on_kept: Callable[[], None] | None  # None: it must not wait
    since_s: float = float("inf")  # since when the producer has it
    is_kept: bool = False  # it is in the file, or about to be
    is_delivered: bool = False  # though it is kept
    seq: int | None = None  # its place in the file

    @property
    def size_bytes(self) -> int:
        """What it takes in the file."""
        return len(self.key) + len(self.value) + RECORD_BYTES


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
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
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
        self._bytes_max = bytes_max
        self._age_ms_max = age_ms_max
        self.was_seen = was_seen
        self._patience_s = patience_s
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._lock = threading.RLock()
        self._told: deque[Callable[[], None]] = deque()  # what callers are to be told, outside of the lock
        self._direct: dict[_Sending, None] = {}  # with the producer, in the order of the calls
        self._held: dict[bytes, deque[_Sending]] = {}  # of those the ones that the producer has not yet, by user
        self._on_way: Counter[bytes] = Counter()  # how many it has, by user
        self._pending: list[_Sending] = []  # to be stored
        self._waits: Counter[bytes] = Counter(queue.users())  # records in the file or about to be, by user
        self._stock = queue.stock()
        self._pending_bytes = 0
        self._draining: dict[int, Kept] = {}  # from the file, with the producer
        self._acknowledged: list[int] = []
        self._refused: list[tuple[Kept, A3CPError]] = []
        self._undelivered: list[A3CPError] = []  # what no caller was told
        self._producer: RawProducer | None = None
        self._is_away = False
        self._failures = 0  # to reach Kafka, in a row
        self._again_s = monotonic_s()  # when it is tried next
        self._file_again_s = self._again_s  # when the file is used next
        self._why: A3CPError = BrokerUnavailable("records of an earlier run wait")
        self._draining_since_s = 0.0
        self._opened_s: float | None = None
        self._sent = self._set_aside = 0  # since it was opened
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        if queue.damaged is not None:
            watcher.damaged(str(queue.damaged))
        try:
            self._reach()
        except BrokerUnavailable as error:
            self._leave(error)
        if self._stock.records:
            self._open(self._why)
        self._show()

    # --- for senders

    def send(
        self,
        value: bytes,
        key: bytes,
        *,
        record_id: str | None = None,
        on_done: OnDone | None = None,
        on_kept: Callable[[], None] | None = None,
    ) -> None:
        """Send a record, or keep it.

        Args:
            value, key: the record's.
            record_id: by which people find it.
            on_done: called once the record is delivered (None) or was refused (why).
            on_kept: called in its place once the record is safely in the file; None if it must not wait.

        Raises:
            BrokerUnavailable: Kafka is away, and the record must not wait.
            OutboxFull: Kafka is away, and the outbox takes no more.
            A3CPError: an earlier record without `on_done` was refused (this one was not sent, then).
        """
        self._raise_undelivered()
        one = _Sending(key, record_id, value, on_done or self._note_undelivered, on_kept)
        with self._lock:
            if self._is_away or self._waits[key] or len(self._direct) >= DIRECT_RECORDS_MAX:
                self._keep(one)
            else:
                self._direct[one] = None
                self._held.setdefault(key, deque()).append(one)
                self._hand_over(key)
        self._tell()

    def waiting(self, timeout_s: float = 0) -> int:
        """Return how many records are neither delivered nor in the file yet; calls back for those that are."""
        self._poll(timeout_s)
        with self._lock:
            return len(self._direct) + len(self._pending)

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
            records, size, oldest, refused = self._stock
            return Stock(records + len(self._pending), size + self._pending_bytes, oldest, refused)

    @property
    def is_away(self) -> bool:
        """Whether Kafka counts as away."""
        return self._is_away

    def waits(self, key: bytes) -> bool:
        """Whether a record of the user waits."""
        return self._waits[key] > 0

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
                self._store()
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
            for key in list(self._held):
                self._hand_over(key)
        self._tell()

    def _look_at_clock(self) -> None:
        """Leave Kafka alone if a record has been unacknowledged for too long."""
        now_s = self._monotonic_s()
        oldest_s = next((one.since_s for one in self._direct), now_s)
        if self._draining:
            oldest_s = min(oldest_s, self._draining_since_s)
        if now_s - oldest_s > self._patience_s:
            self._leave(BrokerUnavailable(f"Kafka has not acknowledged a record within {self._patience_s:g} s"))
        elif self._is_away and self._producer is not None and now_s >= self._again_s and not self.stock.records:
            self._is_away = False  # Nothing waits to try with, so the next record that comes is tried.

    def _store(self) -> None:
        """Write to the file what is to be kept."""
        while True:
            with self._lock:
                portion = self._pending[: _portion(self._pending)]
            if not portion:
                return
            results = self._added(portion)
            with self._lock:
                del self._pending[: len(portion)]
                for one, result in zip(portion, results, strict=True):
                    self._pending_bytes -= one.size_bytes
                    self._stored(one, result)

    def _added(self, portion: Sequence[_Sending]) -> Sequence[int | OutboxFull | None]:
        """Return the places in the file of what is written to it now; one by one if there is no room for all."""
        now_ms = self._now_ms()
        try:
            return self._queue.add([(one.key, one.record_id, one.value) for one in portion], now_ms)
        except OutboxFull as error:
            if len(portion) == 1:
                return [error]
        return [self._added([one])[0] for one in portion]

    def _stored(self, one: _Sending, result: int | OutboxFull | None) -> None:
        if isinstance(result, int):
            if not self._stock.records:
                self._open(self._why)
            one.seq = result
            oldest_ms = self._now_ms() if self._stock.oldest_ms is None else self._stock.oldest_ms
            self._change_stock(1, one.size_bytes, oldest_ms=oldest_ms)
            if one.is_delivered:
                self._acknowledged.append(result)
        else:  # It waits already, or there is no room.
            self._wait_less(one.key)
        if isinstance(result, OutboxFull) and not one.is_delivered:
            self._told.append(partial(one.on_done, result))
        elif one.is_delivered:
            self._told.append(partial(one.on_done, None))
        elif one.on_kept is not None:
            self._told.append(one.on_kept)

    def _settle(self) -> None:
        """Take out of the file what was acknowledged, and set aside what was refused."""
        acknowledged, refused = list(self._acknowledged), list(self._refused)
        if not acknowledged and not refused:
            return
        removed = self._queue.remove(acknowledged)
        for record, why in refused:
            self._queue.set_aside(record, str(why), self._now_ms())
            self._watcher.refused(why)
        oldest_ms = self._queue.oldest_ms()
        with self._lock:
            del self._acknowledged[: len(acknowledged)]
            del self._refused[: len(refused)]
            for key, size_bytes in removed:
                self._wait_less(key)
                self._change_stock(-1, -size_bytes - RECORD_BYTES, oldest_ms=oldest_ms)
            for record, _ in refused:
                self._wait_less(record.key)
                self._change_stock(-1, 0, oldest_ms=oldest_ms, refused=1)
            self._sent += len(removed)
            self._set_aside += len(refused)
            if not self._draining and not self._is_away:  # Half of the time is for those who send now.
                now_s = self._monotonic_s()
                self._again_s = now_s + (now_s - self._draining_since_s)
            is_empty = not self.stock.records
        self._watcher.sent(len(removed))
        if is_empty and self._opened_s is not None:
            self._watcher.emptied(self._sent, self._set_aside, self._monotonic_s() - self._opened_s)
            self._opened_s = None
            self._queue.tidy()

    def _drain(self) -> None:
        """Send the next records of the file, once the last ones are acknowledged and as much time has passed again."""
        if self._draining or self._acknowledged or self._refused or self._stopping.is_set():
            return
        if self._producer is None or not self._stock.records or self._monotonic_s() < self._again_s:
            return
        records = self._queue.first(1 if self._is_away else WINDOW_RECORDS)
        seen = [record for record in records if self.was_seen(record)]
        with self._lock:
            self._acknowledged += [record.seq for record in seen]
            self._draining_since_s = self._monotonic_s()
            draining = self._draining = {record.seq: record for record in records if record not in seen}
            for record in list(draining.values()):
                if self._draining is not draining:  # Kafka was left in between.
                    return
                try:
                    self._producer.send(record.value, record.key, on_done=partial(self._drained, record))
                except A3CPError as error:
                    self._drained(record, error)

    def _recover(self, error: sqlite3.Error) -> None:
        """Go on after the file could not be read or written; a damaged one is set aside."""
        self._watcher.troubled(A3CPError(f"the outbox at {self._queue.path} cannot be used ({error})"))
        self._file_again_s = self._monotonic_s() + _FILE_WAIT_S
        if not is_damage(error):
            return
        self._queue.reopen()
        self._watcher.damaged(str(self._queue.damaged))
        with self._lock:
            self._draining, self._acknowledged, self._refused = {}, [], []
            self._waits = Counter(self._queue.users()) + Counter(one.key for one in self._pending)
            self._stock = self._queue.stock()

    # --- under the lock

    def _hand_over(self, key: bytes) -> None:
        """Give the producer the next records of a user, as many as may be on their way at once."""
        assert self._producer is not None
        held = self._held[key]
        while held and self._held.get(key) is held and self._on_way[key] < WINDOW_RECORDS:
            one = held.popleft()
            one.since_s = self._monotonic_s()
            self._on_way[key] += 1
            try:
                self._producer.send(one.value, one.key, on_done=partial(self._delivered, one))
            except A3CPError as error:
                self._delivered(one, error)
        if not held and self._held.get(key) is held:
            del self._held[key]

    def _keep(self, one: _Sending) -> None:
        """Keep a record.

        Raises:
            OutboxFull: there is no room.
            BrokerUnavailable: it must not wait.
        """
        if one.on_kept is None:
            raise BrokerUnavailable(self._why.what, remedy=self._why.remedy)
        stock = self.stock
        if stock.size_bytes + one.size_bytes > self._bytes_max:
            raise OutboxFull(f"the outbox is full, it holds {stock.records} records", remedy=_REMEDY)
        if stock.oldest_ms is not None and self._now_ms() - stock.oldest_ms > self._age_ms_max:
            raise OutboxFull("the outbox takes no more, its oldest record has waited for too long", remedy=_REMEDY)
        one.is_kept = True
        self._pending.append(one)
        self._pending_bytes += one.size_bytes
        self._waits[one.key] += 1

    def _leave(self, why: A3CPError) -> None:
        """Leave Kafka alone for a while; what it has not acknowledged is kept, in the order in which it was sent."""
        self._is_away, self._why = True, why
        self._failures += 1
        self._again_s = self._monotonic_s() + backoff_s(self._failures, first_s=_FIRST_WAIT_S, max_s=_WAIT_S_MAX)
        direct, self._direct = self._direct, {}
        self._held, self._on_way, self._draining = {}, Counter(), {}
        for one in direct:
            try:
                self._keep(one)
            except A3CPError as error:
                self._told.append(partial(one.on_done, error))
        producer = self._producer
        if isinstance(why, Fatal):  # It sends nothing any more.
            self._producer = None
        if producer is not None:
            producer.give_up()

    def _delivered(self, one: _Sending, error: A3CPError | None) -> None:
        """Take note of what came of a record that was sent straight away."""
        with self._lock:
            if one.is_kept:  # It was given up, but may be in the log all the same.
                if error is None and one.seq is not None:
                    self._acknowledged.append(one.seq)
                one.is_delivered |= error is None
            elif one in self._direct:
                if error is not None and not isinstance(error, _REFUSALS):
                    self._leave(error)
                    return
                del self._direct[one]
                self._on_way[one.key] -= 1
                if not self._on_way[one.key]:
                    del self._on_way[one.key]
                self._told.append(partial(one.on_done, error))

    def _drained(self, record: Kept, error: A3CPError | None) -> None:
        """Take note of what came of a record from the file."""
        with self._lock:
            if self._draining.pop(record.seq, None) is None:
                if error is None:  # It was given up, but is in the log.
                    self._acknowledged.append(record.seq)
            elif error is None:
                self._acknowledged.append(record.seq)
                self._is_away, self._failures = False, 0
            elif isinstance(error, _REFUSALS):
                self._refused.append((record, error))
            else:
                self._leave(error)

    def _open(self, why: A3CPError) -> None:
        if self._opened_s is None:
            self._opened_s, self._sent, self._set_aside = self._monotonic_s(), 0, 0
            self._watcher.opened(why)

    def _wait_less(self, key: bytes) -> None:
        self._waits[key] -= 1
        if self._waits[key] <= 0:
            del self._waits[key]

    def _change_stock(self, records: int, size_bytes: int, *, oldest_ms: int | None, refused: int = 0) -> None:
        before = self._stock
        self._stock = Stock(
            before.records + records, before.size_bytes + size_bytes, oldest_ms, before.refused + refused
        )

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
            words = "1 record was" if count == 1 else f"{count} records were"
            raise type(first)(f"{words} not delivered: {first.what}", remedy=first.remedy)


def _portion(pending: Sequence[_Sending]) -> int:
    """Return how many of `pending` are written in one transaction: so many that the write-ahead log stays small."""
    size_bytes = 0
    for count, one in enumerate(pending):
        size_bytes += one.size_bytes
        if size_bytes > _STORED_BYTES_MAX:
            return max(1, count)
    return len(pending)
