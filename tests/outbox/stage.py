"""A Kafka that goes away and comes back, and an outbox before it that can be killed at any step."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from processor.codec.headers import Headers
from processor.errors import A3CPError, BrokerUnavailable, UsageError
from processor.outbox.outbox import Outbox
from processor.outbox.ports import Kept, OnDone
from processor.outbox.queue import Queue
from processor.testing import ManualClock

TOO_LARGE = b"too large"  # how a value begins that Kafka refuses


class Killed(BaseException):
    """The process is killed."""


class Kafka:
    """A log, which is away or not; what is sent is acknowledged when the producer is asked."""

    def __init__(self) -> None:
        self.log: list[tuple[bytes, bytes]] = []
        self.headers: dict[bytes, Headers | None] = {}  # by value
        self.is_away = False
        self.is_unheard = False  # it takes records, but its acknowledgements do not arrive

    def values(self, key: bytes) -> list[bytes]:
        """Return what is in the log of one user, the first of each value."""
        return list(dict.fromkeys(value for user, value in self.log if user == key))


class Producer:
    """A client of `Kafka`."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._queued: list[tuple[bytes, bytes, Headers | None, OnDone]] = []
        self._unheard: list[OnDone] = []

    def send(
        self, value: bytes, key: bytes | None, *, headers: Headers | None = None, on_done: OnDone | None = None
    ) -> int:
        assert key is not None
        assert on_done is not None
        self._queued.append((key, value, headers, on_done))
        return 0

    def waiting(self, timeout_s: float = 0) -> int:
        del timeout_s
        while self._queued and not self._kafka.is_away:
            key, value, headers, on_done = self._queued.pop(0)
            if value.startswith(TOO_LARGE):
                on_done(UsageError("a record is larger than the topic takes"))
                continue
            self._kafka.log.append((key, value))
            self._kafka.headers[value] = headers
            if self._kafka.is_unheard:
                self._unheard.append(on_done)
            else:
                on_done(None)
        return len(self._queued)

    def flush(self) -> None:
        self.waiting()

    def give_up(self) -> None:
        given_up = [on_done for *_, on_done in self._queued] + self._unheard
        self._queued, self._unheard = [], []
        for on_done in given_up:
            on_done(BrokerUnavailable("given up"))


class Told:
    """What the outbox tells of itself."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def damaged(self, where: str) -> None:
        self.lines.append(f"damaged {where}")

    def opened(self, why: A3CPError) -> None:
        self.lines.append(f"opened: {why.what}")

    def emptied(self, sent: int, refused: int, seconds: float) -> None:
        self.lines.append(f"emptied: {sent} sent, {refused} refused, {seconds:g} s")

    def refused(self, why: A3CPError) -> None:
        self.lines.append(f"refused: {why.what}")

    def sent(self, count: int) -> None:
        del count

    def holds(self, records: int, size_bytes: int, oldest_ms: int | None) -> None:
        del records, size_bytes, oldest_ms

    def troubled(self, why: A3CPError) -> None:
        self.lines.append(f"troubled: {why.what}")


class MortalQueue(Queue):
    """A queue whose process can be killed before or after any of its transactions."""

    steps_left: int | None = None
    is_broken = False  # it cannot be written

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._step()
        if self.is_broken:
            raise sqlite3.OperationalError("disk I/O error")
        with super()._transaction():
            yield
        self._step()

    def _step(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise Killed


class Deployment:
    """An outbox with its file and Kafka; time stands still."""

    def __init__(self, folder: Path, *, bytes_max: int = 1 << 20, age_ms_max: int = 3_600_000) -> None:
        self.kafka = Kafka()
        self.clock = ManualClock()
        self.told = Told()
        self.path = folder / "outbox.db"
        self._limits = {"bytes_max": bytes_max, "age_ms_max": age_ms_max}
        self.seen: Callable[[Kept], bool] = lambda _: False
        self.start()

    def start(self) -> None:
        """Start the process, after `kill` or for the first time."""
        self.queue = MortalQueue(self.path)
        self.outbox = Outbox(
            lambda: Producer(self.kafka),
            self.queue,
            watcher=self.told,
            was_seen=self._was_seen,
            now_ms=self.clock.now_ms,
            monotonic_s=self.clock.monotonic_s,
            **self._limits,
        )

    def _was_seen(self, record: Kept) -> bool:
        return self.seen(record)

    def kill(self) -> None:
        """Kill the process: the system closes its files, and that is all."""
        with suppress(sqlite3.Error):
            self.queue._database.execute("ROLLBACK")
        self.queue._database.close()
        self.queue._lock.close()

    def pass_time(self, seconds: float, step_s: float = 0.5) -> None:
        """Let time pass, and the outbox do its work meanwhile."""
        for _ in range(int(seconds / step_s)):
            self.clock.time_ms += int(step_s * 1000)
            self.outbox.turn()

    def fill_disk(self, *, is_full: bool) -> None:
        """Let the file grow no more, or again."""
        pages = self.queue._database.execute("PRAGMA page_count").fetchone()[0] if is_full else 1 << 30
        self.queue._database.execute(f"PRAGMA max_page_count = {pages}")
