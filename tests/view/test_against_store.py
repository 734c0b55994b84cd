"""A view says what a store that has everything says, however the records are split between its store and its tail."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.sessions.filtering import passes
from processor.sessions.model import SessionRow
from processor.sessions.ports import EVERYTHING, SessionFilter
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.sessions.summary import by_day, by_template, by_user
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.view.standing import Standing
from processor.view.view import View
from tests.sessions.outputs import DECODE, START_MS, message
from tests.view.stage import QUIET_MS, Log, Taken, command, new_view

USERS = ("ann", "ann~0123abcd", "bob", "eve")
MINUTE_MS = 60_000
STANDINGS = {"active": Standing.ACTIVE, "paused": Standing.PAUSED, "ended": Standing.CLOSED}

actions = st.sampled_from(
    ("say", "say", "say", "start", "end", "pause", "resume", "note", "tag", "touch", "status", "again")
)
gaps = st.sampled_from((0, 1_000, MINUTE_MS, 40 * MINUTE_MS, 70 * MINUTE_MS, -30 * MINUTE_MS))
histories = st.lists(st.tuples(st.sampled_from(USERS), actions, gaps), min_size=1, max_size=30)
filters = st.builds(
    partial(SessionFilter),  # Of the bare class all fields would be drawn.
    owner=st.none() | st.sampled_from(("ann", "bob", "nobody")),
    since_ms=st.none() | st.just(START_MS + 60 * MINUTE_MS),
    status=st.sampled_from((None, "active", "paused", "closed", "partial", "open")),
    tag=st.sampled_from((None, "urgent")),
    phase=st.sampled_from((None, "urgent")),
    has_notes=st.sampled_from((None, True)),
    owners=st.sampled_from((None, frozenset({"ann", "eve"}))),
)


def value_of(number: int, user_id: str, action: str, at_ms: int) -> bytes:
    """Return the raw record of one step of a history."""
    match action:
        case "say":
            return message(user_id, at_ms, transcript=f"hello number {number}", source="ui")
        case "start":
            return command(user_id, "start", at_ms, number=number, template="interview")
        case "again":
            return command(user_id, "start", at_ms, number=number, force_new=True, session_notes="once more")
        case "note":
            return command(user_id, "note", at_ms, number=number, session_notes="a note")
        case "tag":
            return command(user_id, "tag", at_ms, number=number, tags={"add": ["urgent"], "remove": []})
        case "status":
            return command(user_id, "status", at_ms, number=number, status="urgent")
    return command(user_id, action, at_ms, number=number)


def written(history: list[tuple[str, str, int]], *, quiet: bool) -> tuple[list[Taken], Log]:
    """Return what the processor writes for `history`, and with `quiet` once silence has ended all; and its log."""
    log, at_ms, records = Log(), 10_000_000, []
    for number, (user_id, action, gap_ms) in enumerate(history):
        at_ms += gap_ms
        records += log.process(value_of(number, user_id, action, at_ms))
    return records + (log.pass_time(QUIET_MS) if quiet else []), log


def export(store: SqlStore, records: list[Taken], ends: dict[tuple[str, int], int]) -> None:
    """Let `store` hold what is before `ends`."""
    held = store.writer.offsets()
    outputs = [
        OutputRecord(kind, record.partition, record.offset, record.timestamp_ms, record.value)
        for kind, record in records
        if held.get((kind, record.partition), 0) <= record.offset < ends.get((kind, record.partition), 0)
    ]
    Materializer(store.writer, DECODE).apply(outputs, {source: (held.get(source), end) for source, end in ends.items()})


@contextmanager
def stores() -> Iterator[tuple[SqlStore, SqlStore]]:
    """Yield two empty stores."""
    with tempfile.TemporaryDirectory() as folder:
        both = [open_store(f"sqlite:///{Path(folder) / name}.db") for name in ("some", "all")]
        yield both[0], both[1]
        for store in both:
            store.close()


def shuffled(records: list[Taken], rng: random.Random) -> list[Taken]:
    """Return `records` in another order, but those of each partition in theirs."""
    queues: dict[tuple[str, int], list[Taken]] = {}
    for taken in records:
        queues.setdefault((taken.kind, taken.record.partition), []).append(taken)
    order = [source for source, queue in queues.items() for _ in queue]
    rng.shuffle(order)
    left = {source: iter(queue) for source, queue in queues.items()}
    return [next(left[source]) for source in order]


@settings(deadline=None, max_examples=25)
@given(histories, st.booleans(), st.randoms(use_true_random=False), filters, st.booleans())
def test_store_and_tail_together_are_the_whole_store(
    history: list[tuple[str, str, int]], quiet: bool, rng: random.Random, wanted: SessionFilter, trims: bool
) -> None:
    """Whatever happened, wherever the store ends, in whichever order the topics are read, trimmed or not."""
    records, log = written(history, quiet=quiet)
    ends = {source: end for source, end in log.ends.items() if source[0] != "state"}
    with stores() as (some, everything):
        export(everything, records, ends)
        export(some, records, {source: rng.randint(0, end) for source, end in ends.items()})
        view = new_view(some.reader)
        order = shuffled(records, rng)
        for number, (kind, record) in enumerate(order):
            view.take(kind, [record])
            if trims and number % 5 == 0:
                view.trim()
            if trims and number == len(order) // 2:  # The exporter goes on meanwhile, a little.
                offsets = some.writer.offsets()
                export(some, records, {source: rng.randint(offsets[source], end) for source, end in ends.items()})
        view.at(log.ends)

        rows = everything.reader.sessions(EVERYTHING, limit=1000)
        assert_lists(view, list(rows), wanted)
        for row in rows:
            assert_session(view, everything, row)
        for user_id in USERS:
            open_ids = [row.session_id for row in rows if row.user_id == user_id and row.state != "ended"]
            assert view.memory.open_session(user_id) == (open_ids[0] if open_ids else None)
        assert {each.session.session_id for each in view.memory.open_sessions()} == {
            row.session_id for row in rows if row.state != "ended"
        }


def assert_lists(view: View, rows: list[SessionRow], wanted: SessionFilter) -> None:
    """What is listed, counted and added up is `rows`."""
    for each in (EVERYTHING, wanted):
        passing = [row for row in rows if passes(row, each)]
        listed: list[SessionRow] = []
        page = view.sessions(each, limit=3)
        listed += page.rows
        while page.next is not None:
            page = view.sessions(each, limit=3, after=page.next)
            listed += page.rows
        assert listed == passing
        assert page.complete_since_ms is None
        assert view.sessions(each, limit=2, skip=1).rows == passing[1:3]
        assert view.count(each) == len(passing)
        assert view.rollups(each, "day") == by_day(passing)
        assert view.rollups(each, "user") == by_user(passing)
        assert view.rollups(each, "template") == by_template(passing)
        found = {text.session_id for text in view.search("Hello", each, limit=1000)} - {None}
        assert found == {row.session_id for row in passing if row.held_count}


def assert_session(view: View, everything: SqlStore, row: SessionRow) -> None:
    """What is said of one session is what `everything` holds of it."""
    held = view.session(row.session_id)
    assert held is not None
    assert held.is_whole
    assert held.row == row
    messages, events = list(everything.reader.messages(row.session_id)), list(everything.reader.events(row.session_id))
    assert list(held.messages()) == messages
    assert list(held.messages_after(2)) == messages[2:]
    assert list(held.events()) == events
    standing = view.memory.standing(row.user_id, row.session_id)
    assert standing in (STANDINGS[row.state], None)
    if standing is not None:
        assert view.memory.user_of(row.session_id) == row.user_id
    else:
        assert row.state == "ended"
