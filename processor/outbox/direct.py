"""Records that go straight to the producer: which of them it has, and which wait until it has fewer of their user."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from processor.codec.headers import Headers
from processor.outbox.ports import OnDone
from processor.outbox.queue import RECORD_BYTES

WINDOW_RECORDS: Final = 20
"""Records of one user that are on their way at once: fewer than those among which the processor knows a repeat."""


@dataclass(slots=True, eq=False)
class Sending:
    """A record that somebody has sent and has heard nothing of yet."""

    key: bytes
    record_id: str | None
    value: bytes
    on_done: OnDone
    on_kept: Callable[[], None] | None  # None: it must not wait
    headers: Headers | None = None
    since_s: float = float("inf")  # since when the producer has it
    is_kept: bool = False  # it is in the file, or about to be
    is_delivered: bool = False  # though it is kept
    seq: int | None = None  # its place in the file

    @property
    def size_bytes(self) -> int:
        """What it takes in the file."""
        return len(self.key) + len(self.value) + RECORD_BYTES


class Direct:
    """Records that were sent while Kafka answered and are not acknowledged; under the lock of the outbox."""

    def __init__(self) -> None:
        self._sent: dict[Sending, None] = {}  # in the order of the calls
        self._held: dict[bytes, deque[Sending]] = {}  # of those the ones that the producer has not yet, by user
        self._on_way: Counter[bytes] = Counter()  # how many it has, by user

    def __len__(self) -> int:
        return len(self._sent)

    def __contains__(self, one: Sending) -> bool:
        return one in self._sent

    @property
    def oldest_s(self) -> float:
        """Since when the producer has the first of them; infinite if it has none."""
        return next((one.since_s for one in self._sent), float("inf"))

    def users(self) -> Sequence[bytes]:
        """Return the users of whom the producer has not all records."""
        return list(self._held)

    def add(self, one: Sending) -> None:
        """Take a record."""
        self._sent[one] = None
        self._held.setdefault(one.key, deque()).append(one)

    def next_of(self, key: bytes, now_s: float) -> Sending | None:
        """Return the user's next record for the producer, from now on its; None if there is none, or it has enough."""
        held = self._held.get(key)
        if held is None or self._on_way[key] >= WINDOW_RECORDS:
            return None
        one = held.popleft()
        if not held:
            del self._held[key]
        one.since_s = now_s
        self._on_way[key] += 1
        return one

    def remove(self, one: Sending) -> None:
        """Let go of a record of which something came."""
        del self._sent[one]
        self._on_way[one.key] -= 1
        if not self._on_way[one.key]:
            del self._on_way[one.key]

    def clear(self) -> Sequence[Sending]:
        """Let go of all, and return them in the order of the calls."""
        sent, self._sent, self._held, self._on_way = list(self._sent), {}, {}, Counter()
        return sent
