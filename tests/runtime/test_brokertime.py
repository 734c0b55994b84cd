"""What the broker's clock shows, as a worker knows it."""

from processor.runtime.brokertime import BrokerTime

DAY_MS = 86_400_000


class Monotonic:
    def __init__(self) -> None:
        self.now_s = 7.0

    def __call__(self) -> float:
        return self.now_s


def test_time_passes_by_the_monotonic_clock_from_an_append_time_on() -> None:
    """However long nothing comes, and whatever the machine's date is."""
    clock = Monotonic()
    time = BrokerTime(clock)
    time.saw(DAY_MS)
    assert time.now_ms() == DAY_MS
    clock.now_s += 3.5
    assert time.now_ms() == DAY_MS + 3_500


def test_a_backlog_does_not_set_it_back() -> None:
    """Old records say nothing of now. Fresh ones move it on, as after a machine's sleep."""
    clock = Monotonic()
    time = BrokerTime(clock)
    time.saw(DAY_MS)
    time.saw(1_000)
    assert time.now_ms() == DAY_MS
    clock.now_s += 1
    time.saw(DAY_MS + 900)
    assert time.now_ms() == DAY_MS + 1_000
    time.saw(3 * DAY_MS)
    assert time.now_ms() == 3 * DAY_MS
