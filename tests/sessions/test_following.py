"""Following: what is read is written once, whatever stops answering, and an export ends where it should."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from processor.errors import A3CPError, BrokerUnavailable, StoreMoved, StoreUnavailable, UsageError
from processor.runtime.identities import Identities
from processor.runtime.ports import Assigned, Cause
from processor.sessions.due import hand_on, view_of
from processor.sessions.model import SessionRow
from processor.sessions.ports import TAGGED, SessionFilter, SessionReader, Source, Transaction
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.progress import ExportProgress
from processor.store import open_store
from processor.store.sql import SqlStore
from tests.sessions.exporting import Hasty, Seen, export, exporting, held_by
from tests.sessions.outputs import MemoryFeed, message, processed

RECORDS = processed([message(f"user-{n % 5}", n * 1000, source="ui", transcript=f"word{n}") for n in range(60)])


class Shaky:
    """A store whose writer fails at chosen writes, before or after the database has taken them."""

    def __init__(self, store: SqlStore, failures: Mapping[int, tuple[bool, A3CPError]]) -> None:
        self._store = store
        self._failures = failures
        self._writes = 0
        self.reader = store.reader

    @property
    def writer(self) -> "Shaky":
        return self

    @contextmanager
    def transaction(self, offsets: Mapping[Source, tuple[int | None, int]]) -> Iterator[Transaction]:
        self._writes += 1
        lost, error = self._failures.get(self._writes, (None, None))
        with self._store.writer.transaction(offsets) as transaction:
            yield transaction
            if error is not None and not lost:
                raise error
        if error is not None:
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store.writer, name)


@pytest.fixture
def calm(tmp_path: Path) -> Any:
    """What a run without any trouble leaves."""
    store = open_store(f"sqlite:///{tmp_path / 'calm.db'}")
    export(store, RECORDS)
    held = held_by(store)
    store.close()
    return held


def test_an_export_ends_at_the_end(store: SqlStore, calm: Any) -> None:
    """It writes all that was there, tells how far it is, and running again finds nothing to do."""
    report = Seen()
    done = export(store, RECORDS, report=report)
    assert (done.messages, done.events, done.left) == (60, 10, 0)
    assert [p.left for p in report.progress] == sorted((p.left for p in report.progress), key=lambda left: -(left or 0))
    assert held_by(store) == calm
    assert export(store, RECORDS) == ExportProgress(left=0)
    assert held_by(store) == calm


@pytest.mark.parametrize("lost", [False, True], ids=["not written", "written, but the answer was lost"])
@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreMoved("moved")], ids=["away", "moved"])
def test_a_write_that_fails_is_made_good(store: SqlStore, calm: Any, error: A3CPError, *, lost: bool) -> None:
    """After a failure it goes on from what the store holds: nothing is lost, nothing comes twice."""
    report = Seen()
    shaky = Shaky(store, dict.fromkeys((1, 2, 5, 6), (lost, error)))
    export(shaky, RECORDS, report=report)
    assert len(report.troubles) == 4
    assert held_by(store) == calm


def test_a_broker_that_is_away_is_waited_for(store: SqlStore, calm: Any) -> None:
    """Joining the group is tried again until it works."""
    attempts = iter(range(3))

    def feed() -> MemoryFeed:
        if next(attempts) < 2:
            raise BrokerUnavailable("away")
        return MemoryFeed(RECORDS)

    export(store, RECORDS, join=feed)
    assert held_by(store) == calm


def test_an_export_gives_up(store: SqlStore) -> None:
    """A run that has an end says what does not answer, once it has tried for long enough."""

    def feed() -> MemoryFeed:
        raise BrokerUnavailable("no broker answers")

    with pytest.raises(BrokerUnavailable):
        export(store, RECORDS, join=feed, give_up_s=-1.0)


def test_following_stops_when_told(store: SqlStore) -> None:
    """It ends between two batches and leaves the group."""
    feeds: list[MemoryFeed] = []

    def feed() -> MemoryFeed:
        feeds.append(MemoryFeed(RECORDS, chunk=10))
        return feeds[-1]

    stops = iter([False, False, False, True, True])
    done = exporting(store, RECORDS, join=feed, stopped=lambda: next(stops)).run(to_end=False)
    assert 0 < done.messages + done.events <= 20
    assert feeds[0].closed


ANEW = processed([message(f"user-{n % 5}", n * 1000, source="ui", transcript="other") for n in range(120)])


@pytest.mark.parametrize("count", [5, len(RECORDS), len(ANEW)], ids=["fewer", "as many", "more"])
@pytest.mark.parametrize(
    ("ids", "why"),
    [
        ({"cluster": "c2", "tagged": "t2", "sessions": "s2"}, "filled from the Kafka cluster c1, and this one is c2"),
        ({"tagged": "t2", "sessions": "s2"}, "a former tagged and sessions, deleted and made anew since"),
        ({"sessions": "s2"}, "a former sessions, deleted and made anew since"),
    ],
    ids=["another cluster", "both topics anew", "one topic anew"],
)
def test_other_topics_are_refused(store: SqlStore, calm: Any, count: int, ids: Identities, why: str) -> None:
    """Whatever other topics of these names hold, nothing of them gets into the store."""
    export(store, RECORDS)
    with pytest.raises(UsageError, match=why):
        export(store, [], join=lambda: MemoryFeed(ANEW[:count], ids=ids))
    assert held_by(store) == calm


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (RECORDS[:5], "has read .* this Kafka ends at"),
        (RECORDS, "holds another record of .*@"),
        (ANEW, "holds another record of .*@"),
    ],
    ids=["fewer", "as many", "more"],
)
def test_a_restored_kafka_is_refused(store: SqlStore, calm: Any, records: list[OutputRecord], why: str) -> None:
    """A backup has the ids that it had; that it went on otherwise shows at the last record that the store holds."""
    export(store, RECORDS)
    restored = [record._replace(append_ms=record.append_ms + 1) for record in records]
    with pytest.raises(UsageError, match=why):
        export(store, restored)
    assert held_by(store) == calm


def test_a_last_record_that_cannot_be_compared_stops_its_partition(store: SqlStore, calm: Any) -> None:
    """Nobody knows whether that partition is the store's: it waits, told with the reason, and the others go on."""
    stops = iter([False] * 6 + [True] * 2)
    exporting(store, RECORDS, stopped=lambda: next(stops)).run(to_end=False)
    before, source, damaged = store.writer.offsets(), (TAGGED, 0), {(TAGGED, 0)}

    def feed() -> MemoryFeed:
        return MemoryFeed(RECORDS, damaged=damaged)

    (place,) = export(store, RECORDS, join=feed, give_up_s=-1.0).standing
    why = "the record that was stored last cannot be compared with this Kafka's: it is damaged"
    assert (place[:2], place.cause, place.why, place.remedy) == (source, Cause.UNREADABLE, why, "mend it")
    assert store.writer.offsets() == {**feed().ends(), source: before[source]}
    report = Seen()

    def mended() -> bool:
        if report.progress and report.progress[-1].standing:
            damaged.clear()
        return bool(held_by(store) == calm)

    exporting(store, RECORDS, join=feed, report=report, stopped=mended, clock=Hasty()).run(to_end=False)
    assert report.progress[-1].standing == ()
    assert report.troubles == []


