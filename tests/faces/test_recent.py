"""What is kept of sessions in memory."""

import time
from collections import Counter
from typing import NamedTuple

from processor.faces.replica.recent import Recent, kept_until_s


def test_what_is_read_at_once_is_not_read_again_at_once() -> None:
    """For at least a minute, and for at most two; not many are read again within the same second."""
    now_s = time.monotonic()
    left_s = [kept_until_s(f"sess_20261129_090000_{number:032x}") - now_s for number in range(1_000)]
    assert 60 <= min(left_s) < max(left_s) < 125
    assert max(Counter(int(each) for each in left_s).values()) < 100


class Page(NamedTuple):
    """Something of a session."""

    size_bytes: int
    until_s: float = float("inf")


def test_memory_is_bounded() -> None:
    """What was kept longest ago goes first; what takes another's place takes no more than itself."""
    recent: Recent[Page] = Recent(bytes_max=30)
    for name in "abca":
        recent.keep(name, Page(10))
    recent.keep("d", Page(10))
    assert [recent.get(name) for name in "abcd"] == [Page(10), None, Page(10), Page(10)]
    recent.keep("too large", Page(31))
    assert recent.get("too large") is None
    recent.keep("e", Page(30))
    assert recent.get("e") == Page(30)


def test_what_is_too_old_is_kept_no_longer() -> None:
    """It is as if it had not been there."""
    recent: Recent[Page] = Recent(bytes_max=10)
    recent.keep("old", Page(10, until_s=time.monotonic() - 1))
    assert [recent.get("old") for _ in range(2)] == [None, None]
