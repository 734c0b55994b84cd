"""Where the embedded broker keeps its jars and its data."""

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processor.broker.errors import NoSpace
from processor.errors import UsageError

DATA_SETTING = "--data-dir or A3CP_BROKER_DIR"


def cache_dir() -> Path:
    """Return the folder for what can be fetched again; `A3CP_CACHE_DIR` overrides it."""
    if override := os.environ.get("A3CP_CACHE_DIR"):
        return Path(override).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "a3cp"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "a3cp"


def default_data_dir() -> Path:
    """Return the folder of the broker that is meant when none is named; `A3CP_BROKER_DIR` overrides it."""
    if override := os.environ.get("A3CP_BROKER_DIR"):
        return Path(override).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "a3cp" / "broker"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "a3cp" / "broker"


def require_space(folder: Path, size_bytes: int, *, setting: str) -> None:
    """Check that `folder`, which exists, has room for `size_bytes`; `setting` is what moves it elsewhere.

    Raises:
        NoSpace: there is less.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < size_bytes:
        raise NoSpace(
            f"{folder} has {free_bytes // 2**20} MiB free, the embedded broker needs {size_bytes // 2**20} MiB",
            remedy=f"free some space, or name another folder with {setting}",
        )


@contextmanager
def told_of(folder: Path, *, setting: str) -> Iterator[None]:
    """Say what is wrong with `folder` where the system refuses something; `setting` is what moves it elsewhere.

    Raises:
        NoSpace: the disk is full.
        UsageError: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(folder, setting=setting) from error
        raise UsageError(
            f"{folder} cannot be used: {error.strerror or error}", remedy=f"name a folder of yours with {setting}"
        ) from error


def no_space(folder: Path, *, setting: str) -> NoSpace:
    """Return the error for a disk that is full."""
    return NoSpace(f"no space left in {folder}", remedy=f"free some, or name another folder with {setting}")
