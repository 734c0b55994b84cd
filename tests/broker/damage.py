"""Damages what an embedded broker holds on its disk, as a bad disk or a foreign tool would."""

import struct
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

_MAGIC_AT, _RECORDS_AT = 16, 61  # in a batch of format 2
_BEFORE_LENGTH = 12


class Damage(Enum):
    """What is done to a batch."""

    CONTENT = "content"  # a byte of its records is another
    FORMAT = "format"  # a number that no client knows


class Damaged(NamedTuple):
    """A byte that was changed."""

    path: Path
    at: int
    was: bytes

    def mend(self) -> None:
        """Change it back."""
        _write(self.path, self.at, self.was)


def damage(folder: Path, topic: str, partition: int, offset: int, how: Damage) -> Damaged:
    """Change one byte of the batch that begins at `offset`."""
    path = folder / "data" / f"{topic}-{partition}" / f"{0:020}.log"
    (start,) = (start for start, first in _batches(path.read_bytes()) if first == offset)
    at = start + (_MAGIC_AT if how is Damage.FORMAT else _RECORDS_AT + 20)
    was = path.read_bytes()[at : at + 1]
    _write(path, at, b"\x09" if how is Damage.FORMAT else bytes([was[0] ^ 0xFF]))
    return Damaged(path, at, was)


def _batches(log: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each batch starts in the file, and its first offset."""
    at = 0
    while at + _RECORDS_AT < len(log):
        first, size = struct.unpack_from(">qi", log, at)
        if size <= 0:
            return
        yield at, first
        at += _BEFORE_LENGTH + size


def _write(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
