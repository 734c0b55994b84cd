"""When users are looked at."""

from hypothesis import given
from hypothesis import strategies as st

from processor.runtime.wheel import Wheel


def test_a_key_comes_within_a_second_after_its_time_and_never_before():
    """Buckets are a second wide; the last ms of a bucket makes it due."""
    wheel = Wheel()
    wheel.add(b"ann", 5_000)
    assert list(wheel.pop(4_999, 10)) == []
    assert list(wheel.pop(5_999, 10)) == []
    assert list(wheel.pop(6_000, 10)) == [b"ann"]
    assert list(wheel.pop(60_000, 10)) == []


def test_a_limit_leaves_whole_seconds_for_later():
    """Of three seconds with two keys each, a limit of three takes two seconds."""
    wheel = Wheel()
    for number in range(6):
        wheel.add(str(number).encode(), number // 2 * 1000)
    assert list(wheel.pop(100_000, 3)) == [b"0", b"1", b"2", b"3"]
    assert list(wheel.pop(100_000, 3)) == [b"4", b"5"]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=2), st.integers(0, 10_000)), max_size=30))
def test_nothing_is_lost(added):
    """Every key comes, earliest second first."""
    wheel = Wheel()
    for key, due_ms in added:
        wheel.add(key, due_ms)
    popped = list(wheel.pop(20_000, 1_000))
    assert set(popped) == {key for key, _ in added}