@pytest.mark.parametrize("records", [RECORDS, []], ids=["records come", "nothing to read, a rebalance"])
def test_topics_made_anew_while_followed_are_refused(store: SqlStore, records: list[OutputRecord]) -> None:
    """What a poll returns is written only if the topics are still the ones that the store is filled from."""

    class Changing(MemoryFeed):
        polls = 0

        def poll(self, records_max: int, timeout_s: float) -> Sequence[OutputRecord]:
            self.polls += 1
            if self.polls == 2:
                self._ids = {"tagged": "t2", "sessions": "s2"}
                self._changes.append(Assigned(frozenset({0})))
            return super().poll(records_max, timeout_s)

    stops = iter([False] * 5)
    with pytest.raises(UsageError, match="deleted and made anew since"):
        exporting(
            store,
            records,
            join=lambda: Changing(records, chunk=7),
            stopped=lambda: next(stops),
        ).run(to_end=False)
    assert store.reader.totals().messages + store.reader.totals().events <= 7


def test_a_store_made_before_ids_were_kept_takes_them(store: SqlStore, calm: Any) -> None:
    """It goes on with the topics that it meets first, and from then on refuses others; so after an old broker."""

    class Old(MemoryFeed):
        def identities(self) -> Identities:
            return {}

    export(store, RECORDS, join=lambda: Old(RECORDS))
    export(store, RECORDS)
    assert held_by(store) == calm
    with pytest.raises(UsageError, match="a former tagged"):
        export(store, RECORDS, join=lambda: MemoryFeed(RECORDS, ids={"tagged": "t2"}))


class Failing:
    """Takes sessions; the third fails, once."""

    name = "there"

    def __init__(self, reader: SessionReader) -> None:
        self._reader = reader
        self.taken: list[str] = []

    def take(self, page: Sequence[SessionRow]) -> Iterator[SessionRow]:
        for session in page:
            if len(self.taken) == 2:
                self.taken.append("failed")
                raise OSError("full")
            view = view_of(self._reader, session)
            assert len(list(view.messages())) == session.held_count
            assert len(list(view.events())) == session.event_count
            self.taken.append(session.session_id)
            yield session


def test_sessions_are_handed_on_once(store: SqlStore) -> None:
    """Each session that has ended is taken once; one whose taking failed is taken again, one that changed too."""
    export(store, RECORDS)
    taker = Failing(store.reader)
    taken = taker.taken
    wanted = SessionFilter(ended=True)
    with pytest.raises(OSError, match="full"):
        hand_on(store.ledger, taker, wanted)
    assert hand_on(store.ledger, taker, wanted, stopped=lambda: len(taken) >= 4) == 1
    assert hand_on(store.ledger, taker, wanted) == 2
    assert hand_on(store.ledger, taker, wanted) == 0
    assert sorted({*taken} - {"failed"}) == sorted(s.session_id for s in store.reader.sessions(wanted, limit=9))
    assert len(taken) == 6
