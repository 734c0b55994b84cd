"""A schema that the registry does not give: one partition waits for it, all others are stored, and order is kept."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processor.runtime.ports import Cause
from processor.runtime.questions import in_background
from processor.sessions.ports import TAGGED
from processor.sessions.projection.decoding import RecordWaits
from processor.sessions.projection.feed import Standstill
from processor.sessions.projection.progress import ExportProgress
from processor.store import open_store
from processor.store.sql import SqlStore
from tests.sessions.exporting import Hasty, Seen, export, exporting, held_by
from tests.sessions.outputs import MemoryFeed
from tests.sessions.registered import FAILS, FAILS_TOO, FINE, FIRST, RECORDS, Registered


def run(store: SqlStore, codec: Registered, **options: Any) -> ExportProgress:
    """Export up to the end; what stands still is not waited for."""
    return export(store, RECORDS, decode=codec.decode, give_up_s=-1.0, **options)


@pytest.fixture
def calm(tmp_path: Path) -> Any:
    """What a run leaves to which the registry gives all."""
    store = open_store(f"sqlite:///{tmp_path / 'calm.db'}")
    run(store, Registered())
    held = held_by(store)
    store.close()
    return held


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_all_else_is_stored(store: SqlStore, calm: Any, chunk: int) -> None:
    """Up to the end: each partition is stored up to its record that waits, and all others whole; then all is read."""
    done = run(store, Registered(FAILS, FAILS_TOO), chunk=chunk)
    assert {place[:2]: place for place in done.standing} == {
        (topic, partition): Standstill(
            topic, partition, offset, Cause.REGISTRY,
            f"no answer for {FAILS_TOO if (topic, partition) == (TAGGED, 1) else FAILS}", "look at the registry",
        )
        for (topic, partition), offset in FIRST.items()
    }  # fmt: skip
    ends = MemoryFeed(RECORDS).ends()
    assert store.writer.offsets() == {**ends, **FIRST}
    assert done.left == sum(ends[source] - offset for source, offset in FIRST.items())
    assert done.messages + done.events == sum(r.offset < FIRST.get(r[:2], 10**9) for r in RECORDS)
    last = run(store, Registered(), chunk=chunk)
    assert (last.left, last.standing) == (0, ())
    assert held_by(store) == calm


def until(
    seen: list[ExportProgress], *conditions: Callable[[ExportProgress], bool], then: Callable[[int], None]
) -> Any:
    """Return what stops once each of `conditions` has been met, one after the other; `then` is told of each."""
    met = iter(range(len(conditions)))
    number = next(met)

    def stopped() -> bool:
        nonlocal number
        if seen and conditions[number](seen[-1]):
            then(number)
            number = next(met, -1)
        return number < 0

    return stopped


def test_each_goes_on_by_itself(store: SqlStore, calm: Any) -> None:
    """What follows asks again; an answer lets the partitions go on that wait for it, and no others."""
    report = Seen()
    codec = Registered(FAILS, FAILS_TOO)
    mend = [FAILS, FAILS_TOO, FINE]
    stopped = until(
        report.progress,
        lambda now: len(now.standing) == 3 and len(codec.asked) > 20,
        lambda now: {place.why[-1] for place in now.standing} == {str(FAILS_TOO)} and len(now.standing) == 2,
        lambda now: not now.standing and held_by(store) == calm,
        then=lambda number: codec.fails.discard(mend[number]),
    )
    exporting(store, RECORDS, decode=codec.decode, report=report, stopped=stopped, clock=Hasty()).run(to_end=False)
    assert held_by(store) == calm


def test_a_schema_is_asked_for_once_at_a_time(store: SqlStore) -> None:
    """However many partitions and records wait for it."""
    codec = Registered(FAILS, FAILS_TOO)
    run(store, codec)
    assert sorted(codec.asked) == [FAILS, FAILS, FAILS_TOO]  # Of each topic, since it is another question there.


def test_a_slow_question_holds_up_nobody_else(store: SqlStore, calm: Any) -> None:
    """A thread asks: all else is stored, to its end, while the registry keeps it waiting; then the rest is."""
    codec, report = Registered(FAILS), Seen()
    codec.slow.clear()
    rest = {source: offset for source, offset in FIRST.items() if source != (TAGGED, 1)}
    ends = {**MemoryFeed(RECORDS).ends(), **rest}

    def answer(_: int) -> None:
        assert codec.asked.count(FAILS) == 2  # Of each topic, and nobody got an answer.
        assert report.progress[-1].standing == ()  # Nothing is known of them yet.
        codec.fails.clear()
        codec.slow.set()

    stopped = until(
        report.progress,
        lambda _: store.writer.offsets() == ends,
        lambda now: not now.standing and held_by(store) == calm,
        then=lambda number: answer(number) if number == 0 else None,
    )
    exporter = exporting(
        store, RECORDS, decode=codec.decode, report=report, stopped=stopped, clock=Hasty(), start=in_background
    )
    exporter.run(to_end=False)


def test_a_process_can_hand_on_what_waits() -> None:
    """Another process decodes, and this one hears of which record."""
    error = RecordWaits("no answer", (TAGGED, 1, 5), remedy="look")
    again = pickle.loads(pickle.dumps(error))
    assert (again.what, again.place, again.remedy, str(again)) == (error.what, error.place, "look", "no answer; look")
