"""Conversations: the dictionaries of their document, what they add up to, and how they go on while Kafka is away."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from a3cp_sessions import InvalidRequest, Sessions, UsageError
from a3cp_sessions.conversation import FirebaseSessionManager, SessionManager
from processor.settings.model import Settings
from tests.patience import until
from tests.served import InMemory, served

HOUR_MS = 3_600_000
ANN = {
    "email": "ann@example.com",
    "name": "Ann",
    "company": "Betterhome",
    "division": "Property Management",
    "user_type": "agent",
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[InMemory]:
    settings = Settings(
        store_url=f"sqlite:///{tmp_path / 'a3cp.db'}",
        profile_store_url=f"sqlite:///{tmp_path / 'profiles.db'}",
        outbox=str(tmp_path / "outbox.db"),
    )
    with served(tmp_path, settings) as service:
        yield service


@pytest.fixture
def manager(service: InMemory) -> Iterator[SessionManager]:
    with Sessions(service.url, timeout_s=20) as sessions:
        yield SessionManager(sessions)


def told(manager: SessionManager, session_id: str) -> dict[str, Any]:
    session = manager.get_session(session_id)
    assert session is not None
    return session


def back(service: InMemory) -> None:
    """Kafka is back, and the outbox is empty."""
    service.deployment.broker_is_away = False
    outbox = service.deployment.sender.outbox
    assert outbox is not None
    until(lambda: outbox.stock.records == 0)
    service.deployment.run()


def test_who_it_is_comes_from_the_profile_store_alone(service: InMemory, manager: SessionManager) -> None:
    """The log has a pseudonym, the same for all conversations of a person."""
    first, second = manager.create_session(ANN), manager.create_session({**ANN, "email": "Ann@Example.com"})
    assert first != second
    session = told(manager, first)
    names = ("user_email", "user_name", "company", "division", "user_type")
    assert tuple(session[name] for name in names) == ("Ann@Example.com", *list(ANN.values())[1:])
    manager.add_message(first, "user", "What does erf size mean?")
    owners = {manager.sessions.get(each).user_id for each in (first, second)}
    assert len(owners) == 1
    for word in ANN.values():
        assert word.encode() not in service.log()


def test_an_id_is_a_pseudonym_too_and_nobody_may_be_named(manager: SessionManager) -> None:
    """Whoever is named in any way is not named in the log."""
    by_id = manager.create_session({"id": 17, "name": "Ann"})
    assert (told(manager, by_id)["user_name"], told(manager, by_id)["user_email"]) == ("Ann", None)
    assert manager.sessions.get(by_id).user_id != "17"
    for info in (None, {}, {"name": "Bob"}):
        assert manager.get_session(manager.create_session(info)) is not None


def test_a_person_needs_a_profile_store(tmp_path: Path) -> None:
    """Without one the error says what to set."""
    with served(tmp_path) as service, Sessions(service.url) as sessions:
        manager = SessionManager(sessions)
        with pytest.raises(InvalidRequest, match="A3CP_PROFILE_STORE_URL"):
            manager.create_session(ANN)
        assert manager.get_session(manager.create_session()) is not None


def test_what_was_said_adds_up(manager: SessionManager) -> None:
    """Queries, escalations, confidence and feedback; the summary is the latest note of that kind."""
    session_id = manager.create_session(ANN)
    empty = told(manager, session_id)
    assert (empty["message_count"], empty["total_queries"], empty["avg_confidence"]) == (0, 0, None)
    assert (empty["conversation_summary"], empty["status"], empty["limit_reached"]) == ("", "active", False)
    for metadata in (
        {"confidence": 0.8, "feedback": "positive"},
        {"confidence": 0.9, "feedback": "negative", "escalated": True},
        {"confidence": "sure", "feedback": "positive", "collections_used": ["property_docs"]},
    ):
        assert manager.add_message(session_id, "user", "What does erf size mean?")
        assert manager.add_message(session_id, "assistant", "The size of the land.", metadata)
    manager.sessions.note(session_id, "About sizes", kind="summary")
    manager.sessions.note(session_id, "About property definitions", kind="summary")
    manager.sessions.note(session_id, "A calm talk")
    session = told(manager, session_id)
    assert (session["message_count"], session["total_queries"], session["escalations"]) == (6, 3, 1)
    assert (session["avg_confidence"], session["feedback_positive"], session["feedback_negative"]) == (0.85, 2, 1)
    assert session["conversation_summary"] == "About property definitions"


def test_a_history_is_what_an_agent_needs(service: InMemory, manager: SessionManager) -> None:
    """The last messages in their order, at once after they were added; in the log each names who performs it."""
    session_id = manager.create_session(ANN)
    for number in range(25):
        role = "assistant" if number % 2 else "user"
        assert manager.add_message(session_id, role, f"message {number}", {"number": number})
        assert manager.get_history(session_id, 1)[0]["content"] == f"message {number}"
    history = manager.get_history(session_id)
    assert [message["seq"] for message in history] == list(range(6, 26))
    assert list(history[0]) == ["role", "content", "timestamp", "metadata", "seq"]
    assert (history[-1]["role"], history[-1]["metadata"]) == ("user", {"number": 24})
    assert len(manager.get_history(session_id, limit=5)) == 5
    logged = manager.sessions.get_history(session_id, 2)
    owner = manager.sessions.get(session_id).user_id
    assert [message["performer_id"] for message in logged] == ["system", owner]
    assert {message["source"] for message in logged} == {"conversation"}


def test_the_limits_are_of_what_is_read(manager: SessionManager) -> None:
    """Beyond 50 messages the session says so, and all are there."""
    session_id = manager.create_session(ANN)
    for number in range(51):
        if number == 50:
            assert told(manager, session_id)["limit_reached"] is False
        assert manager.add_message(session_id, "user", f"message {number}")
    assert told(manager, session_id)["limit_reached"] is True
    assert len(manager.get_history(session_id)) == manager.max_history_length
    assert len(manager.get_history(session_id, limit=100)) == told(manager, session_id)["message_count"] == 51


def test_what_is_not_there(service: InMemory, manager: SessionManager) -> None:
    """None, False or nothing; a role that is none is an error."""
    unknown = "sess_20250615_150640_00000000000000000000000000000000"
    assert manager.get_session(unknown) is None
    assert manager.add_message(unknown, "user", "hello") is False
    assert manager.add_message(unknown, "assistant", "hello") is False
    assert manager.get_history(unknown) == []
    with pytest.raises(UsageError, match="user or assistant"):
        manager.add_message(manager.create_session(ANN), "system", "hello")


def test_two_hours_of_silence_end_it(
    service: InMemory, manager: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading a session counts as activity; an expired one is None, takes nothing, and another one takes its place."""
    caplog.set_level(logging.INFO, "a3cp.conversation")
    session_id = manager.create_session(ANN)
    manager.add_message(session_id, "user", "hello")
    for _ in range(2):
        before = told(manager, session_id)["last_activity"]
        service.deployment.advance(2 * HOUR_MS - 60_000)
        assert manager.ensure_session(session_id, ANN) == (session_id, False, None)
        assert told(manager, session_id)["last_activity"] - before >= timedelta(milliseconds=2 * HOUR_MS - 60_000)
    service.deployment.advance(2 * HOUR_MS + 60_000)
    assert manager.get_session(session_id) is None
    assert manager.add_message(session_id, "user", "hello?") is False
    assert [message["content"] for message in manager.get_history(session_id)] == ["hello"]
    assert (manager.clear_expired_sessions(), manager.clear_expired_sessions()) == (1, 0)
    other = manager.ensure_session(session_id, ANN)
    assert (other.recreated, other.previous_session_id) == (True, session_id)
    assert told(manager, other.session_id)["user_name"] == "Ann"
    assert manager.ensure_session(None, ANN).previous_session_id is None
    words = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert words == ["session created", *["session expired"] * 2, "session created", "session created"]
    assert session_id not in caplog.text


