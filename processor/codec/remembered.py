"""What was put in last, by header: a memory with a limit."""

import threading
from typing import TypeVar

T = TypeVar("T")


class Remembered(dict[bytes, T]):
    """Forgets what was put in first once it is full. Any thread may read it, and `put`."""

    def __init__(self, *, count_max: int, weight_max: int) -> None:
        """Keep at most `count_max` values, whose weights together are at most `weight_max`."""
        self._count_max = count_max
        self._weight_max = weight_max
        self._weights: dict[bytes, int] = {}
        self._weight = 0
        self._lock = threading.Lock()

    def put(self, header: bytes, value: T, weight: int) -> None:
        """Remember `value` under `header`, and forget what came first as far as room is needed."""
        with self._lock:
            self._forget(header)
            while self and (len(self) >= self._count_max or self._weight + weight > self._weight_max):
                self._forget(next(iter(self._weights)))
            self[header] = value
            self._weights[header] = weight
            self._weight += weight

    def _forget(self, header: bytes) -> None:
        self.pop(header, None)
        self._weight -= self._weights.pop(header, 0)
