"""Where the embedded broker keeps its jars and its data."""

import os
import shutil
import sys
from pathlib import Path

from processor.broker.errors import NoSpace


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
