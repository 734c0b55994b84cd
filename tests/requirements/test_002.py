"""Document 002, interview sessions: its code runs as it stands there, also when what it runs on is killed meanwhile."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from a3cp_sessions import Sessions
from a3cp_sessions.interview import CommunicationMode, InvalidTransitionError
from a3cp_sessions.testing import InterviewDouble
from processor.broker.probe import free_ports
from processor.profiles import Pseudonyms, open_profiles
from tests.requirements.stage import ROOT, Document
from tests.served import Served, served, served_on_kafka

DOCUMENT = Document("002_session_manager.txt")
USAGE = DOCUMENT.block("## Usage Example", "python")
RESUME = {"user_id": "user_123", "name": "Ann Example", "skills": ["Kafka"]}
SITE_KEY = "a key that makes pseudonyms"
ID = r"sess_\d{8}_\d{6}_[0-9a-f]{32}"


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules that its programs import."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "requirements" / "002"))


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A live service that has a profile store; programs of the document find it."""
    store = f"sqlite:///{tmp_path / 'profiles.db'}"
    if request.param == "kafka":
        kafka, topics = request.getfixturevalue("kafka"), request.getfixturevalue("topics")
        settings = {"profile_store_url": store, "site_key": SITE_KEY}
        running: AbstractContextManager[Served] = served_on_kafka(kafka, topics, tmp_path, **settings)
    else:
        running = served(tmp_path, profiles=open_profiles(store, Pseudonyms(SITE_KEY.encode()), None))
    with running as service:
        monkeypatch.setenv("A3CP_URL", service.url)
        yield service


def names(double: InterviewDouble) -> dict[str, Any]:
    """Return the names that its programs use without making them."""
    found: dict[str, Any] = {"data_store": None, "logger": logging.getLogger("interviews"), "resume_data": RESUME}
    return found | dict.fromkeys(("ai_interviewer", "evaluation_manager", "communication_manager"), double)


def run_usage(double: InterviewDouble, data_store: Sessions | None = None) -> None:
    """Run the usage example."""
    named = {**names(double), "data_store": data_store}
    exec(USAGE, named)
    named["session_manager"].close()


def printed_by_usage(printed: str) -> str:
    """Check what the usage example prints, and return the session's id."""
    found = re.fullmatch(
        rf"Created session: ({ID})\n"
        r"Session started - interview in progress\n"
        r"Session ended - Overall score: 80\n"
        r"Session \1: 80.0/100\n",
        printed,
    )
    assert found, printed
    return found[1]


def test_its_usage_example(
    service: Served, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The complete workflow prints what it should, and the log line of the start is that of the document."""
    caplog.set_level(logging.INFO, "interviews")
    double = InterviewDouble()
    run_usage(double)
    session_id = printed_by_usage(capsys.readouterr().out)
    assert [name for name, _ in double.calls] == [
        "initialize", "enable_mode", "enable_mode", "enable_mode", "opening_question",
        "disable_mode", "disable_mode", "disable_mode", "generate_evaluation",
    ]  # fmt: skip
    shown = json.loads(DOCUMENT.block("Example log entry:", "json").replace("abc-123", session_id))
    line = json.loads(next(record.message for record in caplog.records if "started" in record.message))
    shown["metadata"]["enabled_modes"].append("audio")
    assert list(line) == list(shown)
    assert {**line, "timestamp": shown["timestamp"]} == shown
    assert b"Ann Example" not in service.log()


def test_its_other_programs(service: Served) -> None:
    """Each stands in its section; they run in one process after each other."""
    double = InterviewDouble()
    named: dict[str, Any] = names(double)
    exec("from src.session.session_manager import SessionManager\nfrom src.models import *", named)
    for section in ("## Architecture", "### 1. Session Creation"):
        exec(DOCUMENT.block(section, "python"), named)
    named["session_id"] = named["session"].id
    for section in ("### 2. Session Start", "### 4. Session State Management"):
        exec(DOCUMENT.block(section, "python"), named)
    exec(DOCUMENT.block("### 5. Session Retrieval", "python"), named)
    assert named["session"] == named["active_session"]
    assert [each.id for each in named["sessions"]] == [named["session_id"]]
    exec(DOCUMENT.block("### 3. Session End", "python"), named)
    assert named["evaluation"].overall_score == 80
    with pytest.raises(InvalidTransitionError):
        exec(DOCUMENT.block("### 3. Session End", "python"), named)

    ours = double.calls.copy()
    double.calls.clear()
    for component in ("AI Interviewer", "Communication Manager", "Evaluation Manager"):
        exec(DOCUMENT.block(f"### {component} Integration", "python"), named)
    assert double.calls == [call for call in ours if call[0] not in ("opening_question", "disable_mode")], (
        "the manager calls them as the document does"
    )
    named["session_manager"].close()


class Killing(InterviewDouble):
    """Kills what interviews run on, each time something is asked of it, and starts it again."""

    def __init__(self, kafka: str, topics: str, folder: Path, port: int) -> None:
        from tests.broker.fleet import Fleet

        super().__init__()
        self.lives = ExitStack()
        store = f"sqlite:///{folder / 'profiles.db'}"
        self.fleet = Fleet(kafka, topics, folder, profile_store_url=store, site_key=SITE_KEY, serve_port=port)
        self.lives.enter_context(self.fleet)
        self.folder = folder
        self.start()

    def start(self) -> None:
        from tests.processes.services import Service

        self.fleet.start()
        self.service = self.lives.enter_context(Service(self.folder, self.fleet.environ))

    def _note(self, name: str, told: Any = None) -> None:
        self.service.process.kill()
        self.service.process.wait()
        self.fleet.workers[-1].kill()
        self.start()
        super()._note(name, told)


@pytest.mark.broker
@pytest.mark.long
def test_processor_and_service_are_killed_in_between(
    kafka: str, topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage example prints the same: its session, its resume and its score were never in them."""
    (port,) = free_ports(1)
    monkeypatch.setenv("A3CP_URL", f"http://127.0.0.1:{port}")
    double = Killing(kafka, topics, tmp_path, port)
    with double.lives:
        run_usage(double, Sessions(timeout_s=120))
        session_id = printed_by_usage(capsys.readouterr().out)
        assert double.calls[0] == ("initialize", (session_id, RESUME))
        assert len(double.fleet.workers) == len(double.calls) + 1 == 10
        with Sessions(timeout_s=120) as sessions:
            said = [message["source"] for message in sessions.get_history(session_id)]
            assert said == ["interview", "evaluation_manager"], "each once"
        assert double.fleet.audit().sessions == 1


@pytest.mark.broker
def test_over_kafka_without_a_service(
    kafka: str, topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`kafka://` runs the same program, with a processor alone."""
    from tests.broker.fleet import Fleet

    store = f"sqlite:///{tmp_path / 'profiles.db'}"
    with Fleet(kafka, topics, tmp_path, profile_store_url=store, site_key=SITE_KEY) as fleet:
        fleet.start()
        for name, value in {**fleet.environ, "A3CP_URL": f"kafka://{kafka}"}.items():
            monkeypatch.setenv(name, value)
        run_usage(InterviewDouble())
        printed_by_usage(capsys.readouterr().out)


def test_its_modes() -> None:
    """Those of the document, and video."""
    assert [mode.value for mode in CommunicationMode] == ["text", "whiteboard", "audio", "video"]
