"""The loop: what it commits is the same whatever fails on the way."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.errors import BrokerUnavailable, Fatal, OwnershipLost, RegistryUnavailable
from processor.runtime.ports import Assigned, Output, RawRecord, Revoked
from processor.runtime.worker import Worker
from processor.testing import Fault, MemoryLog
from tests.runtime.stage import NAMES, RULES, Stage, Told, fill

GAP_MS = RULES.gap_ms
Outcome = dict[str, list[list[tuple[bytes | None, bytes | None]]]]


def outcome(stage: Stage) -> Outcome:
    """Return all outputs, by topic and partition."""
    return {
        name: [[(record.raw_key, record.raw_value) for record in log] for log in stage.broker.topics[name]]
        for name in (NAMES.tagged, NAMES.sessions, NAMES.dlq)
    }


def calm(count: int, seed: int = 1) -> Outcome:
    """Return what a run without any failure commits."""
    stage = Stage()
    fill(stage, count, seed)
    stage.member(batch_records_max=10).finish()
    stage.audit()
    return outcome(stage)


@pytest.mark.parametrize("fault", list(Fault))
def test_a_commit_may_fail_at_any_time(fault: Fault) -> None:
    """Whether a failed commit was lost or only its answer: the outputs are those of a calm run, at each commit."""
    expected = calm(60)
    for index in range(12):
        stage = Stage()
        fill(stage, 60)
        member = stage.member({index: fault}, batch_records_max=10).finish()
        assert outcome(stage) == expected
        assert len(member.told.failures) <= 1
        stage.audit()


@settings(max_examples=40)
@given(
    count=st.integers(1, 80),
    seed=st.integers(0, 5),
    faults=st.dictionaries(st.integers(0, 30), st.sampled_from(Fault), max_size=6),
    crashes=st.lists(st.integers(1, 6), max_size=4),
    batch=st.integers(1, 40),
)
def test_killed_workers_are_invisible(
    count: int, seed: int, faults: dict[int, Fault], crashes: list[int], batch: int
) -> None:
    """A run that dies at any step and starts again commits what a calm run commits."""
    stage = Stage()
    fill(stage, count, seed)
    for steps in crashes:
        member = stage.member(faults, batch_records_max=batch)
        for _ in range(steps):
            member.worker.step()
        stage.broker.remove(member.log)  # It is gone without a word.
    stage.member(faults, batch_records_max=batch).finish()
    assert outcome(stage) == calm(count, seed)
    stage.audit()


def test_idle_sessions_end_only_when_caught_up_and_quiet() -> None:
    """A backlog is not idleness (rule R4): with records still to read, or just read, the clock ends nothing."""
    stage = Stage()
    stage.say("maria", 0)
    stage.clock.time_ms += 10 * GAP_MS
    for number in range(50):
        stage.say("marc", 10 * GAP_MS + number)  # A backlog behind maria's message, perhaps with more of hers.
    stage.say("maria", GAP_MS)
    member = stage.member(batch_records_max=1)
    while not member.done:
        stage.clock.time_ms += 100
        member.worker.step()
        assert "ended" not in stage.kinds() or member.log.lag()[0] == 0
    stage.clock.time_ms += RULES.quiet_ms + 2_000
    member.finish()
    assert stage.kinds().count("ended") == 1
    assert [view.session_seq for view in stage.views(NAMES.tagged) if view.user_id == "maria"] == [1, 2]
    stage.audit(clocked=True)


def test_the_clock_ends_nothing_while_records_wait_behind_an_open_transaction() -> None:
    """They may be the user's: a partition is not caught up before they are read (rule R4)."""
    stage = Stage()
    stage.say("maria", 0)
    member = stage.member().finish()
    raw = stage.broker.topics[NAMES.raw]
    partition = next(number for number, log in enumerate(raw) if log)
    stage.broker.hidden[partition] = 1
    stage.clock.time_ms += GAP_MS
    stage.say("maria", GAP_MS)
    stage.clock.time_ms += 10 * GAP_MS
    for _ in range(5):
        stage.clock.time_ms += 200
        member.worker.step()
    assert stage.kinds() == ["started"]
    stage.broker.hidden.clear()
    member.finish()
    assert [view.session_seq for view in stage.views(NAMES.tagged)] == [1, 2]
    stage.clock.time_ms += RULES.quiet_ms + 2_000
    member.finish()
    assert stage.kinds() == ["started", "ended"]
    stage.audit(clocked=True)


def test_a_message_after_the_announced_end_reopens_the_session() -> None:
    """The clock's end is taken back, and told again with the next revision."""
    stage = Stage()
    stage.say("maria", 0)
    member = stage.member().finish()
    stage.clock.time_ms += GAP_MS + RULES.quiet_ms + 2_000
    member.finish()
    stage.say("maria", GAP_MS)
    member.finish()
    stage.clock.time_ms += 2 * GAP_MS + RULES.quiet_ms
    member.finish()
    events = stage.views(NAMES.sessions)
    assert [event.kind for event in events] == ["started", "ended", "reopened", "ended"]
    assert [event.revision for event in events if event.kind == "ended"] == [0, 1]
    assert stage.audit(clocked=True).reopened == 1


