"""The tail is bounded, and what it lacks is told: never wrong numbers."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import StoreUnavailable
from processor.runtime.erased import ErasureMark, mark_of
from processor.runtime.ports import TopicRecord
from processor.sessions.ports import EVERYTHING, TAGGED, Gone, SessionReader
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store.sql import SqlStore
from processor.view.tail import RECORD_BYTES, Tail
from tests.sessions.outputs import DECODE, PARTITIONS, START_MS, message
from tests.view.stage import Log, Taken, command, new_view, processed, take

SESSION = "sess_20250615_150640_0123456789abcdef0123456789abcdef"


def record(partition: int, offset: int, user: str = "ann", value: bytes = b"") -> TopicRecord:
    return TopicRecord(TAGGED, partition, offset, START_MS + offset, user.encode(), value)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 3), st.sampled_from("ab")), max_size=30),
    st.integers(0, 30), st.integers(0, 12_000),
)  # fmt: skip
def test_a_tail_holds_what_is_at_its_floors_and_later(
    steps: list[tuple[int, int, str]], floor: int, drops: int
) -> None:
    """However it was trimmed: users, names, sizes and floors agree with the records that are left."""
    tail, offsets, records = Tail(), {0: 0, 1: 0}, []
    for partition, step, user in steps:
        offsets[partition] += step
        records.append(record(partition, offsets[partition], user, f"{user} {SESSION}".encode()))
        tail.add(records[-1:])
        if step == 2:
            list(tail.named({}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("processor.view.tail.DROPPED_MAX", 3)
        while tail.drop({0: floor}):
            assert all(tail.lacks(0, each.offset) for each in records if each not in tail.latest({}, 100))
    tail.drop_oldest(drops)
    ends = dict.fromkeys((0, 1), 0)
    left = [each for each in records if not tail.lacks(each.partition, each.offset)]
    assert sorted([*tail.of(b"a", ends), *tail.of(b"b", ends)]) == sorted(left)
    assert sorted(tail.latest(ends, 100)) == sorted(left)
    assert tail.size_bytes == sum(RECORD_BYTES + len(each.key or b"") + len(each.value or b"") for each in left)
    assert {key for _, key in tail.named(ends)} == {each.key for each in left}
    assert set(tail.naming(SESSION)) == {each.key for each in left}
    tail.forget(b"a")
    assert sorted(tail.latest(ends, 100)) == sorted(each for each in left if each.key == b"b")
    assert set(tail.naming(SESSION)) == {each.key for each in left} - {b"a"}


def store_up_to(store: SqlStore, records: list[Taken], log: Log) -> None:
    """Let `store` hold all of `records`."""
    ends = {
        source: (store.writer.offsets().get(source), end) for source, end in log.ends.items() if source[0] != "state"
    }
    outputs = [
        OutputRecord(kind, each.partition, each.offset, each.timestamp_ms, each.value)
        for kind, each in records
        if kind != "state" and each.offset >= (ends[kind, each.partition][0] or 0)
    ]
    Materializer(store.writer, DECODE).apply(outputs, ends)


def test_what_neither_store_nor_tail_holds_is_told(store: SqlStore) -> None:
    """A session of which records are missing is not whole, and lists say since when they are complete."""
    before, log = processed([command("ann", "start", 0), message("ann", 1_000)])
    store_up_to(store, before, log)
    view = new_view(store.reader, tail_bytes_max=16 * (RECORD_BYTES + 1_000))
    take(view, before)
    session_id = view.memory.open_session("ann")
    assert session_id is not None
    held = view.session(session_id)
    assert held is not None
    assert held.is_whole
    assert view.sessions(EVERYTHING, limit=10).complete_since_ms is None

    later = [
        taken for number in range(60) for taken in log.process(message("ann", 2_000 + number, transcript="x" * 500))
    ]
    take(view, later)
    held = view.session(session_id)
    assert held is not None
    assert not held.is_whole
    assert view.memory.open_session("ann") == session_id  # States are whole whatever the tail lacks.
    since_ms = view.sessions(EVERYTHING, limit=10).complete_since_ms
    assert since_ms is not None
    assert since_ms > START_MS
    assert not view.is_whole()

    store_up_to(store, later, log)
    held = view.session(session_id)
    assert held is not None
    assert held.is_whole
    assert held.row.held_count == 61
    assert view.is_whole()
    assert view.sessions(EVERYTHING, limit=10).complete_since_ms is None


def test_what_was_removed_does_not_come_back(store: SqlStore) -> None:
    """A session that retention took away stays away, though the tail tells of it again."""
    ended = [command("ann", "start", 0), message("ann", 1), command("ann", "end", 1_000), message("bob", 1)]
    records, log = processed(ended)
    store_up_to(store, records, log)
    (gone,) = [row.session_id for row in store.reader.sessions(EVERYTHING, limit=9) if row.user_id == "ann"]
    view = new_view(store.reader)
    take(view, records)
    late = log.process(message("ann", 500))  # Late, it belongs to the session that has ended.
    take(view, late)
    held = view.session(gone)
    assert held is not None
    assert held.row.held_count == 2

    store.removal.remove(Gone(ended_before_ms=START_MS + 5_000))
    assert view.session(gone) is None
    assert [row.user_id for row in view.sessions(EVERYTHING, limit=9).rows] == ["bob"]
    assert view.count(EVERYTHING) == 1


def test_a_person_who_was_erased_is_forgotten() -> None:
    """Outcomes and records go with the mark in the state topic, and do not come back when they are read again."""
    record_id = "00000000-0000-4000-9000-000000000000"
    records, _ = processed([command("ann", "start", 0, session_notes="private"), command("bob", "start", 1)])
    view = new_view()
    take(view, records)
    session_id = view.memory.open_session("ann")
    assert session_id is not None
    partition = next(each.partition for kind, each in records if each.key == b"ann")
    for key, offset in ((b"ann", 90), (mark_of(ErasureMark(b"ann", 1)), 91)):
        view.take("state", [TopicRecord("state", partition, offset, START_MS + 10**10, key, None)])
    for _ in range(2):
        assert view.memory.outcome(record_id, "ann") is None
        assert view.session(session_id) is None
        assert view.memory.open_session("ann") is None
        assert view.memory.open_session("bob") is not None
        take(view, [taken for taken in records if taken.kind != "state" and taken.record.key == b"ann"])


class Away:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*_: object, **__: object) -> None:
            raise StoreUnavailable("the store does not answer")

        return refuse


def test_while_the_store_is_away_the_tail_says_what_it_knows() -> None:
    """Not whole, as long as records before the tail's beginning may be missing; a number is refused."""
    records, _ = processed([command("ann", "start", 0), message("ann", 1_000)])
    view = new_view(cast("SessionReader", Away()))
    view.begin({}, starts={(topic, number): 1 for topic in (TAGGED, "sessions") for number in range(PARTITIONS)})
    later, _ = processed([message("bob", 0), message("bob", 1_000), message("bob", 2_000)])
    take(view, [taken for taken in records if taken.kind == "state"])
    take(view, later)
    known, unknown = view.memory.open_session("bob"), view.memory.open_session("ann")
    assert known is not None
    assert unknown is not None
    held = view.session(known)
    assert held is not None
    assert not held.is_whole
    assert [row.seq for row in held.messages()] == [2, 3]
    page = view.sessions(EVERYTHING, limit=9)
    assert [row.session_id for row in page.rows] == [known]
    assert page.complete_since_ms is not None
    with pytest.raises(StoreUnavailable):
        view.session(unknown)
    with pytest.raises(StoreUnavailable):
        view.count(EVERYTHING)
