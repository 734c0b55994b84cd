"""A run that dies at any step and starts again commits what a calm run commits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.runtime.worker import Worker
from processor.testing import Fault, MemoryBroker
from tests.runtime.world import GAP_MS, NOW_MS, broker, message, outcome, run_until_done, worker_on

USERS = ("ann", "bob", "cem", "dia", "eve")
Steps = list[tuple[str, int, bool]]  # user, pause before it in quarters of a ms, whether it is bad
STEPS = st.tuples(st.sampled_from(USERS), st.integers(0, 2 * GAP_MS), st.booleans())


def _filled(steps: Steps) -> MemoryBroker:
    memory = broker()
    at_ms = NOW_MS - 30 * GAP_MS
    for number, (user_id, pause_ms, bad) in enumerate(steps):
        at_ms += pause_ms // 4
        memory.produce("raw", user_id, b"{bad" if bad else message(user_id, at_ms, number=number))
    return memory


def _run(steps: Steps, faults: dict[int, Fault]) -> tuple[MemoryBroker, Worker]:
    memory = _filled(steps)
    worker, observer = worker_on(memory, faults=faults, batch_records_max=3)
    run_until_done(worker, memory)
    assert len(observer.failures) <= len(faults)
    return memory, worker


@given(st.lists(STEPS, max_size=30), st.dictionaries(st.integers(0, 12), st.sampled_from(Fault), max_size=4))
@settings(max_examples=60)
def test_a_crash_is_invisible(steps, faults):
    """Whether a failed commit took effect or not, the outputs are those of a calm run, and memory equals the log."""
    calm, undisturbed = _run(steps, {})
    memory, worker = _run(steps, faults)
    assert outcome(memory) == outcome(calm)
    for partition, task in worker.tasks.items():
        assert task.open_sessions == undisturbed.tasks[partition].open_sessions
        latest = {record.raw_key: record.raw_value for record in memory.topics["state"][partition]}
        assert task.states == {key: value for key, value in latest.items() if value is not None}


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("commit", range(6))
def test_at_every_commit(commit, fault):
    """The same, commit by commit."""
    steps = [(USERS[n % 5], GAP_MS if n % 4 else 3 * GAP_MS, n % 7 == 3) for n in range(18)]
    calm, _ = _run(steps, {})
    memory, _ = _run(steps, {commit: fault})
    assert outcome(memory) == outcome(calm)


def test_memory_restored_equals_memory_lived():
    """A worker that starts now remembers, byte for byte, what one that lived through all of it does."""
    steps = [(USERS[n % 5], n * 100_000, False) for n in range(40)]
    memory, lived = _run(steps, {})
    restored, _ = worker_on(memory)
    run_until_done(restored, memory)
    for partition, task in lived.tasks.items():
        assert restored.tasks[partition].states == task.states
        assert restored.tasks[partition].open_sessions == task.open_sessions
