"""A disk of the run's own, which can be full, and can stand still."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

IMAGE_BYTES: Final = 4 << 30  # Only what is written takes room.
_BLOCK_BYTES: Final = 4_096


class Disk:
    """An ext4 in a file, mounted at `place`. Where nobody may mount one, `place` is a folder as any other."""

    def __init__(self, place: Path) -> None:
        self.place: Final = place
        self._image = place.with_suffix(".ext4")
        place.mkdir()
        self.is_own: Final = os.geteuid() == 0 and self._mount()

    def _mount(self) -> bool:
        with self._image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        make = ["mkfs.ext4", "-q", "-m", "0", str(self._image)]
        return all(map(_runs, (make, ["mount", "-o", "loop", str(self._image), str(self.place)])))

    def unmount(self) -> None:
        """Let go of it."""
        if self.is_own:
            subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on it."""
        filling = self.place / "filling"
        with filling.open("wb") as file:
            size, step = 0, IMAGE_BYTES
            while step >= _BLOCK_BYTES:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
                except OSError:
                    step //= 2
        try:
            yield
        finally:
            filling.unlink()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let each write wait. Whoever writes cannot even be killed, so this must be short."""
        subprocess.run(["fsfreeze", "--freeze", str(self.place)], check=True)
        try:
            yield
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(self.place)], check=True)


def _runs(command: list[str]) -> bool:
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, check=False).returncode == 0
