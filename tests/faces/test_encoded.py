"""What is kept encoded."""

import time
from collections import Counter

from processor.faces.encoded import kept_until_s


def test_what_is_read_at_once_is_not_read_again_at_once() -> None:
    """For at least a minute, and for at most two; not many are read again within the same second."""
    now_s = time.monotonic()
    left_s = [kept_until_s(f"sess_20261129_090000_{number:032x}") - now_s for number in range(1_000)]
    assert 60 <= min(left_s) < max(left_s) < 125
    assert max(Counter(int(each) for each in left_s).values()) < 100
