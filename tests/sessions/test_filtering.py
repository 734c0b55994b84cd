"""A filter has one meaning, whether a row is asked or a database; and pages of sessions."""

from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from processor.core.model import Flag
from processor.sessions.filtering import passes
from processor.sessions.model import SessionRow, Sums
from processor.sessions.ports import EVERYTHING, TAGGED, Cursor, SessionFilter, Snapshot
from processor.store import lookups
from processor.store.sql import SqlStore
from processor.store.tables import SESSIONS as TABLE
from processor.upstream.notices import Notice
from tests.sessions.exporting import applied
from tests.sessions.outputs import message, processed

PERSONS = ("anna", "Anna", "ann", "an%a", "anna~1")
USERS = (*PERSONS, "anna~0123abcd", "anna~0123abcg", "Anna~0123abcd", "an%a~00000000", "~0123abcd")
WORDS = ("urgent", "Urgent", "week 3", "a", "a\\b", "ключ", "in,struments")
DIGEST = "0" * 64

rows = st.builds(
    partial(SessionRow),  # Of the bare class all fields would be drawn.
    session_id=st.uuids().map(str),
    user_id=st.sampled_from(USERS),
    partition=st.just(0),
    start_ms=st.integers(0, 3),
    held_digest=st.just(DIGEST),
    summary=st.builds(Sums, last_ms=st.none() | st.integers(0, 9)),
    held_count=st.integers(0, 1),
    notices=st.sampled_from((0, Flag.LATE, Notice.CORRECTED, Flag.LATE | Notice.DEMO)),
    state=st.sampled_from(("active", "paused", "ended")),
    end_ms=st.none() | st.integers(0, 9),
    expected_count=st.none() | st.integers(0, 1),
    expected_digest=st.none() | st.just(DIGEST),
    template=st.none() | st.sampled_from(WORDS),
    phase=st.none() | st.sampled_from(WORDS),
    tags=st.sets(st.sampled_from(WORDS)).map(lambda words: tuple(sorted(words))),
    note_count=st.integers(0, 2),
)
texts = st.none() | st.sampled_from((*WORDS, "", "urge", "nt\na", "x\0", "\ud800"))
filters = st.builds(
    SessionFilter,
    owner=st.none() | st.sampled_from((*USERS, "x\0")),
    since_ms=st.none() | st.integers(0, 3),
    until_ms=st.none() | st.integers(0, 4),
    notices=st.sampled_from((0, 0, Flag.LATE, Notice.DEMO | Notice.CORRECTED)),
    status=st.sampled_from((None, "active", "paused", "closed", "open", "partial", "complete")),
    ended=st.booleans(),
    template=texts,
    tag=texts,
    phase=texts,
    min_duration_ms=st.none() | st.integers(-1, 9),
    has_notes=st.none() | st.booleans(),
    owners=st.none() | st.frozensets(st.sampled_from((*PERSONS, "x\0"))),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(held=st.lists(rows, max_size=8, unique_by=lambda row: row.session_id), wanted=filters, data=st.data())
def test_rows_and_databases_agree(store: SqlStore, held: list[SessionRow], wanted: SessionFilter, data: Any) -> None:
    """What a query finds are the rows that pass; pages, each after the last row of the one before, hold them all."""
    with store.database.writing() as connection:
        connection.execute(delete(TABLE))
    with store.writer.transaction({}) as transaction:
        transaction.put(held, [], dict.fromkeys((row.session_id for row in held), 0))
    if held and data.draw(st.booleans()):
        wanted = wanted._replace(session_id=data.draw(st.sampled_from(held)).session_id)
    if held and data.draw(st.booleans()):
        ids = data.draw(st.sets(st.sampled_from([row.session_id for row in held])))
        wanted = wanted._replace(session_ids=frozenset({*ids, "no such session"}))
    found: list[SessionRow] = []
    after: Cursor | None = None
    while page := store.reader.page(wanted, limit=3, after=after).rows:
        found += page
        after = page[-1].start_ms, page[-1].session_id
    newest_first = sorted(held, key=lambda row: (row.start_ms, row.session_id), reverse=True)
    assert found == [row for row in newest_first if passes(row, wanted)]
    assert store.reader.count(wanted) == len(found)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EVERYTHING, ["in a lane", "in no session", "other"]),
        (SessionFilter(owner="anna"), ["in a lane", "in no session"]),
        (SessionFilter(owner="anna", status="active"), ["in a lane"]),
        (SessionFilter(owners=frozenset({"anna~0123"})), ["other"]),
        (SessionFilter(owner="an"), []),
        (SessionFilter(owner="x\0"), []),
    ],
)
def test_a_search_goes_by_person(store: SqlStore, wanted: SessionFilter, found: list[str]) -> None:
    """Texts are found by whose they are, in any lane; by what their session is as well."""
    stored(
        store,
        [
            message("anna~0123abcd", 2, transcript="in a lane, drink"),
            message("anna", 1, source="model_trainer", performer_id="system", notes="in no session, drink"),
            message("anna~0123", 0, transcript="other drink"),
        ],
    )
    assert [
        row.text.removesuffix("drink").strip(", ") for row in store.reader.search("drink", wanted, limit=5)
    ] == found


def test_what_is_read_with_its_offsets_is_of_one_moment(store: SqlStore) -> None:
    """Rows that are written between the two queries are in neither: the store as it was at the first."""
    stored(store, [message("anna", 0)])
    (before,) = store.reader.sessions(EVERYTHING, limit=2)
    assert store.reader.page(EVERYTHING, limit=2) == Snapshot(store.reader.offsets(), [before])
    assert store.reader.held([before.session_id, "none"]) == Snapshot(store.reader.offsets(), [before])
    with store.database.snapshot() as connection:
        offsets = lookups.offsets(connection)
        with store.writer.transaction({(TAGGED, 7): (None, 1)}) as transaction:
            transaction.put([before._replace(template="later")], [], {before.session_id: before.changes})
        assert list(lookups.sessions_of(connection, [before.session_id])) == [before]
        assert lookups.offsets(connection) == offsets
    assert store.reader.held([before.session_id]).offsets == {**offsets, (TAGGED, 7): 1}


def stored(store: SqlStore, values: list[bytes]) -> None:
    applied(store, processed(values, quiet=False))
