"""`Sessions("kafka://…")`: a service of one's own process, on a real Kafka."""

from pathlib import Path

import pytest

from a3cp_sessions import Sessions
from a3cp_sessions.conversation import SessionManager
from tests.broker.fleet import Fleet
from tests.patience import until

pytestmark = pytest.mark.broker


def test_a_session_without_a_service_elsewhere(
    kafka: str, topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its beginning to its end, and a second client sees it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A3CP_TOPIC_PREFIX", topics)
    with Fleet(kafka, topics, tmp_path) as fleet, Sessions(f"kafka://{kafka}", timeout_s=60) as sessions:
        fleet.start()
        session = sessions.create("elias01", performer_id="carer01")
        assert sessions.add_message(session.session_id, {"text": "hello"}, wait_s=30).seq == 1
        assert sessions.end(session.session_id).message_count == 1
        with Sessions(f"kafka://{kafka}", timeout_s=60) as others:
            assert others.get(session.session_id).status == "closed"
            assert others.validate("elias01", session.session_id) == "closed"


def test_a_conversation_without_a_service_elsewhere(
    kafka: str, topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application's own profile store has who it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A3CP_TOPIC_PREFIX", topics)
    monkeypatch.setenv("A3CP_PROFILE_STORE_URL", f"sqlite:///{tmp_path / 'profiles.db'}")
    monkeypatch.setenv("A3CP_SITE_KEY", "the key of this site")
    with Fleet(kafka, topics, tmp_path) as fleet, Sessions(f"kafka://{kafka}", timeout_s=60) as sessions:
        fleet.start()
        manager = SessionManager(sessions)
        session_id = manager.create_session({"email": "ann@example.com", "name": "Ann"})
        assert manager.add_message(session_id, "user", "What does erf size mean?")
        until(lambda: len(manager.get_history(session_id)) == 1)
        session = manager.get_session(session_id)
        assert session is not None
        assert (session["user_name"], session["total_queries"]) == ("Ann", 1)
