"""How much is measured: the sizes of the project's targets, and small ones that only show that the harness works."""

from dataclasses import dataclass
from typing import Final

GAP_MS: Final = 30 * 60_000  # the session gap of the job that every system runs
QUIET_NEVER_MS: Final = 3_600_000  # no clock-driven session ends while the drain is measured: the peers have none


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of one run of the benchmark."""

    name: str
    messages: int  # of the drain
    users: int
    partitions: int
    runs: int  # of each system; the median counts
    rate: int  # messages a second for the latency
    warm_messages: int  # backlog that warms a system up before its latency is measured
    warm_s: float
    measure_s: float
    pure_messages: int
    many_users: int  # "a million"
    large_messages: int  # a second, larger drain with the many users; 0 for none
    quiet_wait_s: float  # how long a measurement waits for the machine to be idle
    takeovers: int
    export_messages: int
    export_sessions: int
    retries: int  # of a measurement during which others were busy
    sockets: int
    found_sessions: int


FULL: Final = Scale(
    "full",
    500_000,
    20_000,
    4,
    3,
    1_000,
    100_000,
    10.0,
    20.0,
    500_000,
    1_000_000,
    2_000_000,
    300.0,
    3,
    1_000_000,
    20_000,
    2,
    2_000,
    100_000,
)
QUICK: Final = Scale(
    "quick", 20_000, 2_000, 4, 1, 500, 5_000, 1.0, 3.0, 20_000, 20_000, 0, 5.0, 1, 8_000, 160, 0, 100, 2_000
)
