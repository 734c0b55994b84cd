"""Every method of `Sessions`, and of `AsyncSessions`, against a service in memory."""

import asyncio
import inspect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from a3cp_sessions import (
    AlreadyActive,
    AsyncSessions,
    InvalidRequest,
    Live,
    SessionClosed,
    SessionNotFound,
    Sessions,
)
from processor.client.service.exchange import finished
from tests.patience import PATIENCE_S
from tests.served import served

METHODS = [
    "create", "start", "end", "pause", "resume", "terminate", "touch", "get", "get_active", "list", "count",
    "add_message", "get_history", "note", "context", "step", "update_status", "tag", "get_audit", "validate",
    "resume_data", "evaluation", "purge_stale", "export", "live", "close", "count_open", "user_info", "given_id",
]  # fmt: skip


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    """Sessions on a service in memory."""
    with Sessions("memory://", timeout_s=20) as sessions:
        yield sessions


def test_both_have_the_same_methods() -> None:
    """With the same parameters and the same docstrings."""
    for name in METHODS:
        ours, theirs = getattr(Sessions, name), getattr(AsyncSessions, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name
        assert ours.__doc__ == theirs.__doc__ or name == "live"
    assert {name for name in vars(AsyncSessions) if name[0] != "_"} == set(METHODS)
    assert {name for name in vars(Sessions) if name[0] != "_"} == set(METHODS)


def test_a_session_from_its_beginning_to_its_end(sessions: Sessions) -> None:
    """What is told is what is shown, with times as datetimes."""
    began = datetime.now(UTC) - timedelta(seconds=1)
    session = sessions.create(
        "elias01", template="interview", performer_id="carer01", context={"location": "kitchen"}, session_notes="calm"
    )
    assert (session.user_id, session.status, session.template, session.performer_id) == (
        "elias01", "active", "interview", "carer01",
    )  # fmt: skip
    assert began <= session.created_at <= datetime.now(UTC)
    added = sessions.add_message(session.session_id, {"source": "ui", "text": "hello"}, wait_s=5)
    assert (added.session_id, added.seq) == (session.session_id, 1)
    early = {"source": "ui", "text": "hello", "timestamp": "2020-01-01T00:00:00Z"}
    moved = sessions.add_message(session.session_id, early, wait_s=5)
    assert (moved.session_id != session.session_id, moved.seq) == (True, 1)
    ended = sessions.end(session.session_id, performer_id="carer01")
    assert (ended.kind, ended.reason, ended.message_count) == ("ended", "command", 1)
    session = sessions.get(session.session_id)
    assert (session.status, session.end_reason, session.message_count, session.is_open) == (
        "closed",
        "command",
        1,
        False,
    )
    assert session.context == {"location": "kitchen"}
    with pytest.raises(SessionClosed) as caught:
        sessions.note(session.session_id, "too late")
    assert caught.value.session_id == session.session_id


def test_one_user_has_several_sessions(sessions: Sessions) -> None:
    """`create` begins one beside the others; `start` has one that is the user's."""
    one, other = sessions.create("lynx-21"), sessions.create("lynx-21")
    mine = sessions.start("lynx-21")
    assert len({one.session_id, other.session_id, mine.session_id}) == 3
    assert sessions.start("lynx-21").session_id == mine.session_id
    with pytest.raises(AlreadyActive):
        sessions.start("lynx-21", if_open="fail")
    active = {session.session_id for session in sessions.get_active("lynx-21")}
    assert active == {one.session_id, other.session_id, mine.session_id}
    assert sessions.count(user_id="lynx-21") == 3
    assert sessions.terminate(one.session_id)
    assert len(sessions.get_active("lynx-21")) == 2
    assert {session.session_id for session in sessions.list(user_id="lynx-21", status="closed")} == {one.session_id}


def test_pages(sessions: Sessions) -> None:
    """A cursor leads to the next page, until there is none."""
    ids = [sessions.create("finch-09").session_id for _ in range(5)]
    found: list[str] = []
    cursor = None
    while True:
        page = sessions.list(user_id="finch-09", limit=2, cursor=cursor)
        assert len(page) <= 2
        found += [session.session_id for session in page]
        if (cursor := page.next_cursor) is None:
            break
    assert sorted(found) == sorted(ids)


def test_a_pause(sessions: Sessions) -> None:
    """To pause twice changes nothing."""
    session_id = sessions.create("wren-03").session_id
    assert [sessions.pause(session_id).kind, sessions.pause(session_id).kind] == ["paused", "unchanged"]
    assert sessions.get(session_id).status == "paused"
    assert sessions.validate("wren-03", session_id) == "active"
    assert sessions.resume(session_id).kind == "resumed"
    assert sessions.touch(session_id).kind == "unchanged"


def test_what_is_written_down(sessions: Sessions) -> None:
    """Notes, circumstances, steps, status and tags are shown, the latest of each."""
    session_id = sessions.create("robin-15").session_id
    sessions.note(session_id, "a calm morning", kind="summary", performer_id="carer01")
    sessions.context(session_id, {"location": "garden", "weather": None})
    sessions.step(session_id, "Warm up", duration_ms=1250, timing_key="warm_ms", data={"rounds": 3})
    sessions.update_status(session_id, "practising")
    sessions.tag(session_id, add=["review", "music"], performer_id="carer01")
    sessions.tag(session_id, remove=["music"])
    session, audit = sessions.get(session_id), sessions.get_audit(session_id)
    assert (session.phase, session.tags, session.steps_completed) == ("practising", ("review",), ("Warm up",))
    assert session.context == {"location": "garden", "weather": None}
    assert (session.note_count, session.event_count, session.paused_ms) == (1, 7, 0)
    assert (audit.timing, audit.data["Warm up"], audit.phase) == ({"warm_ms": 1250}, {"rounds": 3}, "practising")


def test_what_was_said(sessions: Sessions) -> None:
    """Messages come in their order, as they were, chosen by role and number."""
    session_id = sessions.create("heron-07", template="conversation").session_id
    for number in range(3):
        sessions.add_message(session_id, role="user" if number % 2 else "assistant", content=f"line {number}", wait_s=5)
    history = sessions.get_history(session_id)
    assert [(message["session_seq"], message["content"]) for message in history] == [
        (1, "line 0"), (2, "line 1"), (3, "line 2"),
    ]  # fmt: skip
    assert [message["content"] for message in sessions.get_history(session_id, role="user")] == ["line 1"]
    assert [message["session_seq"] for message in sessions.get_history(session_id, 1, after_seq=1)] == [2]


def test_an_invalid_request_says_where(sessions: Sessions) -> None:
    """Which field it is, but not what was in it."""
    with pytest.raises(InvalidRequest) as caught:
        sessions.list(limit=1000)
    assert caught.value.errors[0]["loc"] == ["query", "limit"]
    assert str(caught.value).startswith("query.limit: at most 200 is wanted; ")
    assert "1000" not in str(caught.value)


@pytest.mark.parametrize("session_id", ["../../x", "", ".", "..", "a/b", "a?b#c", "%2e%2e", "x" * 5000])
def test_no_session_id_leads_elsewhere(sessions: Sessions, session_id: str) -> None:
    """Whatever it holds, it is the id of a session that is not there."""
    with pytest.raises(SessionNotFound):
        sessions.get(session_id)
    with pytest.raises(SessionNotFound):
        sessions.note(session_id, "a calm morning")


def test_a_session_as_it_was(sessions: Sessions) -> None:
    """By the position of an earlier answer."""
    session = sessions.create("elias01")
    sessions.end(session.session_id)
    assert sessions.get(session.session_id, as_of=session.position).status == "active"
    assert sessions.get(session.session_id).status == "closed"


def test_files(sessions: Sessions) -> None:
    """A zip of all, or one kind."""
    session_id = sessions.create("elias01").session_id
    sessions.end(session_id)
    assert sessions.export(session_id).startswith(b"PK")
    assert session_id.encode() in sessions.export(session_id, "json")


def test_what_happens_now(sessions: Sessions) -> None:
    """What came since a position is told first; then what comes."""
    session = sessions.create("elias01")
    sessions.add_message(session.session_id, {"text": "hello"})
    stream = sessions.live(session.session_id, after=session.position)
    first = next(stream)
    assert (first.kind, first.data["text"]) == ("message", "hello")
    sessions.note(session.session_id, "a note")
    assert "a note" in str(next(stream).data)
    stream.close()  # type: ignore[attr-defined]  # A generator, to whoever wants to end it early.


def test_sessions_that_ended_by_themselves(tmp_path: Path) -> None:
    """Only those that this object began, and only once."""
    with served(tmp_path) as service, Sessions(service.url) as sessions, Sessions(service.url) as others:
        ids = [sessions.create("elias01").session_id for _ in range(3)]
        others.create("elias01")
        sessions.end(ids[0])
        assert sessions.purge_stale() == 0
        service.deployment.advance(2 * 3_600_000)
        assert [sessions.purge_stale(), sessions.purge_stale()] == [2, 0]


def test_many_sessions_are_not_asked_for_one_by_one(tmp_path: Path) -> None:
    """Who began many learns from a page of the open ones that these go on."""
    with served(tmp_path) as service, Sessions(service.url) as sessions:
        ids = [sessions.create("elias01").session_id for _ in range(20)]
        sessions.end(ids[0])
        assert sessions.purge_stale() == 0
        told = httpx.get(f"{service.url}/metrics", timeout=PATIENCE_S).text
        assert 'a3cp_http_requests_total{method="GET",route="/v1/sessions/{session_id}"' not in told


def test_in_asyncio() -> None:
    """Many calls at once, over one object."""

    async def main() -> list[Any]:
        async with AsyncSessions("memory://") as sessions:
            created = await asyncio.gather(*(sessions.create(f"user-{number}") for number in range(20)))
            stream = sessions.live(created[0].session_id, after=created[0].position)
            await asyncio.gather(*(sessions.end(session.session_id) for session in created))
            happened = await anext(stream)
            await stream.aclose()
            found = await asyncio.gather(*(sessions.get(session.session_id) for session in created))
            assert isinstance(happened, Live)
            return [session.status for session in found]

    assert asyncio.run(main()) == ["closed"] * 20


def test_finished_refuses_what_waits() -> None:
    """What suspends is no matter for `Sessions`."""
    with pytest.raises(AssertionError, match="never suspends"):
        finished(asyncio.sleep(0))
