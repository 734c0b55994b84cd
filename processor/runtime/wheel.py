"""When to look at which user: a timer wheel with buckets of a second."""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

_BUCKET_MS: Final = 1000


class Wheel:
    """Keys and when to look at them. A key may be in it more than once: looking too often does no harm."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[bytes]] = {}
        self._order: list[int] = []  # a heap of the numbers in `_buckets`

    def add(self, key: bytes, due_ms: int) -> None:
        """Remember to look at `key` at `due_ms` or within a second after it."""
        number = due_ms // _BUCKET_MS
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = [key]
            heappush(self._order, number)
        else:
            bucket.append(key)

    def pop(self, now_ms: int, keys_max: int) -> Iterator[bytes]:
        """Take out and return keys whose time has come, earliest first: whole buckets until `keys_max` is reached."""
        last = now_ms // _BUCKET_MS - 1  # A bucket is due when its last ms has passed.
        taken = 0
        while self._order and self._order[0] <= last and taken < keys_max:
            keys = dict.fromkeys(self._buckets.pop(heappop(self._order)))
            taken += len(keys)
            yield from keys
