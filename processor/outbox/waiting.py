"""Records that wait: those in the file, and those that are about to be written to it."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from processor.codec.traces import trace_of
from processor.errors import A3CPError, OutboxFull
from processor.outbox.direct import Sending
from processor.outbox.ports import Kept, Stock, Watcher
from processor.outbox.queue import RECORD_BYTES, New, Queue
from processor.upstream.words.counting import counted

_REMEDY: Final = "see that Kafka runs; keep the record, and send it again later"
_STORED_BYTES_MAX: Final = 1 << 20  # of one transaction, roughly: its part of the write-ahead log


class Waiting:
    """What waits, and for how long it has. One thread uses the file; what takes no time is under the outbox's lock."""

    def __init__(
        self,
        queue: Queue,
        lock: threading.RLock,
        watcher: Watcher,
        *,
        bytes_max: int,
        age_ms_max: int,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
        tell: Callable[[Callable[[], None]], None],
    ) -> None:
        """Begin with what `queue` holds; `tell` takes what senders are to be told. The others are the outbox's."""
        self._queue = queue
        self._lock = lock
        self._watcher = watcher
        self._bytes_max = bytes_max
        self._age_ms_max = age_ms_max
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._tell = tell
        self._pending: list[Sending] = []  # to be stored
        self._pending_bytes = 0
        self._opened_s: float | None = None  # since when something waits
        self._sent = self._set_aside = 0  # since then
        self._begin()

    # --- under the lock

    @property
    def stock(self) -> Stock:
        """What is in the file, with what is about to be."""
        records, size, oldest, refused = self._stock
        return Stock(records + len(self._pending), size + self._pending_bytes, oldest, refused)

    @property
    def records(self) -> int:
        """How many records are in the file."""
        return self._stock.records

    @property
    def pending(self) -> int:
        """How many are about to be."""
        return len(self._pending)

    @property
    def is_settled(self) -> bool:
        """Whether the file knows all that came of its records."""
        return not self._acknowledged and not self._refused

    def waits(self, key: bytes) -> bool:
        """Whether a record of the user waits."""
        return self._waits[key] > 0

    def keep(self, one: Sending) -> None:
        """Keep a record; `store` writes it.

        Raises:
            OutboxFull: there is no room.
        """
        stock = self.stock
        if stock.size_bytes + one.size_bytes > self._bytes_max:
            raise OutboxFull(f"the outbox is full, it holds {counted(stock.records, 'record')}", remedy=_REMEDY)
        if stock.oldest_ms is not None and self._now_ms() - stock.oldest_ms > self._age_ms_max:
            raise OutboxFull("the outbox takes no more, its oldest record has waited for too long", remedy=_REMEDY)
        one.is_kept = True
        self._pending.append(one)
        self._pending_bytes += one.size_bytes
        self._waits[one.key] += 1

    def acknowledged(self, seq: int) -> None:
        """Take note that a record of the file is in the log; `settle` removes it."""
        self._acknowledged.append(seq)

    def refused(self, record: Kept, why: A3CPError) -> None:
        """Take note that Kafka refuses a record of the file; `settle` sets it aside."""
        self._refused.append((record, why))

    # --- with the file

    def open(self, why: A3CPError) -> None:
        """Tell that records wait from now on."""
        if self._opened_s is None:
            self._opened_s, self._sent, self._set_aside = self._monotonic_s(), 0, 0
            self._watcher.opened(why)

    def first(self, count_max: int) -> Sequence[Kept]:
        """Return the records that have waited longest."""
        return self._queue.first(count_max)

    def store(self, why: A3CPError) -> None:
        """Write to the file what is to be kept; `why` it must wait."""
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
                    self._stored(one, result, why)

    def settle(self) -> bool:
        """Take out of the file what was acknowledged, and set aside what was refused; return whether there was any."""
        acknowledged, refused = list(self._acknowledged), list(self._refused)
        if not acknowledged and not refused:
            return False
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
            is_empty = not self.stock.records
        self._watcher.sent(len(removed))
        if is_empty and self._opened_s is not None:
            self._watcher.emptied(self._sent, self._set_aside, self._monotonic_s() - self._opened_s)
            self._opened_s = None
            self._queue.tidy()
        return True

    def reopen(self) -> None:
        """Open the file again, which is damaged: it is set aside, and what was in it waits no longer."""
        self._queue.reopen()
        self._watcher.damaged(str(self._queue.damaged))
        with self._lock:
            self._begin()

    def _begin(self) -> None:
        self._acknowledged: list[int] = []
        self._refused: list[tuple[Kept, A3CPError]] = []
        self._waits = Counter(self._queue.users()) + Counter(one.key for one in self._pending)
        self._stock = self._queue.stock()

    def _added(self, portion: Sequence[Sending]) -> Sequence[int | OutboxFull | None]:
        """Return the places in the file of what is written to it now; one by one if there is no room for all."""
        now_ms = self._now_ms()
        try:
            return self._queue.add(
                [New(one.key, one.record_id, one.value, trace_of(one.headers)) for one in portion], now_ms
            )
        except OutboxFull as error:
            if len(portion) == 1:
                return [error]
        return [self._added([one])[0] for one in portion]

    def _stored(self, one: Sending, result: int | OutboxFull | None, why: A3CPError) -> None:
        if isinstance(result, int):
            if not self._stock.records:
                self.open(why)
            one.seq = result
            oldest_ms = self._now_ms() if self._stock.oldest_ms is None else self._stock.oldest_ms
            self._change_stock(1, one.size_bytes, oldest_ms=oldest_ms)
            if one.is_delivered:
                self._acknowledged.append(result)
        else:  # It waits already, or there is no room.
            self._wait_less(one.key)
        if isinstance(result, OutboxFull) and not one.is_delivered:
            self._tell(partial(one.on_done, result))
        elif one.is_delivered:
            self._tell(partial(one.on_done, None))
        elif one.on_kept is not None:
            self._tell(one.on_kept)

    def _wait_less(self, key: bytes) -> None:
        self._waits[key] -= 1
        if self._waits[key] <= 0:
            del self._waits[key]

    def _change_stock(self, records: int, size_bytes: int, *, oldest_ms: int | None, refused: int = 0) -> None:
        before = self._stock
        self._stock = Stock(
            before.records + records, before.size_bytes + size_bytes, oldest_ms, before.refused + refused
        )


def _portion(pending: Sequence[Sending]) -> int:
    """Return how many of `pending` are written in one transaction: so many that the write-ahead log stays small."""
    size_bytes = 0
    for count, one in enumerate(pending):
        size_bytes += one.size_bytes
        if size_bytes > _STORED_BYTES_MAX:
            return max(1, count)
    return len(pending)
