"""Opens the outbox's file: for one process only, for its owner's eyes only, and never a damaged one.

`PATH` is an SQLite database. Beside it are `PATH.lock`, held as long as a process uses it, and `PATH.reserve`, room
that is given back to the disk when that is full: SQLite needs some to delete.
"""

import fcntl
import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from processor.errors import UsageError

_RESERVE_BYTES: Final = 8 << 20
"""What is kept free for deleting: more than the write-ahead log and what a checkpoint adds to the database."""

_WAL_PAGES: Final = 256  # after which the write-ahead log is written back: about 1 MiB
_BUSY_S: Final = 5.0
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BESIDE: Final = ("", "-wal", "-shm")


class Lock:
    """Holds the outbox at `path` for this process, until it is closed or the process ends."""

    def __init__(self, path: Path) -> None:
        """Take it.

        Raises:
            UsageError: another process has it, or its folder cannot be written.
        """
        try:
            self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            remedy = "name a file in a folder that can be written in A3CP_OUTBOX"
            raise UsageError(f"no outbox can be kept at {path} ({error.strerror})", remedy=remedy) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            remedy = "give each process its own A3CP_OUTBOX, or stop the other one"
            raise UsageError(f"another process uses the outbox at {path}", remedy=remedy) from error

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


class Opened(NamedTuple):
    """An outbox's database, open."""

    database: sqlite3.Connection
    damaged: Path | None  # where the damaged file is that was there before


def open_file(path: Path) -> Opened:
    """Open the database at `path`, whose `Lock` this process holds; a damaged one is set aside first.

    Raises:
        sqlite3.Error: it cannot be opened, and is not damaged.
    """
    try:
        return Opened(_open(path), None)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    for ending in _BESIDE:
        with suppress(FileNotFoundError):
            Path(f"{path}{ending}").rename(f"{aside}{ending}")
    return Opened(_open(path), aside)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether `error` says that the file is damaged."""
    return getattr(error, "sqlite_errorcode", None) in _DAMAGED


def is_full(error: sqlite3.Error) -> bool:
    """Whether `error` says that the disk is full."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # The files that SQLite puts beside it have its mode.
    database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # In WAL mode only this survives a loss of power.
        database.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            damage = sqlite3.DatabaseError(found)
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage
    except BaseException:
        database.close()
        raise
    return database


class Reserve:
    """Room on the disk that is given back when deleting needs it."""

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.reserve")
        self._is_held = False

    def hold(self) -> bool:
        """Take the room; return whether it is there."""
        if not self._is_held:
            try:
                self._path.touch(0o600)
                self._path.write_bytes(bytes(_RESERVE_BYTES))  # A sparse file would hold nothing.
                self._is_held = True
            except OSError:
                self.release()
        return self._is_held

    def release(self) -> None:
        """Give the room back."""
        self._is_held = False
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
