"""Says in `Server-Timing` which part of an answer took how long; browsers and curl users see it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timing:
    """The parts of one answer."""

    def __init__(self) -> None:
        self._parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is done inside as the part `name`."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self._parts[name] = (time.perf_counter() - began_s) * 1000

    @property
    def header(self) -> dict[str, str]:
        """The header, such as `log;dur=3.1, outcome;dur=8.4`; durations in ms."""
        return {"Server-Timing": ", ".join(f"{name};dur={ms:.1f}" for name, ms in self._parts.items())}
