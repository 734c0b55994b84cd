"""How many records a worker takes at a time: as many as it can do quickly."""

import math
from typing import Any

from processor.errors import Aborted
from processor.runtime.worker import Worker
from processor.testing import ManualClock


class _Log:
    """Has as many records as are asked for; each takes `record_ms` to commit."""

    def __init__(self, clock: ManualClock, record_ms: float, times_out_ms: float) -> None:
        self.clock, self.record_ms, self.times_out_ms = clock, record_ms, times_out_ms
        self.asked: list[int] = []

    def poll(self, records_max: int, timeout_s: float) -> list[Any]:
        self.asked.append(records_max)
        return [_Record()] * records_max

    def commit(self) -> None:
        took_ms = self.asked[-1] * self.record_ms
        self.clock.time_ms += int(took_ms)
        if took_ms > self.times_out_ms:
            raise Aborted("the transaction timed out")

    def assignments(self) -> list[Any]:
        return []

    def send(self, outputs: Any) -> None: ...

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def lag(self) -> dict[int, int]:
        return {}

    def caught_up(self, partition: int) -> bool:
        return False


class _Record:
    def timestamp(self) -> tuple[int, int]:
        return 2, 0

    def partition(self) -> int:
        return 0


class _Task:
    dirty = False

    def process(self, records: Any) -> list[Any]:
        return []

    def state_records(self) -> list[Any]:
        return []

    def committed(self) -> None: ...

    lacks_events = False

    def aborted(self) -> None: ...


class _Observer:
    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def _sizes(
    record_ms: float, turns: int, *, batch_records_max: int = 50_000, times_out_ms: float = math.inf
) -> list[int]:
    clock = ManualClock()
    log = _Log(clock, record_ms, times_out_ms)
    worker = Worker(
        log,  # type: ignore[arg-type]
        lambda _: _Task(),  # type: ignore[arg-type,return-value]
        clock,
        _Observer(),
        batch_records_max=batch_records_max,
        punctuate_ms=500,
        sleep=lambda _: None,
    )
    worker.tasks[0] = _Task()  # type: ignore[assignment]
    for _ in range(turns):
        worker.step()
    return log.asked


def test_quick_turns_take_more_up_to_the_limit():
    """0.03 ms a record: the batch doubles until a turn takes a second, or the limit is reached."""
    assert _sizes(0.03, 6) == [5_000, 10_000, 20_000, 40_000, 40_000, 40_000]
    assert _sizes(0.001, 5, batch_records_max=12_000) == [5_000, 10_000, 12_000, 12_000, 12_000]


def test_slow_turns_take_less():
    """20 ms a record: the batch halves until a turn takes three seconds, so that no transaction times out."""
    assert _sizes(20, 8) == [5_000, 2_500, 1_250, 625, 312, 156, 78, 78]


def test_a_batch_that_timed_out_is_smaller_the_next_time():
    """As large as it was, it would time out again, for ever; a commit that fails at once changes nothing."""
    assert _sizes(20, 10, times_out_ms=10_000) == [5_000, 2_500, 1_250, 625, 312, 156, 78, 78, 78, 78]
    assert _sizes(0.5, 4, times_out_ms=0) == [5_000, 5_000, 5_000, 5_000]
