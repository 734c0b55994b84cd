"""A disk that is soon full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A small file system of the test's own, which can be made larger and read-only."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self, options: str) -> bool:
        """Mount it with `options`; whether that was possible."""
        command = ["mount", "-t", "tmpfs", "-o", options, "a3cp-test", str(self.place)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def change(self, options: str) -> None:
        """Change its options."""
        assert self.mount(f"remount,{options}")


@contextmanager
def small_disk(place: Path, size: str = "1m") -> Iterator[Disk]:
    """Yield a disk of `size` at `place`; without the right to mount one, the test is skipped."""
    made = Disk(place)
    place.mkdir()
    if os.geteuid() != 0 or not made.mount(f"size={size}"):
        pytest.skip("a small disk can only be mounted by root, outside of most containers")
    try:
        yield made
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