def test_open_conversations_are_counted(service: InMemory, manager: SessionManager) -> None:
    """Those alone, not the sessions of other templates."""
    manager.create_session(ANN)
    manager.sessions.create("ben", template="interview")
    counts = {"firebase_sessions": 1, "memory_sessions": 0, "total": 1, "kafka": 1, "fallback": 0}
    assert FirebaseSessionManager(manager.sessions).get_active_sessions() == counts


def test_a_conversation_of_an_outage(
    service: InMemory, manager: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    """It begins and goes on with its real id, and is in the log once Kafka is back: once, and in order."""
    caplog.set_level(logging.INFO, "a3cp.conversation")
    before = manager.create_session(ANN)
    service.deployment.broker_is_away = True
    session_id = manager.create_session(ANN)
    assert manager.add_message(session_id, "user", "What does erf size mean?")
    metadata = {"escalated": True, "collections_used": ["property_docs"]}
    assert manager.add_message(session_id, "assistant", "I do not know.", metadata)
    session = told(manager, session_id)
    assert list(session) == [
        "id", "created_at", "last_activity", "messages", "user_info", "metadata", "limit_reached",
    ]  # fmt: skip
    assert (session["id"], session["user_info"]) == (session_id, ANN)
    assert [list(message) for message in session["messages"]] == [["role", "content", "timestamp"]] * 2
    assert session["metadata"] == {
        "total_queries": 1, "collections_used": ["property_docs"], "escalated": True, "fallback": True,
    }  # fmt: skip
    assert manager.add_message(before, "user", "And what is a stand?")
    assert told(manager, before)["total_queries"] == 1, "one that Kafka has is told as always"
    assert manager.get_active_sessions() == {
        "firebase_sessions": 1, "memory_sessions": 1, "total": 2, "kafka": 1, "fallback": 1,
    }  # fmt: skip
    history = manager.get_history(session_id)
    assert [message["seq"] for message in history] == [1, 2]
    back(service)
    assert manager.add_message(before, "assistant", "A piece of land.")
    assert told(manager, session_id)["message_count"] == told(manager, before)["message_count"] == 2
    assert manager.get_history(session_id) == history
    words = [record.getMessage() for record in caplog.records if "fallback" in record.getMessage()]
    assert [word.partition(":")[0] for word in words] == ["fallback", "fallback is over"]
