"""Document 004, the session layer of a chat backend: its code runs as it stands there, against a live service."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from a3cp_sessions import Sessions
from a3cp_sessions.conversation import FirebaseSessionManager, SessionManager
from processor.client import conversation
from processor.settings.model import Settings
from tests.patience import until
from tests.served import InMemory, Served, served, served_on_kafka

ROOT = Path(__file__).parents[2]
DOCUMENT = (Path(__file__).parent / "004_session_management_layer.md").read_text("utf-8")
GUIDE = (ROOT / "docs" / "conversations.md").read_text("utf-8")
USER_INFO = {
    "email": "melville.duplessis@betterhome.co.za",
    "name": "Melville du Plessis",
    "company": "Betterhome",
    "division": "Property Management",
    "user_type": "agent",
}


def block(heading: str) -> str:
    """Return the Python code of the document that follows a line that says `heading`."""
    return re.findall(r"```python\n(.*?)```", DOCUMENT.split(f"{heading}\n", 1)[1], re.DOTALL)[0]  # type: ignore[no-any-return]


def profiles_at(folder: Path) -> str:
    return f"sqlite:///{folder / 'profiles.db'}"


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A live service with a profile store; programs of the document find it, and the modules that they import."""
    if getattr(request, "param", None) == "kafka":
        kafka, topics = request.getfixturevalue("kafka"), request.getfixturevalue("topics")
        settings = {"profile_store_url": profiles_at(tmp_path), "site_key": "the key of this site"}
        running: AbstractContextManager[Served] = served_on_kafka(kafka, topics, tmp_path, **settings)
    else:
        store = f"sqlite:///{tmp_path / 'a3cp.db'}"
        outbox = str(tmp_path / "outbox.db")
        running = served(tmp_path, Settings(store_url=store, profile_store_url=profiles_at(tmp_path), outbox=outbox))
    with running as service, ExitStack() as opened:
        monkeypatch.setenv("A3CP_URL", service.url)
        monkeypatch.syspath_prepend(str(ROOT / "examples" / "requirements" / "004"))
        monkeypatch.setattr(conversation, "Sessions", lambda: opened.enter_context(Sessions(timeout_s=120)))
        yield service


def shown(heading: str) -> dict[str, Any]:
    """Return a dictionary of the document."""
    names = {"firestore": SimpleNamespace(SERVER_TIMESTAMP=datetime.now(UTC)), "datetime": datetime}
    found: dict[str, Any] = eval(block(heading), names)
    return found


def kinds(told: dict[str, Any]) -> dict[str, Any]:
    """Return the names and types of a dictionary, and of those in it."""
    return {
        name: kinds(value) if isinstance(value, dict) else [kinds(value[0])] if name == "messages" else type(value)
        for name, value in told.items()
    }


def walk(between: Callable[[], None] = lambda: None, *, old: str = "sess_of_last_year") -> dict[str, Any]:
    """Run the document's programs and `between` them something else; return their names. `old`: no open session."""
    names: dict[str, Any] = {"user_info": USER_INFO}
    for heading in ("### With Firebase Layer", "### With Chat API"):
        exec(block(heading), names)
        between()
    manager, session_id = names["session_manager"], names["session_id"]
    assert manager.add_message(session_id, "user", "What does erf size mean?", {})
    between()
    assert manager.add_message(session_id, "assistant", "The size of the land.", {"confidence": 0.85})
    between()
    until(lambda: len(manager.get_history(session_id, 2)) == 2)
    exec(block("### With Agent System"), names)
    assert [(message["role"], message["content"]) for message in names["history"]] == [
        ("user", "What does erf size mean?"),
        ("assistant", "The size of the land."),
    ]
    between()
    exec(block("### Firebase Unavailable"), names)
    between()
    names |= {"get_session": manager.get_session, "create_session": manager.create_session}
    exec(block("### Session Recovery"), names)
    assert names["session_id"] == session_id
    exec(block("### Session Recovery"), names | {"session_id": old})
    exec(block("### Session Metrics"), names)
    return names


def checked(names: dict[str, Any]) -> None:
    """Compare what the programs have told with what the document shows."""
    counts = re.search(r"# Returns: (.*)", block("### Session Metrics"))
    assert counts is not None
    assert names["active_sessions"].keys() >= eval(counts[1]).keys()
    assert names["active_sessions"]["total"] == 3
    session = names["session_manager"].get_session(names["session_id"])
    assert session.pop("limit_reached") is False
    assert kinds(session) == kinds(shown("#### Firebase Session"))
    assert session["user_email"] == USER_INFO["email"]
    assert (session["message_count"], session["total_queries"], session["avg_confidence"]) == (2, 1, 0.85)


def test_its_methods() -> None:
    """Names, parameters and their order are the document's."""
    signatures = re.findall(r"^(\w+)\((.*)\) -> (.+)$", DOCUMENT, re.MULTILINE)
    assert len(signatures) == 6
    for name, parameters, _ in signatures:
        wanted = [each.partition(":")[0].strip() for each in parameters.split(",") if each]
        assert list(inspect.signature(getattr(SessionManager, name)).parameters)[1:] == wanted, name
    assert FirebaseSessionManager is SessionManager


def test_its_settings() -> None:
    """The time-out and the limits."""
    names: dict[str, Any] = {"timedelta": timedelta}
    exec(block("### Session Settings"), names)
    for name in ("session_timeout", "max_history_length", "max_messages_per_session"):
        assert getattr(SessionManager, name) == names[name]


@pytest.mark.parametrize(
    "service", ["memory", pytest.param("kafka", marks=[pytest.mark.broker, pytest.mark.long])], indirect=True
)
def test_its_programs(service: Served) -> None:
    """Each does what it says, and what they tell has the document's form; the log names nobody."""
    checked(walk())
    for told in USER_INFO.values():
        assert told.encode() not in service.log()


@pytest.mark.broker
@pytest.mark.long
@pytest.mark.parametrize("service", ["kafka"], indirect=True)
def test_its_programs_while_all_is_killed(service: Any) -> None:
    """Processor and service are killed between any two of them, and nobody notices."""
    checked(walk(service.restart))


def test_its_fallback(service: InMemory) -> None:
    """While Kafka is away the programs run as well, and the session has the form of the document's memory session."""
    manager = SessionManager()
    old = manager.create_session(USER_INFO)
    manager.sessions.end(old)
    service.deployment.broker_is_away = True
    names = walk(old=old)
    manager, session_id = names["session_manager"], names["session_id"]
    assert manager.add_message(session_id, "assistant", "See the documents.", {"collections_used": ["property_docs"]})
    session = manager.get_session(session_id)
    assert session.pop("limit_reached") is False
    wanted = shown("#### Memory Session (Fallback)")
    assert (session.pop("user_info"), set(wanted.pop("user_info"))) == (USER_INFO, {"email", "name"})
    assert kinds(session) == kinds(wanted)
    assert session["metadata"]["collections_used"] == ["property_docs"]
    assert names["active_sessions"] == {
        "firebase_sessions": 0, "memory_sessions": 3, "total": 3, "kafka": 0, "fallback": 3,
    }  # fmt: skip


def test_our_guide(service: InMemory, capsys: pytest.CaptureFixture[str]) -> None:
    """The example of docs/conversations.md prints what it says."""
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(program, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"print\(.*\)  # (.*)$", program, re.MULTILINE)
