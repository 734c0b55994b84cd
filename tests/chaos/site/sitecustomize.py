"""Python imports this by itself. It sets the clock wrong that Python code sees: by the seconds that a file tells.

The monotonic clock is as it is, and so is that of the Kafka client: a library that sets all of them (libfaketime) lets
Python's own waits hang.
"""

import os
import time
from functools import lru_cache
from pathlib import Path

_FILE = Path(os.environ["CHAOS_CLOCK"])
_machine_ns = time.time_ns


@lru_cache(maxsize=1)
def _ahead_ns(_half_second: int) -> int:
    return int(_FILE.read_text()) * 1_000_000_000


time.time_ns = lambda: _machine_ns() + _ahead_ns(int(time.monotonic() * 2))
time.time = lambda: time.time_ns() / 1_000_000_000
