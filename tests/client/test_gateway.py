"""The session manager of a gateway: its methods, its objects and its log lines."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from a3cp_sessions import Sessions
from a3cp_sessions.gateway import SessionManager
from tests.served import InMemory, served

ID = re.compile(r"sess_\d{8}_\d{6}_[0-9a-f]{32}")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[InMemory]:
    with served(tmp_path) as service:
        yield service


@pytest.fixture
def manager(service: InMemory, caplog: pytest.LogCaptureFixture) -> Iterator[SessionManager]:
    caplog.set_level(logging.INFO)
    with Sessions(service.url) as sessions:
        yield SessionManager(sessions, log_ids=True)


def test_a_session_is_an_object_of_five_members(manager: SessionManager) -> None:
    """Ids are texts, times are ms since the epoch, context is an object; it is JSON as it stands."""
    session = manager.createSession("human_reviewer_1")
    assert ID.fullmatch(session.id)
    assert session.userId == session["userId"] == "human_reviewer_1"
    assert type(session.createdAt) is type(session.lastActivityAt) is int
    assert session.createdAt == session.lastActivityAt
    assert session.context == {}
    assert json.loads(json.dumps(session)).keys() == {"id", "userId", "createdAt", "lastActivityAt", "context"}
    with pytest.raises(AttributeError):
        _ = session.user


def test_always_a_new_one(manager: SessionManager) -> None:
    """Two sessions of one user are two, and both are open."""
    one, two = manager.create_session("human_reviewer_1"), manager.create_session("human_reviewer_1")
    assert one.id != two.id
    assert None not in (manager.get_session(one.id), manager.get_session(two.id))


def test_to_get_one_counts_as_activity(manager: SessionManager, service: InMemory) -> None:
    """An idle session that is asked for lives on; after more than an hour of silence it is gone for good."""
    session = manager.createSession("human_reviewer_1")
    service.deployment.advance(3_000_000)
    found = manager.getSession(session.id)
    assert found is not None
    assert found.lastActivityAt >= session.createdAt + 3_000_000
    service.deployment.advance(3_000_000)
    assert manager.getSession(session.id) is not None
    service.deployment.advance(3_700_000)
    assert manager.getSession(session.id) is None
    assert manager.getSession("sess_none") is None


def test_context_is_the_sessions_own(manager: SessionManager, service: InMemory) -> None:
    """What was told as its context is in it."""
    session = manager.createSession("human_reviewer_1")
    with Sessions(service.url) as sessions:
        sessions.context(session.id, {"room": "blue"})
    found = manager.getSession(session.id)
    assert found is not None
    assert found.context == {"room": "blue"}


def test_terminated_once(manager: SessionManager, service: InMemory) -> None:
    """True the first time, then False; it is gone for the manager, and kept in the log."""
    session = manager.createSession("human_reviewer_1")
    assert manager.terminateSession(session.id) is True
    assert manager.terminate_session(session.id) is False
    assert manager.terminateSession("sess_none") is False
    assert manager.getSession(session.id) is None
    with Sessions(service.url) as sessions:
        assert sessions.get(session.id).status == "closed"


def test_its_log_lines(manager: SessionManager, service: InMemory, caplog: pytest.LogCaptureFixture) -> None:
    """The lines of the design; the last one only when something was purged."""
    one, two = manager.createSession("human_reviewer_1"), manager.createSession("human_reviewer_1")
    assert manager.purgeStaleSessions() == 0
    manager.terminateSession(one.id)
    service.deployment.advance(3_700_000)
    assert (manager.purgeStaleSessions(), manager.purge_stale_sessions()) == (1, 0)
    assert [record.getMessage() for record in caplog.records if record.name == "processor.client.gateway"] == [
        f"[SessionManager] Session created: {one.id} for user: human_reviewer_1",
        f"[SessionManager] Session created: {two.id} for user: human_reviewer_1",
        f"[SessionManager] Session terminated: {one.id}",
        "[SessionManager] Purged 1 stale sessions.",
    ]


def test_ids_are_hashed_unless_they_are_wanted(service: InMemory, caplog: pytest.LogCaptureFixture) -> None:
    """By default the log names nobody."""
    caplog.set_level(logging.INFO)
    with Sessions(service.url) as sessions:
        session = SessionManager(sessions).createSession("human_reviewer_1")
    assert session.id not in caplog.text
    assert "human_reviewer_1" not in caplog.text
    assert re.search(r"Session created: #[0-9a-f]{12} for user: #[0-9a-f]{12}$", caplog.text, re.MULTILINE)
