"""The clock of the processes that a run starts, which can be set to another time."""

from pathlib import Path
from typing import Final


class Clock:
    """What `time.time()` shows in processes that have this `environ`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        site = Path(__file__).with_name("site")
        self.environ: Final = {"PYTHONPATH": str(site), "CHAOS_CLOCK": str(file)}
        self.set(0)

    def set(self, ahead_s: int) -> None:
        """Set it so far ahead of the machine's; below 0: behind."""
        new = self._file.with_suffix(".new")
        new.write_text(str(ahead_s))
        new.replace(self._file)
