"""Following: what is read is written once, whatever stops answering, and an export ends where it should."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from processor.errors import A3CPError, BrokerUnavailable, StoreMoved, StoreUnavailable, UsageError
from processor.runtime.identities import Identities
from processor.runtime.ports import Assigned
from processor.sessions.due import hand_on, one_by_one
from processor.sessions.following import Following, Progress
from processor.sessions.materializer import Materializer
from processor.sessions.model import SessionView
from processor.sessions.ports import OutputRecord, SessionFilter, Source, Transaction
from processor.store import open_store
from processor.store.sql import SqlStore
from tests.sessions.outputs import DECODE, MemoryFeed, message, processed

RECORDS = processed([message(f"user-{n % 5}", n * 1000, source="ui", transcript=f"word{n}") for n in range(60)])


class Shaky:
    """A store that fails at chosen writes, before or after the database has taken them."""

    def __init__(self, store: SqlStore, failures: Mapping[int, tuple[bool, A3CPError]]) -> None:
        self._store = store
        self._failures = failures
        self._writes = 0

    @contextmanager
    def transaction(self, offsets: Mapping[Source, tuple[int | None, int]]) -> Iterator[Transaction]:
        self._writes += 1
        lost, error = self._failures.get(self._writes, (None, None))
        with self._store.transaction(offsets) as transaction:
            yield transaction
            if error is not None and not lost:
                raise error
        if error is not None:
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def following(
    store: Any,
    records: list[OutputRecord] = RECORDS,
    *,
    chunk: int = 7,
    troubles: list[A3CPError] | None = None,
    feed_of: Callable[[], MemoryFeed] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    give_up_s: float | None = None,
    seen: list[Progress] | None = None,
) -> Following:
    def feed() -> MemoryFeed:
        starts: Mapping[Source, int] = store.offsets()
        return MemoryFeed(records, starts, chunk=chunk)

    return Following(
        feed_of or feed,
        store,
        Materializer(store, DECODE),
        stopped=stopped,
        wait=lambda _: None,
        on_progress=(seen if seen is not None else []).append,
        on_trouble=(troubles if troubles is not None else []).append,
        give_up_s=give_up_s,
    )


@pytest.fixture
def calm(tmp_path: Path) -> Any:
    """What a run without any trouble leaves."""
    store = open_store(f"sqlite:///{tmp_path / 'calm.db'}")
    following(store).run(to_end=True)
    held = held_by(store)
    store.close()
    return held


def held_by(store: SqlStore) -> Any:
    sessions = store.sessions(SessionFilter(), limit=100)
    return [(s, list(store.messages(s.session_id)), list(store.events(s.session_id))) for s in sessions]


def test_an_export_ends_at_the_end(store: SqlStore, calm: Any) -> None:
    """It writes all that was there, tells how far it is, and running again finds nothing to do."""
    seen: list[Progress] = []
    done = following(store, seen=seen).run(to_end=True)
    assert (done.messages, done.events, done.left) == (60, 10, 0)
    assert [p.left for p in seen] == sorted((p.left for p in seen), key=lambda left: -(left or 0))
    assert held_by(store) == calm
    assert following(store).run(to_end=True) == Progress(left=0)
    assert held_by(store) == calm


@pytest.mark.parametrize("lost", [False, True], ids=["not written", "written, but the answer was lost"])
@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreMoved("moved")], ids=["away", "moved"])
def test_a_write_that_fails_is_made_good(store: SqlStore, calm: Any, error: A3CPError, *, lost: bool) -> None:
    """After a failure it goes on from what the store holds: nothing is lost, nothing comes twice."""
    troubles: list[A3CPError] = []
    shaky = Shaky(store, dict.fromkeys((1, 2, 5, 6), (lost, error)))
    following(shaky, troubles=troubles).run(to_end=True)
    assert len(troubles) == 4
    assert held_by(store) == calm


def test_a_broker_that_is_away_is_waited_for(store: SqlStore, calm: Any) -> None:
    """Joining the group is tried again until it works."""
    attempts = iter(range(3))

    def feed() -> MemoryFeed:
        if next(attempts) < 2:
            raise BrokerUnavailable("away")
        return MemoryFeed(RECORDS, store.offsets())

    following(store, feed_of=feed).run(to_end=True)
    assert held_by(store) == calm


def test_an_export_gives_up(store: SqlStore) -> None:
    """A run that has an end says what does not answer, once it has tried for long enough."""

    def feed() -> MemoryFeed:
        raise BrokerUnavailable("no broker answers")

    with pytest.raises(BrokerUnavailable):
        following(store, feed_of=feed, give_up_s=-1.0).run(to_end=True)


def test_following_stops_when_told(store: SqlStore) -> None:
    """It ends between two batches and leaves the group."""
    feeds: list[MemoryFeed] = []

    def feed() -> MemoryFeed:
        feeds.append(MemoryFeed(RECORDS, store.offsets(), chunk=10))
        return feeds[-1]

    stops = iter([False, False, False, True, True])
    done = following(store, feed_of=feed, stopped=lambda: next(stops)).run(to_end=False)
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
    following(store).run(to_end=True)
    with pytest.raises(UsageError, match=why):
        following(store, feed_of=lambda: MemoryFeed(ANEW[:count], store.offsets(), ids=ids)).run(to_end=True)
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
    following(store).run(to_end=True)
    restored = [record._replace(append_ms=record.append_ms + 1) for record in records]
    with pytest.raises(UsageError, match=why):
        following(store, restored).run(to_end=True)
    assert held_by(store) == calm


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
        following(
            store,
            feed_of=lambda: Changing(records, store.offsets(), chunk=7),
            stopped=lambda: next(stops),
        ).run(to_end=False)
    assert store.totals().messages + store.totals().events <= 7


def test_a_store_made_before_ids_were_kept_takes_them(store: SqlStore, calm: Any) -> None:
    """It goes on with the topics that it meets first, and from then on refuses others; so after an old broker."""

    class Old(MemoryFeed):
        def identities(self) -> Identities:
            return {}

    following(store, feed_of=lambda: Old(RECORDS, store.offsets())).run(to_end=True)
    following(store).run(to_end=True)
    assert held_by(store) == calm
    with pytest.raises(UsageError, match="a former tagged"):
        following(store, feed_of=lambda: MemoryFeed(RECORDS, store.offsets(), ids={"tagged": "t2"})).run(to_end=True)


def test_sessions_are_handed_on_once(store: SqlStore) -> None:
    """Each session that has ended is taken once; one whose taking failed is taken again, one that changed too."""
    following(store).run(to_end=True)
    taken: list[str] = []

    def take(view: SessionView) -> bool:
        if len(taken) == 2 and "failed" not in taken:
            taken.append("failed")
            raise OSError("full")
        assert len(list(view.messages())) == view.session.held_count
        assert len(list(view.events())) == view.session.event_count
        taken.append(view.session.session_id)
        return True

    wanted = SessionFilter(ended=True)
    with pytest.raises(OSError, match="full"):
        hand_on(store, "there", wanted, one_by_one(store, take))
    assert hand_on(store, "there", wanted, one_by_one(store, take), stopped=lambda: len(taken) >= 4) == 1
    assert hand_on(store, "there", wanted, one_by_one(store, take)) == 2
    assert hand_on(store, "there", wanted, one_by_one(store, take)) == 0
    assert sorted({*taken} - {"failed"}) == sorted(s.session_id for s in store.sessions(wanted, limit=9))
    assert len(taken) == 6
