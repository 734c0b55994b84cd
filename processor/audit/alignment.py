"""Puts expected and actual records side by side, both in order: which are missing, too much, or altered.

Memory: some records of each side around a difference, and the hashes of the latest pairs that agreed.
"""

from collections import deque
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

HASH_BYTES: Final = 16
_LOOK_AHEAD: Final = 200  # records of each side among which the two meet again
_RECENT_MAX: Final = 10_000  # of those that agreed: a repeat of one is called so
_RUN: Final = 8  # records that must agree before two logs with lost beginnings count as side by side


def short_hash(value: bytes | None) -> bytes:
    """Return the hash by which values are compared."""
    return sha256(value or b"").digest()[:HASH_BYTES]


class Keyed(Protocol):
    """A record: its place, and the hash of what must be equal."""

    @property
    def offset(self) -> int: ...
    @property
    def content(self) -> bytes: ...


class Wanted(Keyed, Protocol):
    """An input record, of which an output is expected."""

    @property
    def may_stand_alone(self) -> bool:
        """Whether it may be without an output here."""


E = TypeVar("E", bound=Wanted)
A = TypeVar("A", bound=Keyed)


class Pair(NamedTuple, Generic[E, A]):
    """Two records side by side. They agree, or the actual one is altered; one alone is missing or too much."""

    expected: E | None
    actual: A | None
    agrees: bool = False
    repeats: int | None = None  # offset of the expected record that a surplus one repeats


def align(expected: Iterator[E], actual: Iterator[A]) -> Iterator[Pair[E, A]]:
    """Yield all of `expected` and all of `actual`, each once, in order."""
    wanted: _Ahead[E] = _Ahead(expected)
    found: _Ahead[A] = _Ahead(actual)
    recent: dict[bytes, int] = {}
    while True:
        e, a = wanted.first(), found.first()
        if e is None and a is None:
            return
        if e is not None and a is not None and e.content == a.content:
            recent.pop(e.content, None)
            recent[e.content] = e.offset
            if len(recent) > _RECENT_MAX:
                del recent[next(iter(recent))]
            yield Pair(wanted.take(), found.take(), agrees=True)
            continue
        surplus = None if e is None else found.find(e.content)
        if e is not None and e.may_stand_alone and surplus is None:
            yield Pair(wanted.take(), None)
            continue
        missing = None if a is None else wanted.find(a.content)
        if surplus is not None and (missing is None or surplus <= missing):
            for _ in range(surplus):
                extra = found.take()
                yield Pair(None, extra, repeats=recent.get(extra.content))
        elif missing is not None:
            for _ in range(missing):
                yield Pair(wanted.take(), None)
        elif a is not None and (e is None or a.content in recent):
            yield Pair(None, found.take(), repeats=recent.get(a.content))
        elif a is None:
            yield Pair(wanted.take(), None)
        else:
            yield Pair(wanted.take(), found.take())


R = TypeVar("R", bound=Keyed)


class _Ahead(Generic[R]):
    """A log that can be read a little ahead."""

    def __init__(self, records: Iterator[R]) -> None:
        self._records = records
        self._ahead: deque[R] = deque()

    def first(self) -> R | None:
        if not self._ahead:
            self._ahead.extend(islice(self._records, 1))
        return self._ahead[0] if self._ahead else None

    def take(self) -> R:
        return self._ahead.popleft()

    def find(self, content: bytes) -> int | None:
        self._ahead.extend(islice(self._records, _LOOK_AHEAD - len(self._ahead)))
        return next((number for number, record in enumerate(self._ahead) if record.content == content), None)


def meeting(head: Iterator[Keyed], other: Iterator[Keyed]) -> tuple[int, int] | None:
    """Return the offsets from which both are equal: near the beginning of `head`, anywhere in `other`."""
    start = list(islice(head, _LOOK_AHEAD))
    size = min(_RUN, len(start))
    if not size:
        return None
    runs = {tuple(record.content for record in start[at : at + size]): start[at] for at in range(len(start) - size + 1)}
    window: deque[Keyed] = deque(maxlen=size)
    for record in other:
        window.append(record)
        found = runs.get(tuple(each.content for each in window))
        if found is not None:
            return found.offset, window[0].offset
    return None
