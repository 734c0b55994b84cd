"""What an exporter that follows tells its operator."""

import json

import pytest

from processor.bundles.bundle import BundleOutcome
from processor.errors import BrokerUnavailable, StoreUnavailable, TargetUnavailable
from processor.runtime.ports import Cause
from processor.sessions.model import UnreadableRow
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.projection.feed import Standstill
from processor.sessions.projection.progress import ExportProgress
from tests.observe.told import Told

AWAY = BrokerUnavailable("no broker answers")
NO_ROOM = StoreUnavailable("the store is full")
FULL = TargetUnavailable("the disk is full")


@pytest.fixture
def told() -> Told:
    return Told()


def test_counts(told: Told) -> None:
    """Totals become counters that only grow; the time of the last stored record moves with records alone."""
    told.observer.followed(ExportProgress())
    assert told.value("a3cp_export_records_total", kind="messages") == 0
    assert told.value("a3cp_export_last_stored_timestamp_seconds") == 0
    told.observer.followed(ExportProgress(5, 2, 1, left=40))
    told.observer.followed(ExportProgress(7, 2, 1, left=3))
    told.observer.wrote({BundleOutcome.WRITTEN.value: 2})
    told.observer.wrote({BundleOutcome.WRITTEN.value: 3, BundleOutcome.REPLACED.value: 1})
    kinds = [told.value("a3cp_export_records_total", kind=kind) for kind in ("messages", "events", "unreadable")]
    assert kinds == [7, 2, 1]
    outcomes = [told.value("a3cp_export_bundles_total", outcome=outcome.value) for outcome in BundleOutcome]
    assert outcomes == [3, 1, 0, 0]
    assert told.value("a3cp_export_lag_offsets") == 3
    assert told.value("a3cp_export_last_stored_timestamp_seconds") != 0


def test_ready_once_it_follows(told: Told) -> None:
    """Not before it is in its group."""
    assert told.health.not_ready() != []
    told.observer.followed(ExportProgress())
    assert told.health.not_ready() == []


def test_trouble_is_told_once_and_is_over_when_something_was_stored(told: Told) -> None:
    """An empty poll while it is behind is no proof, since the store may still have no room; being at the end is."""
    told.observer.followed(ExportProgress(1, left=2))
    for _ in range(2):
        told.observer.not_followed(NO_ROOM)
        told.observer.followed(ExportProgress(1, left=2))
        assert told.health.not_ready() == ["the store is full"]
        assert told.health.not_alive() == []
    told.observer.followed(ExportProgress(2, left=2))
    assert told.health.not_ready() == []
    told.observer.not_followed(NO_ROOM)
    told.observer.followed(ExportProgress(2, left=0))
    assert told.health.not_ready() == []
    assert told.lines() == [("warning", "store", "trying again"), ("info", "store", "it goes on")] * 2


def test_a_broker_that_answers_an_exporter_without_partitions(told: Told) -> None:
    """It stores nothing, others do and are behind: it is ready all the same."""
    told.observer.not_followed(AWAY)
    told.observer.followed(ExportProgress(left=50))
    assert told.health.not_ready() == []


def test_a_target_and_a_store_are_troubles_of_their_own(told: Told) -> None:
    """That records are stored does not make a full disk empty."""
    told.observer.not_wrote(FULL)
    told.observer.not_followed(AWAY)
    assert told.health.not_ready()[0] == "the disk is full; no broker answers"
    told.observer.followed(ExportProgress(1))
    assert told.health.not_ready() == ["the disk is full"]
    told.observer.wrote({})
    assert told.health.not_ready() == []


def test_what_is_set_aside_is_named_once(told: Told) -> None:
    """Each record has a line with its position and reason when it is set aside, and all have one when they are read."""
    rows = tuple(UnreadableRow("tagged", "no such schema; register it", b"", 5, 1, offset) for offset in (7, 9))
    told.observer.followed(ExportProgress(unreadable=1, aside=rows[:1]))
    told.observer.followed(ExportProgress(unreadable=2, aside=rows))
    told.observer.followed(ExportProgress(unreadable=2, aside=rows, waiting=2))
    told.observer.followed(ExportProgress(unreadable=2, aside=rows, again=2))
    assert told.lines() == [("warning", "store", "set aside")] * 2 + [("info", "store", "read again")]
    assert [json.loads(line)["metadata"].get("position") for line in told.log()] == [
        "a3cp.tagged[1]@7",
        "a3cp.tagged[1]@9",
        None,
    ]


def test_a_partition_that_stands_still(told: Told) -> None:
    """It is told once with its place, on `/readyz` and by a metric, each topic for itself, until it goes on."""
    why = "schema registry does not answer for schema id 7"
    tagged = Standstill(TAGGED, 1, 5, Cause.REGISTRY, why, "look at it")
    sessions = Standstill(SESSIONS, 1, 9, Cause.UNREADABLE, "the batch cannot be read", "see the docs")
    name = "a3cp_export_partition_waiting"
    labels = {"topic": "a3cp.tagged", "partition": "1", "cause": "registry"}
    for _ in range(2):
        told.observer.followed(ExportProgress(standing=(tagged, sessions)))
    assert told.lines() == [("warning", "store", "stands still"), ("error", "store", "stands still")]
    assert json.loads(told.log()[0])["metadata"]["position"] == "a3cp.tagged[1]@5"
    assert told.health.not_ready() == [
        "waits at a3cp.sessions[1]@9: the batch cannot be read; see the docs",
        f"waits at a3cp.tagged[1]@5: {why}; look at it",
    ]
    assert told.value(name, **labels) == 1
    told.observer.followed(ExportProgress(standing=(sessions,)))
    assert told.value(name, **labels) == 0
    told.observer.followed(ExportProgress())
    assert told.health.not_ready() == []
    assert told.lines()[2:] == [("info", "store", "goes on")] * 2
