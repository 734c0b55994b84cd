"""How often one caller may ask."""

import pytest

from processor.faces.middleware.ratelimits import CALLERS_MAX, RateLimits
from processor.faces.problems import Problem


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def is_let_in(limits: RateLimits, key: str) -> bool:
    try:
        limits.count(key)
    except Problem as problem:
        return problem.code != "rate_limited"
    return True


def let_in(limits: RateLimits, key: str, requests: int) -> int:
    return sum(is_let_in(limits, key) for _ in range(requests))


def test_so_many_a_second_and_no_more() -> None:
    """At once or spread; after a pause as many again, after half a second half of them; each caller has its own."""
    clock = Clock()
    limits = RateLimits(10, clock)
    assert let_in(limits, "ann", 25) == 10
    assert let_in(limits, "bob", 5) == 5
    clock.now_s += 0.5
    assert let_in(limits, "ann", 25) == 5
    clock.now_s += 60
    assert let_in(limits, "ann", 25) == 10, "what was not asked is not saved up"


def test_no_limit() -> None:
    """0 lets all in."""
    assert let_in(RateLimits(0), "ann", 100) == 100


def test_many_callers_take_no_memory_for_ever() -> None:
    """Those who have not asked for a second are forgotten when there are too many."""
    clock = Clock()
    limits = RateLimits(10, clock)
    for number in range(3 * CALLERS_MAX):
        clock.now_s += 0.001
        limits.count(str(number))
    assert len(limits._levels) <= CALLERS_MAX


def test_too_many_at_once_are_not_forgotten() -> None:
    """Nobody gets a new allowance by making the service forget."""
    limits = RateLimits(1, Clock())
    for number in range(CALLERS_MAX + 5):
        limits.count(str(number))
    with pytest.raises(Problem):
        limits.count("0")
