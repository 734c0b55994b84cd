"""Waiting for something that comes soon."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0


def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)
