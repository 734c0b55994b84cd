"""The records in the outbox's file, in the order in which they came; used by one thread."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from processor.codec.headers import Headers
from processor.codec.traces import TRACEPARENT, TRACESTATE
from processor.core.ids import owner_of
from processor.errors import OutboxFull, UsageError
from processor.outbox.file import Lock, Reserve, is_damage, is_full, open_file
from processor.outbox.ports import Kept, Stock

RECORD_BYTES: Final = 256
"""What a record takes in the file besides its value and its user's key, roughly."""

_VERSION: Final = 2
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, user BLOB NOT NULL, record_id TEXT, digest BLOB NOT NULL,
    value BLOB NOT NULL, kept_ms INTEGER NOT NULL, trace BLOB
);
CREATE UNIQUE INDEX IF NOT EXISTS waiting_once ON waiting (user, digest);
CREATE TABLE IF NOT EXISTS refused (
    seq INTEGER PRIMARY KEY, user BLOB NOT NULL, record_id TEXT, value BLOB NOT NULL, kept_ms INTEGER NOT NULL,
    refused_ms INTEGER NOT NULL, reason TEXT NOT NULL
);
PRAGMA user_version = {_VERSION};
"""
_FORWARD: Final = """
BEGIN IMMEDIATE;
ALTER TABLE waiting ADD COLUMN trace BLOB;
PRAGMA user_version = 2;
COMMIT;
"""
"""What brings a file of version 1 forward."""

_LENGTH: Final = "SELECT count(*), coalesce(sum(length(value) + length(user)), 0) FROM "
_COUNT_WAITING: Final = f"{_LENGTH} waiting"
_COUNT_REFUSED: Final = f"{_LENGTH} refused"
_FIRST: Final = "SELECT seq, user, record_id, value, kept_ms, trace FROM waiting ORDER BY seq LIMIT ?"
_OF_USER: Final = "SELECT seq, user, record_id, value, kept_ms, trace FROM waiting WHERE user = ? ORDER BY seq"
_REFUSED: Final = "SELECT seq, user, record_id, value, kept_ms, refused_ms, reason FROM refused ORDER BY seq"
_ADD: Final = "INSERT OR IGNORE INTO waiting (user, record_id, digest, value, kept_ms, trace) VALUES (?, ?, ?, ?, ?, ?)"
_REMOVE: Final = "DELETE FROM waiting WHERE seq = ? RETURNING user, length(user) + length(value)"

T = TypeVar("T")


class New(NamedTuple):
    """A record that is to wait."""

    key: bytes
    record_id: str | None
    value: bytes
    trace: Headers | None = None  # the headers that say its trace


class Refused(NamedTuple):
    """A record that Kafka has refused."""

    record: Kept
    refused_ms: int
    reason: str


class Queue:
    """Records that wait, and records that were refused. What a method has done survives a loss of power.

    Each method raises `sqlite3.Error` when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at `path`, or make it.

        Raises:
            UsageError: another process uses it, it cannot be made, or a later release wrote it.
        """
        self.path: Final = path
        self.damaged: Path | None = None  # where the damaged file is that was found here, if one was
        self._lock = Lock(path)
        self._reserve = Reserve(path)
        try:
            self._database = self._opened()
        except BaseException:
            self._lock.close()
            raise

    def reopen(self) -> None:
        """Open the file again after trouble; if it is damaged, it is set aside and what was in it is no longer here."""
        self._database.close()
        self._database = self._opened()

    def close(self) -> None:
        """Let go of it."""
        self._database.close()
        self._reserve.release()
        self._lock.close()

    def stock(self) -> Stock:
        """Return what is in it."""
        records, size = self._database.execute(_COUNT_WAITING).fetchone()
        refused, refused_size = self._database.execute(_COUNT_REFUSED).fetchone()
        size += refused_size + (records + refused) * RECORD_BYTES
        return Stock(records, size, self.oldest_ms(), refused)

    def users(self) -> Mapping[bytes, int]:
        """Return how many records of each user wait."""
        return dict(self._database.execute("SELECT user, count(*) FROM waiting GROUP BY user"))

    def first(self, count_max: int) -> Sequence[Kept]:
        """Return the records that have waited longest."""
        return [_kept(row) for row in self._database.execute(_FIRST, (count_max,))]

    def of_user(self, key: bytes) -> Sequence[Kept]:
        """Return the records of one user, in their order."""
        return [_kept(row) for row in self._database.execute(_OF_USER, (key,))]

    def refused(self) -> Iterator[Refused]:
        """Yield the records that Kafka has refused."""
        for *kept, refused_ms, reason in self._database.execute(_REFUSED):
            yield Refused(Kept(*kept), refused_ms, reason)

    def oldest_ms(self) -> int | None:
        """Return since when the oldest record waits; None when none does."""
        oldest = self._database.execute("SELECT kept_ms FROM waiting ORDER BY seq LIMIT 1").fetchone()
        return None if oldest is None else int(oldest[0])

    def add(self, records: Sequence[New], now_ms: int) -> Sequence[int | None]:
        """Add records, all or none; return their `seq`s.

        The `seq` of one that waits already, the same bytes of the same user, is None: it is sent once.

        Raises:
            OutboxFull: the disk has no room, or does not write.
        """
        if not self._reserve.hold():
            raise _disk_full(self.path)
        seqs: list[int | None] = []
        try:
            with self._transaction():
                for key, record_id, value, trace in records:
                    row = (key, record_id, sha256(value).digest(), value, now_ms, _joined(trace))
                    done = self._database.execute(_ADD, row)
                    seqs.append(done.lastrowid if done.rowcount else None)
        except sqlite3.Error as error:
            if is_damage(error):
                raise
            raise _disk_full(self.path) from error
        return seqs

    def remove(self, seqs: Sequence[int]) -> Sequence[tuple[bytes, int]]:
        """Remove records that are in the log now, on a full disk too; return user and length of each that was here."""
        return self._with_reserve(lambda: self._remove(seqs))

    def set_aside(self, record: Kept, reason: str, now_ms: int) -> None:
        """Move a record to those that were refused, on a full disk too."""
        self._with_reserve(lambda: self._set_aside(record, reason, now_ms))

    def erase(self, owner: str, *, dry_run: bool = False) -> int:
        """Remove all records of a person, refused ones too, and what is left of them in the file; return how many."""
        count = 0
        for table in ("waiting", "refused"):
            users = [user for (user,) in self._database.execute(f"SELECT DISTINCT user FROM {table}")]  # noqa: S608
            for user in users:
                if owner_of(user.decode(errors="replace")) == owner:
                    verb = "SELECT count(*)" if dry_run else "DELETE"
                    done = self._database.execute(f"{verb} FROM {table} WHERE user = ?", (user,))
                    count += done.fetchone()[0] if dry_run else done.rowcount
        if count and not dry_run:
            self._shrink()
        return count

    def tidy(self) -> None:
        """Give back to the disk what removed records took, so that their words are no longer in the file."""
        with suppress(sqlite3.Error):  # It is tried again when the outbox is empty the next time.
            self._shrink()

    def _remove(self, seqs: Sequence[int]) -> Sequence[tuple[bytes, int]]:
        removed: list[tuple[bytes, int]] = []
        with self._transaction():
            for seq in seqs:
                removed += self._database.execute(_REMOVE, (seq,)).fetchall()
        return removed

    def _set_aside(self, record: Kept, reason: str, now_ms: int) -> None:
        with self._transaction():
            self._database.execute("DELETE FROM waiting WHERE seq = ?", (record.seq,))
            self._database.execute("INSERT INTO refused VALUES (?, ?, ?, ?, ?, ?, ?)", (*record[:5], now_ms, reason))

    def _with_reserve(self, write: Callable[[], T]) -> T:
        try:
            written = write()
        except sqlite3.Error as error:
            if not is_full(error):
                raise
            self._reserve.release()
            written = write()
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")  # What it wrote back can be written over.
        self._reserve.hold()
        return written

    def _shrink(self) -> None:
        self._database.execute("VACUUM")
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _opened(self) -> sqlite3.Connection:
        database, self.damaged = open_file(self.path)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            database.close()
            remedy = "use that release, or name another file in A3CP_OUTBOX"
            raise UsageError(f"a later release has written the outbox at {self.path}", remedy=remedy)
        if version == 1:
            database.executescript(_FORWARD)
        database.executescript(_SCHEMA)
        if self.damaged is not None:  # What is late to come of its records must not be taken for the new ones'.
            database.execute("INSERT INTO sqlite_sequence VALUES ('waiting', ?)", (time.time_ns() // 1000,))
        self._reserve.hold()
        return database


def _kept(row: tuple[int, bytes, str | None, bytes, int, bytes | None]) -> Kept:
    seq, key, record_id, value, kept_ms, told = row
    trace: Headers | None = None
    if told is not None:
        trace = list(zip((TRACEPARENT, TRACESTATE), told.split(b"\n", 1), strict=False))
    return Kept(seq, key, record_id, value, kept_ms, trace)


def _joined(trace: Headers | None) -> bytes | None:
    return None if trace is None else b"\n".join(value or b"" for _, value in trace)


def _disk_full(path: Path) -> OutboxFull:
    return OutboxFull(
        f"the disk has no room for the outbox at {path}", remedy="make room; keep the record, and send it again"
    )
