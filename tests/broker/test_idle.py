"""Idle sessions end by the clock, once the partition is caught up and the user's records have stopped (rule R4)."""

import time
from pathlib import Path

import pytest

from processor.core.model import Rules
from tests.broker.audit import make_codec, read_topic
from tests.broker.fleet import Fleet, Watcher, await_true, message, produce

pytestmark = pytest.mark.broker

GAP_MS = 1_500
QUIET_MS = 500


def test_an_idle_session_ends_and_is_reopened(kafka: str, topics: str, tmp_path: Path) -> None:
    """The end is announced without any record; a late one within the gap takes it back; the next end is revision 1."""
    rules = Rules(gap_ms=GAP_MS, quiet_ms=QUIET_MS)
    with Fleet(kafka, topics, tmp_path, gap_ms=GAP_MS, quiet_ms=QUIET_MS) as fleet:
        with Watcher(kafka, fleet.names.sessions) as events:
            fleet.start()
            now_ms = time.time_ns() // 1_000_000
            produce(kafka, fleet.names.raw, iter([("ann", message("ann", now_ms, number=1))]))
            events.await_count(2)  # started, ended
            produce(kafka, fleet.names.raw, iter([("ann", message("ann", now_ms + GAP_MS, number=2))]))
            events.await_count(4)  # reopened, ended
        assert fleet.audit(rules).reopened == 1
    decode = make_codec().decode_event
    told = [decode(row.value or b"") for rows in read_topic(kafka, fleet.names.sessions) for row in rows]
    assert [(view.kind, view.revision) for view in told] == [
        ("started", None), ("ended", 0), ("reopened", None), ("ended", 1),
    ]  # fmt: skip
    assert [view.end_time for view in told if view.kind == "ended"] == [now_ms, now_ms + GAP_MS]


def test_a_successor_ends_what_was_left_open(kafka: str, topics: str, tmp_path: Path) -> None:
    """With no record to read: the deadlines come with the restored states."""
    with Fleet(kafka, topics, tmp_path, gap_ms=GAP_MS, quiet_ms=QUIET_MS) as fleet:
        with Watcher(kafka, fleet.names.sessions) as events:
            now_ms = time.time_ns() // 1_000_000
            first = fleet.start()
            people = [
                (f"user-{number}", message(f"user-{number}", now_ms + 3_000, number=number)) for number in range(20)
            ]
            produce(kafka, fleet.names.raw, iter(people))
            events.await_count(20)
            first.kill()
            fleet.start()
            events.await_count(40)
        assert fleet.audit(Rules(gap_ms=GAP_MS, quiet_ms=QUIET_MS)).sessions == 20


@pytest.mark.long
def test_a_machine_whose_clock_is_days_ahead_ends_nothing_early(kafka: str, topics: str, tmp_path: Path) -> None:
    """Before, at and after a restart: the broker's time counts, and nobody is forgotten."""
    (tmp_path / "sitecustomize.py").write_text(
        "import time\n"
        "ahead_ns, true_ns = 3 * 86_400 * 10**9, time.time_ns\n"
        "time.time_ns = lambda: true_ns() + ahead_ns\n"
        "time.time = lambda: time.time_ns() / 1e9\n"
    )
    with Fleet(kafka, topics, tmp_path, gap_ms=600_000, quiet_ms=QUIET_MS) as fleet:
        fleet.environ["PYTHONPATH"] = str(tmp_path)
        worker = fleet.start()
        for number in range(2):
            produce(kafka, fleet.names.raw, iter([("ann", message("ann", time.time_ns() // 1_000_000, number=number))]))
            fleet.await_processed()
            time.sleep(3 * QUIET_MS / 1000)  # The clock acts twice a second.
            worker.stop()
            worker = fleet.start()
        await_true("restored", lambda: worker.said("restored") == 4)
        time.sleep(3 * QUIET_MS / 1000)
        assert fleet.audit(Rules(gap_ms=600_000, quiet_ms=QUIET_MS)).sessions == 1
    decode = make_codec().decode_event
    told = [decode(row.value or b"") for rows in read_topic(kafka, fleet.names.sessions) for row in rows]
    assert [view.kind for view in told] == ["started"]


def test_a_backlog_is_not_idleness(kafka: str, topics: str, tmp_path: Path) -> None:
    """Old messages, produced before the worker starts: no end is announced that a later message takes back."""
    with Fleet(kafka, topics, tmp_path, gap_ms=GAP_MS, quiet_ms=QUIET_MS, batch_records_max=20) as fleet:
        old_ms = time.time_ns() // 1_000_000 - 86_400_000
        records = [
            (f"user-{number % 50}", message(f"user-{number % 50}", old_ms + number * 20, number=number))
            for number in range(4_000)
        ]
        produce(kafka, fleet.names.raw, iter(records))
        fleet.start()
        found = fleet.audit(Rules(gap_ms=GAP_MS, quiet_ms=QUIET_MS))
        assert (found.sessions, found.reopened) == (50, 0)
