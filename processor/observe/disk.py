"""How much room the disks have on which something of ours is kept; asked when metrics are."""

import math
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge


class DiskMetrics:
    """The metrics of one process's disks, on the registry handed in."""

    def __init__(self, registry: CollectorRegistry, places: Mapping[str, Path]) -> None:
        """`places`: what is kept there, such as `store`, and its file or folder, which may not be there yet."""
        self.free: Final = Gauge(
            "a3cp_disk_free_bytes", "Free bytes of the disk of what is kept: store, bundles, data_set, outbox.",
            ["place"], registry=registry,
        )  # fmt: skip
        self.size: Final = Gauge(
            "a3cp_disk_size_bytes", "Bytes of the whole disk.", ["place"], registry=registry
        )  # fmt: skip
        for place, path in places.items():
            self.free.labels(place).set_function(partial(_usage, path, "free"))
            self.size.labels(place).set_function(partial(_usage, path, "total"))


def _usage(path: Path, what: str) -> float:
    """Return a figure of the path's disk, bytes; NaN if it cannot be told."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return float(getattr(shutil.disk_usage(path), what))
    except OSError:
        return math.nan
