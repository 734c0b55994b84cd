"""How full disks are: true figures of a place that is there, or of where it will be."""

import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry

from processor.observe.disk import DiskMetrics


def test_the_figures_are_the_disks(tmp_path: Path) -> None:
    """Of a file that is not there yet too."""
    registry = CollectorRegistry()
    DiskMetrics(registry, {"store": tmp_path / "not" / "yet.db"})
    size = registry.get_sample_value("a3cp_disk_size_bytes", {"place": "store"})
    free = registry.get_sample_value("a3cp_disk_free_bytes", {"place": "store"})
    assert size == shutil.disk_usage(tmp_path).total
    assert free is not None
    assert 0 < free <= size
