"""What commands and messages tell of their session: phase, tags, score and notes."""

import json
from typing import Any

import pytest

from processor.codec.events import from_json
from processor.sessions.arguments import TAGS_MAX
from processor.sessions.model import SessionRow
from processor.sessions.ports import EVERYTHING, SessionFilter
from processor.sessions.summary import SessionFold, new_session
from processor.store.sql import SqlStore
from tests.sessions.exporting import applied
from tests.sessions.outputs import START, START_MS, message, processed

MANY = [f"{number:03}" for number in range(150)]


def told(*events: tuple[str, Any]) -> SessionRow:
    """Return a session after events of these kinds and details."""
    fold = SessionFold(new_session("sess_1", "anna", 0, 0))
    for kind, details in events:
        fields = {"schema_version": "1", "record_id": "r", "user_id": "anna", "source": "s", "timestamp": START}
        fold.add_event(from_json(json.dumps({**fields, "kind": kind, "details": details}).encode()))
    return fold.row()


@pytest.mark.parametrize(
    ("title", "changes", "tags"),
    [
        ("what is added is there, once, sorted", [{"add": ["b", "a", "b"]}, {"add": ["a"]}], ("a", "b")),
        ("what is removed is gone", [{"add": ["a", "b"]}, {"remove": ["b", "c"]}], ("a",)),
        ("what is both added and removed is removed", [{"add": ["a"], "remove": ["a"]}], ()),
        ("removed tags may come again", [{"add": ["a"]}, {"remove": ["a"]}, {"add": ["a"]}], ("a",)),
        ("any language, inner blanks", [{"add": ["in der Küche", "هفته‌ها"]}], ("in der Küche", "هفته‌ها")),
        ("no word", [{"add": ["", " a", "a ", "a\nb", "a\0", "x" * 65, 1, None, ["a"]]}, {"add": "abc"}, [], 1], ()),
        ("as many as there may be", [{"add": MANY}], tuple(MANY[:TAGS_MAX])),
    ],
)  # fmt: skip
def test_tags(title: str, changes: list[Any], tags: tuple[str, ...]) -> None:
    """The table says what is left of a session's tags; what is no word for a tag is none."""
    assert told(*(("tag", {"tags": change}) for change in changes)).tags == tags, title


@pytest.mark.parametrize(
    ("details", "phase"),
    [
        ([{"status": "created"}, {"status": " completed "}], "completed"),
        ([{"status": "created"}, {"status": "\0"}, {"status": 1}, {}], "created"),
        ([{"status": "x" * 300}], "x" * 256),
        ([], None),
    ],
)
def test_the_phase_is_the_latest_status(details: list[Any], phase: str | None) -> None:
    """The phase is the word of the latest `status` event that has one."""
    assert told(*(("status", each) for each in details)).phase == phase


@pytest.mark.parametrize(
    ("kind", "details", "score"),
    [
        ("note", {"overall_score": 7}, 7.0),
        ("context", {"context": {"overall_score": 7.5}}, 7.5),
        ("step", {"step": {"name": "evaluation", "data": {"overall_score": 0.5}}}, 0.5),
        ("step", {"step": {"name": "evaluation", "data": 3}}, None),
        ("status", {"status": "completed", "overall_score": "8"}, None),
        ("status", {"status": "completed", "overall_score": True}, None),
        ("note", {"overall_score": 10**400}, None),
        ("note", [], None),
    ],
)
def test_a_score_is_a_number(kind: str, details: Any, score: float | None) -> None:
    """The score is the number `overall_score` among an event's arguments, in its context or in its step's data."""
    assert told((kind, details)).score == score


def test_a_touch_is_activity(store: SqlStore) -> None:
    """The last activity of an open session is that of its latest command, if no message came later."""
    values = [
        message("anna", 0),
        message("anna", 60_000, command="touch"),
        message("anna", 1, command="tag", add=["x"]),
    ]
    records = processed(values, quiet=False)
    applied(store, records)
    (row,) = store.reader.sessions(SessionFilter(min_duration_ms=60_000, tag="x"), limit=2)
    assert (row.duration_ms, row.last_ms, row.event_count) == (60_000, START_MS + 60_000, 3)


def test_messages_and_events_tell_it(store: SqlStore) -> None:
    """The latest score counts, be it a message's or an event's; notes are counted, that of the start among them."""
    values = [
        message("anna~0123abcd", 0, command="start", session_notes="nervous", owner="anna"),
        message("anna~0123abcd", 1, command="step", name="evaluation", data={"overall_score": 5}),
        message("anna~0123abcd", 3, overall_score=8.5, report={"strengths": ["calm"]}),
        message("anna~0123abcd", 2, command="note", note="to be looked at again", overall_score=6),
        message("anna~0123abcd", 4, command="note", note="done"),
    ]
    records = processed(values, quiet=False)
    applied(store, records)
    (row,) = store.reader.sessions(EVERYTHING, limit=2)
    assert (row.owner, row.user_id) == ("anna", "anna~0123abcd")
    assert (row.score, row.note_count, row.phase, row.tags) == (8.5, 3, None, ())
