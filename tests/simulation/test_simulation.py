"""Histories by chance: whatever the order, every record is processed exactly once. `make simulate` runs many more."""

from typing import Any

import pytest

from processor.testing import MemoryLog
from tests.runtime.stage import NAMES
from tests.simulation.__main__ import is_broken
from tests.simulation.shrinking import shortest
from tests.simulation.simulation import WEIGHTS, Simulation, as_text, history_of

STEPS = 400


@pytest.mark.parametrize("seed", range(20))
def test_exactly_once_whatever_happens(seed: int) -> None:
    """Every record is tagged, dead-lettered or rerouted once, in order; events and states are those of the rules."""
    assert Simulation().run(history_of(seed, STEPS)).tagged > 50


def test_everything_happens() -> None:
    """All that can happen happens in one history."""
    assert {step.action for step in history_of(0, STEPS)} == WEIGHTS.keys()


def test_a_seed_gives_the_same_run() -> None:
    """So that a failure can be looked at again."""
    first, second = Simulation(), Simulation()
    first.run(history_of(7, STEPS))
    second.run(history_of(7, STEPS))
    for name in NAMES:
        assert first.stage.broker.values(name) == second.stage.broker.values(name)


def test_the_shortest() -> None:
    """Nothing more can be left out."""
    assert shortest(range(100), lambda items: {3, 50, 51} <= set(items)) == [3, 50, 51]
    assert shortest([1, 2], lambda items: True) == []


def test_a_broken_promise_is_found_and_told_shortly(monkeypatch: Any) -> None:
    """A log on which a worker that the group gave up may still commit has records tagged twice."""
    monkeypatch.setattr(MemoryLog, "commit", commit_of_anybody)
    broken = next(history for seed in range(20) if is_broken(history := history_of(seed, STEPS)))
    told = as_text(shortest(broken, is_broken))
    assert told.count("\n") <= 10
    assert "Broken: " in told


def commit_of_anybody(log: MemoryLog) -> None:
    for output in log._open:
        log._broker.append(output)
    log._broker.committed.update(log._positions)
    log._open, log._batch = [], {}