def test_deadlines_survive_a_restart() -> None:
    """A successor that reads no record ends the sessions that its predecessor left open."""
    stage = Stage()
    stage.say("maria", 0)
    stage.member().finish().log.close()
    stage.clock.time_ms += GAP_MS + RULES.quiet_ms + 2_000
    successor = stage.member()
    for _ in range(3):
        stage.clock.time_ms += 100
        successor.worker.step()
    assert stage.kinds() == ["started", "ended"]


class Unlucky(MemoryLog):
    """A log whose first calls of one method fail."""

    def __init__(self, stage: Stage, method: str, error: Exception, times: int) -> None:
        self.method, self.error, self.times = method, error, times
        super().__init__(stage.broker, raw=NAMES.raw, state=NAMES.state)

    def fail(self, method: str) -> None:
        if method == self.method and self.times > 0:
            self.times -= 1
            raise self.error

    def poll(self, records_max: int, timeout_s: float) -> Sequence[RawRecord]:
        self.fail("poll")
        return super().poll(records_max, timeout_s)

    def send(self, outputs: Sequence[Output]) -> None:
        super().send(outputs)
        self.fail("send")

    def recover(self) -> None:
        self.fail("recover")
        super().recover()


def unlucky(stage: Stage, log: MemoryLog, sleep: Callable[[float], object] = lambda _: None) -> tuple[Worker, Told]:
    told = Told()
    worker = Worker(log, stage.task, stage.clock, told, batch_records_max=10, punctuate_ms=100, sleep=sleep)
    return worker, told


@pytest.mark.parametrize("method", ["poll", "send"])
@pytest.mark.parametrize("error", [BrokerUnavailable("away"), OwnershipLost("fenced"), RegistryUnavailable("away")])
def test_what_can_be_overcome_is_overcome(method: str, error: Exception) -> None:
    """With growing pauses, up to a limit, and as if nothing had been."""
    stage = Stage()
    fill(stage, 40)
    pauses: list[float] = []
    worker, told = unlucky(stage, Unlucky(stage, method, error, times=9), pauses.append)
    for _ in range(60):
        worker.step()
    assert outcome(stage) == calm(40)
    assert told.failures == [error] * 9
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == 3.0


def test_a_recovery_that_fails_is_tried_again() -> None:
    """A broker that stays away for long: each recovery fails, and the last one does not."""
    stage = Stage()
    fill(stage, 40)
    log = Unlucky(stage, "recover", BrokerUnavailable("away"), times=0)
    log._faults = {1: Fault.LOST}
    log.times = 5
    worker, told = unlucky(stage, log)
    for _ in range(60):
        worker.step()
    assert len(told.failures) == 6
    assert outcome(stage) == calm(40)


def test_a_fatal_error_stops_the_worker_and_closes_the_log() -> None:
    """Nothing is tried again, and the group is left."""
    stage = Stage()
    log = Unlucky(stage, "poll", Fatal("no"), times=1)
    worker, _ = unlucky(stage, log)
    with pytest.raises(Fatal):
        worker.run()
    assert log.closed


def test_stop_ends_the_run_after_its_turn() -> None:
    """What was polled is committed before it ends."""
    stage = Stage()
    fill(stage, 5)
    log = MemoryLog(stage.broker, raw=NAMES.raw, state=NAMES.state)
    worker, told = unlucky(stage, log)
    stop: Any = worker.stop
    told.committed = lambda *_: stop()  # type: ignore[method-assign]
    worker.run()
    assert log.closed
    assert stage.broker.committed


class Late(MemoryLog):
    """Gives partitions when told to, and notes how long each poll may wait."""

    given = False

    def __init__(self, stage: Stage) -> None:
        self.waits_s: list[float] = []
        super().__init__(stage.broker, raw=NAMES.raw, state=NAMES.state)

    def assignments(self) -> Sequence[Assigned | Revoked]:
        return super().assignments() if self.given else ()

    def poll(self, records_max: int, timeout_s: float) -> Sequence[RawRecord]:
        self.waits_s.append(timeout_s)
        return super().poll(records_max, timeout_s) if self.given else ()


def test_partitions_are_taken_up_soon() -> None:
    """A poll ends late after an assignment; so it is short while there are no partitions, whatever the clock's turn."""
    stage = Stage()
    log = Late(stage)
    worker = Worker(
        log, stage.task, stage.clock, Told(), batch_records_max=10, punctuate_ms=5_000, sleep=lambda _: None
    )
    worker.step()
    log.given = True
    worker.step()
    assert log.waits_s == [0.1, 5.0]
