"""Holds off other exporters from a place, where it is on a file system."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from processor.targets.target import Target

TEMPORARY: Final = ".tmp"  # below the root, so on its file system: what is being written or replaced
LOCK: Final = "lock-"


@contextmanager
def alone_at(target: Target, below: str) -> Iterator[None]:
    """Hold off other exporters from what is `below` the root of `target`, where that is a file system."""
    if not target.is_local:
        yield
        return
    with locked(Path(target.path(TEMPORARY)), Path(below)):
        yield


@contextmanager
def locked(beside: Path, place: Path) -> Iterator[None]:
    """Hold off other exporters from `place`; a lock goes with its process, however that ends."""
    beside.mkdir(parents=True, exist_ok=True)
    number = sha256(place.name.encode()).hexdigest()[0]  # Few files, and rarely two who wait for one.
    with (beside / f"{LOCK}{number}").open("ab") as file:
        with suppress(OSError):  # A file system without locks: then one exporter at a time is the operator's to see to.
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
