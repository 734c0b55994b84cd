"""Dead slots are fenced side by side: with one after the other, a worker with many would stand still for too long."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from processor.kafka.worker import transactions

AT_ONCE = 16


def test_sixteen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the others of its sixteen, which never come if they are not begun; all are let go of."""
    together = threading.Barrier(AT_ONCE, timeout=30)
    closed: list[int] = []

    class Waiting:
        def __init__(self, conf: Mapping[str, Any], group_id: str, slot: int) -> None:
            self.slot = slot
            together.wait()

        def close(self) -> None:
            closed.append(self.slot)

    monkeypatch.setattr(transactions, "Transactions", Waiting)
    transactions.fence({}, "group", range(2 * AT_ONCE))
    assert sorted(closed) == list(range(2 * AT_ONCE))
