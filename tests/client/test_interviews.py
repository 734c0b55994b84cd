"""Interviews: each step does what the document lists, in its order, and what fails is undone and told."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock
from uuid import uuid4

import pytest
from pydantic import BaseModel

from a3cp_sessions import Sessions
from a3cp_sessions.interview import (
    CommunicationMode,
    ComponentError,
    ConfigurationError,
    DataStoreError,
    InterviewPlatformError,
    InterviewWebhook,
    InvalidTransitionError,
    Session,
    SessionConfig,
    SessionManager,
    SessionNotFoundError,
    SessionStatus,
)
from a3cp_sessions.testing import InterviewDouble
from processor.settings.templates import BUILT_IN
from tests.hooks.receiver import SECRET, Answers, Came, Receiver, json_answer
from tests.served import InMemory, served

MODES = [CommunicationMode.TEXT, CommunicationMode.WHITEBOARD]
RESUME = {"user_id": "user_123", "name": "Ann Example", "skills": ["Kafka"]}
CONFIG = SessionConfig(MODES, "openai", "gpt-4", resume_data=RESUME, duration_minutes=45)
STARTED = ["initialize", "enable_mode", "enable_mode", "opening_question"]
ENDED = ["disable_mode", "disable_mode", "generate_evaluation"]


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    """Sessions on a service in memory, which has a profile store."""
    with Sessions("memory://", timeout_s=20) as sessions:
        yield sessions


@pytest.fixture
def double() -> InterviewDouble:
    return InterviewDouble()


@pytest.fixture
def manager(sessions: Sessions, double: InterviewDouble) -> SessionManager:
    return managing(sessions, double)


def managing(data_store: Any, double: Any, **more: Any) -> SessionManager:
    return SessionManager(data_store, double, double, double, **more)


def names(double: InterviewDouble) -> list[str]:
    return [name for name, _ in double.calls]


def test_an_interview_from_its_creation_to_its_evaluation(
    manager: SessionManager, double: InterviewDouble, sessions: Sessions
) -> None:
    """What each step does and what is told of the session meanwhile."""
    session = manager.create_session(CONFIG)
    assert (session.user_id, session.status, session.config) == ("user_123", SessionStatus.CREATED, CONFIG)
    assert sessions.get(session.id).status == "paused", "silence does not end it"
    assert (double.calls, manager.get_active_session()) == ([], None)

    manager.start_session(session.id)
    assert names(double) == STARTED
    assert double.calls[0][1] == (session.id, RESUME)
    assert [mode for name, mode in double.calls if name == "enable_mode"] == MODES
    (question,) = sessions.get_history(session.id)
    assert (question["role"], question["content"], question["source"]) == ("assistant", double.question, "interview")
    active = manager.get_active_session()
    assert active is not None
    assert (active.id, active.status, active.config.enabled_modes) == (session.id, SessionStatus.ACTIVE, MODES)

    manager.pause_session(session.id)
    assert manager.get_session(session.id).status is SessionStatus.PAUSED
    manager.resume_session(session.id)
    double.calls.clear()
    report = manager.end_session(session.id)
    assert (report.overall_score, names(double)) == (80, ENDED)
    assert manager.get_active_session() is None
    ended = manager.get_session(session.id)
    assert (ended.status, ended.overall_score, ended.ended_at is not None) == (SessionStatus.COMPLETED, 80, True)
    assert sessions.get_audit(session.id).phase == "completed"
    assert sessions.get_history(session.id)[-1]["evaluation"]["overall_score"] == 80
    (listed,) = manager.list_sessions(user_id="user_123", limit=1)
    assert (listed.id, listed.overall_score, listed.date, listed.status) == (
        session.id, 80, session.created_at, SessionStatus.COMPLETED,
    )  # fmt: skip
    assert timedelta() <= listed.duration < timedelta(minutes=1), "to wait for the start does not count"


def test_interviews_are_listed_newest_first(manager: SessionManager) -> None:
    """Of one user, by pages, and none of another template."""
    user_id = f"user_{uuid4().hex[:8]}"
    made = [manager.create_session(SessionConfig([], "x", "y", {"user_id": user_id})).id for _ in range(5)]
    assert [each.id for each in manager.list_sessions(user_id=user_id)] == made[::-1]
    pages = [manager.list_sessions(user_id=user_id, limit=2, offset=offset) for offset in (0, 2, 4, 5)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [each.id for page in pages for each in page] == made[::-1]
    assert manager.list_sessions(user_id=user_id, limit=0) == []


def test_without_a_resume(manager: SessionManager, double: InterviewDouble) -> None:
    """A made user, and nothing for the interviewer to read."""
    session = manager.create_session(SessionConfig(MODES, "openai", "gpt-4"))
    assert session.user_id
    manager.start_session(session.id)
    assert double.calls[0] == ("initialize", (session.id, None))


def test_a_uuid_finds_the_session(manager: SessionManager) -> None:
    """As an object and as text; an unknown one is not found."""
    session = manager.create_session(CONFIG)
    assert session.uuid is not None
    assert session.uuid.hex == session.id[-32:]
    assert manager.get_session(session.uuid).id == manager.get_session(str(session.uuid)).id == session.id
    manager.start_session(session.uuid)
    with pytest.raises(SessionNotFoundError):
        manager.get_session(uuid4())


def test_what_is_no_interview_is_not_found(manager: SessionManager, sessions: Sessions) -> None:
    """Neither an unknown id nor a session of another kind."""
    for session_id in ("sess_x", sessions.create("ann", template="conversation").session_id):
        with pytest.raises(SessionNotFoundError, match="not found") as caught:
            manager.start_session(session_id)
        assert (caught.value.code, caught.value.session_id) == ("session_not_found", session_id)


def in_state(manager: SessionManager, state: str) -> str:
    session_id = manager.create_session(CONFIG).id
    if state != "created":
        manager.start_session(session_id)
    if state == "paused":
        manager.pause_session(session_id)
    if state == "completed":
        manager.end_session(session_id)
    return session_id


@pytest.mark.parametrize(
    ("state", "legal"),
    [("created", {"start"}), ("active", {"pause", "end"}), ("paused", {"resume", "end"}), ("completed", set())],
)
def test_which_step_may_follow(state: str, legal: set[str], manager: SessionManager) -> None:
    """Every other one is refused, with its code, and changes nothing."""
    for step in ("start", "pause", "resume", "end"):
        session_id = in_state(manager, state)
        act = getattr(manager, f"{step}_session")
        if step in legal:
            act(session_id)
            continue
        before = manager.get_session(session_id)
        with pytest.raises(InvalidTransitionError) as caught:
            act(session_id)
        assert (caught.value.code, caught.value.session_id) == ("invalid_transition", session_id)
        assert manager.get_session(session_id) == before


@pytest.mark.parametrize("at", ["initialize", "enable_mode", "opening_question"])
def test_a_start_that_fails_is_undone(
    at: str, sessions: Sessions, double: InterviewDouble, caplog: pytest.LogCaptureFixture
) -> None:
    """What was switched on is switched off again, the status is `error`, and the cause is told."""
    manager, double.fails_at = managing(sessions, double), {at}
    session = manager.create_session(CONFIG)
    with pytest.raises(ComponentError) as caught:
        manager.start_session(session.id)
    assert isinstance(caught.value.cause, RuntimeError)
    assert (caught.value.code, caught.value.session_id) == ("component_failed", session.id)
    done = names(double)
    on = 0 if at != "opening_question" else 2
    assert done[done.index(at) + 1 :] == ["disable_mode"] * on
    assert manager.get_session(session.id).status is SessionStatus.ERROR
    assert sessions.get(session.id).status == "closed"
    assert manager.get_active_session() is None
    line = json.loads(caplog.records[-1].message)
    assert (line["level"], line["operation"], line["metadata"]["cause"]) == ("ERROR", "start_session", "RuntimeError")
    assert caplog.records[-1].exc_info is not None


def test_undoing_goes_on_when_it_fails(sessions: Sessions, double: InterviewDouble) -> None:
    """Every mode is tried, and the first error is the one that is told."""
    manager, double.fails_at = managing(sessions, double), {"opening_question", "disable_mode"}
    session = manager.create_session(CONFIG)
    with pytest.raises(ComponentError, match="AI interviewer"):
        manager.start_session(session.id)
    assert names(double)[-2:] == ["disable_mode"] * 2
    assert manager.get_session(session.id).status is SessionStatus.ERROR


def test_two_managers_start_it_at_once(sessions: Sessions) -> None:
    """One of them does; the other is refused, switches its modes off again, and does not spoil the first."""
    first, second = InterviewDouble(), InterviewDouble()

    def meanwhile() -> str:
        managing(sessions, first).start_session(session.id)
        return "What is a cache?"

    manager = managing(sessions, second, opening_question=meanwhile)
    session = manager.create_session(CONFIG)
    with pytest.raises(InvalidTransitionError):
        manager.start_session(session.id)
    assert names(second)[-2:] == ["disable_mode"] * 2
    assert manager.get_session(session.id).status is SessionStatus.ACTIVE


@pytest.mark.parametrize("at", ["disable_mode", "generate_evaluation"])
def test_an_end_that_fails_can_be_finished(at: str, sessions: Sessions, double: InterviewDouble) -> None:
    """The interview is over all the same; the second call evaluates it, the third is refused."""
    manager = managing(sessions, double)
    session_id = in_state(manager, "active")
    double.calls.clear()
    double.fails_at = {at}
    with pytest.raises(ComponentError):
        manager.end_session(session_id)
    assert names(double)[:2] == ["disable_mode"] * 2
    ended = manager.get_session(session_id)
    assert (ended.status, ended.overall_score) == (SessionStatus.COMPLETED, None)
    double.fails_at = ()
    assert managing(sessions, double).end_session(session_id).overall_score == 80
    assert manager.get_session(session_id).ended_at == ended.ended_at
    with pytest.raises(InvalidTransitionError):
        manager.end_session(session_id)


def test_another_process_goes_on(sessions: Sessions) -> None:
    """A killed manager leaves nothing behind that another one needs: the log and the profile store have all."""
    session_id = managing(sessions, InterviewDouble()).create_session(CONFIG).id
    sessions.resume(session_id)  # It was killed in its start.
    second = InterviewDouble()
    managing(sessions, second).start_session(session_id)
    assert second.calls[0] == ("initialize", (session_id, RESUME))
    sessions.step(session_id, "whatever")
    sessions.end(session_id)  # And in its end, or the silence ended it.
    assert managing(sessions, second).end_session(session_id).overall_score == 80


@dataclass
class Report:
    overall_score: float
    strengths: tuple[str, ...] = ("caching",)


class Model(BaseModel):
    overall_score: float
    strengths: list[str] = ["caching"]


class Plain:
    def __init__(self, overall_score: float) -> None:
        self.overall_score = overall_score
        self.strengths = ["caching"]
        self._cache = object()


class Reporting(InterviewDouble):
    """Evaluates with a report that is handed to it."""

    def __init__(self, report: Any) -> None:
        super().__init__()
        self.report = report

    def generate_evaluation(self, session_id: str) -> Any:
        return self.report


def test_a_mock_will_do(sessions: Sessions) -> None:
    """As reports and collaborators, where a test says no more than it must."""
    mock = MagicMock()
    mock.opening_question.return_value = "How would you begin?"
    mock.generate_evaluation.return_value = Mock(overall_score=8)
    manager = managing(sessions, mock, logger=mock)
    assert manager.end_session(in_state(manager, "active")).overall_score == 8


@pytest.mark.parametrize("report", [Report(71.5), Model(overall_score=71.5), Plain(71.5)])
def test_a_report_of_ones_own(report: Any, sessions: Sessions) -> None:
    """It is returned as it is, and kept whole."""
    manager = managing(sessions, Reporting(report))
    session_id = in_state(manager, "active")
    assert manager.end_session(session_id) is report
    kept = sessions.get_history(session_id)[-1]
    assert kept["evaluation"] == {"overall_score": 71.5, "strengths": ["caching"]}
    assert manager.get_session(session_id).overall_score == 71.5


@pytest.mark.parametrize("report", [None, "good", Report("good"), {"score": 3}])  # type: ignore[arg-type]
def test_a_report_without_a_score(report: Any, sessions: Sessions) -> None:
    """The evaluation manager failed, then."""
    manager = managing(sessions, Reporting(report))
    session_id = in_state(manager, "active")
    with pytest.raises(ComponentError, match="the evaluation manager failed"):
        manager.end_session(session_id)


def test_the_opening_question_can_come_from_elsewhere(sessions: Sessions, double: InterviewDouble) -> None:
    """A function may stand for the interviewer's method; what is no text is refused."""
    manager = managing(sessions, double, opening_question=lambda: "Design a cache.")
    session_id = in_state(manager, "active")
    assert sessions.get_history(session_id)[0]["content"] == "Design a cache."
    assert "opening_question" not in names(double)
    manager = managing(sessions, double, opening_question=lambda: 7)
    with pytest.raises(ComponentError, match="no text"):
        manager.start_session(manager.create_session(CONFIG).id)


def test_the_log_lines(sessions: Sessions, double: InterviewDouble, caplog: pytest.LogCaptureFixture) -> None:
    """They have the names that the document shows, and nothing of the resume."""
    caplog.set_level(logging.INFO, "interviews")
    manager = managing(sessions, double, logger=logging.getLogger("interviews"))
    session_id = in_state(manager, "paused")
    manager.resume_session(session_id)
    manager.end_session(session_id)
    lines = [json.loads(record.message) for record in caplog.records if record.name == "interviews"]
    assert [line["operation"] for line in lines] == [
        "create_session", "start_session", "pause_session", "resume_session", "end_session",
    ]  # fmt: skip
    for line in lines:
        assert list(line) == [
            "timestamp", "level", "component", "operation", "message", "session_id", "metadata",
        ]  # fmt: skip
        assert (line["level"], line["component"], line["session_id"]) == ("INFO", "SessionManager", session_id)
    created, started, _, _, ended = lines
    assert created["metadata"] == {
        "enabled_modes": ["text", "whiteboard"], "ai_provider": "openai", "ai_model": "gpt-4", "duration_minutes": 45,
    }  # fmt: skip
    assert started["message"] == f"Session {session_id} started successfully"
    assert started["metadata"] == {"enabled_modes": ["text", "whiteboard"]}
    assert (ended["metadata"]["overall_score"], ended["metadata"]["duration_minutes"] < 1) == (80, True)
    assert "Ann" not in caplog.text


def test_the_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its example prints what its comments say, and its tables have every status and error."""
    text = (Path(__file__).parents[2] / "docs" / "interviews.md").read_text("utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    monkeypatch.setenv("A3CP_URL", "memory://")
    exec(program, {})
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        re.findall(r"print\(.*\)  # (.*)$", program, re.MULTILINE)
    )
    statuses = text.split("## Statuses")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", statuses, re.MULTILINE) == list(SessionStatus)
    told = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(told) == sorted((kind.__name__, kind.code) for kind in InterviewPlatformError.__subclasses__())


def test_the_template_has_the_modes() -> None:
    """Those that a configuration can name."""
    schema = BUILT_IN["interview"].config_schema or {}
    assert schema["properties"]["enabled_modes"]["items"]["enum"] == list(CommunicationMode)


class Store:
    """A store of an application's own."""

    def __init__(self) -> None:
        self.saved: list[tuple[SessionStatus, float | None]] = []
        self.said: list[Any] = []

    def save_session(self, session: Session) -> None:
        self.saved.append((session.status, session.overall_score))

    def save_conversation(self, session_id: str, message: Any) -> None:
        self.said.append(message)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemory]:
    """A service without a profile store, which is found by A3CP_URL."""
    with served(tmp_path) as service:
        monkeypatch.setenv("A3CP_URL", service.url)
        yield service


def test_a_service_that_was_killed_in_an_end(here: InMemory, double: InterviewDouble) -> None:
    """Its status is told, its end is not; the next call ends it."""
    with managing(None, double) as manager:
        session_id = manager.create_session(SessionConfig(MODES, "openai", "gpt-4")).id
        manager.start_session(session_id)
        sender, user_id = here.deployment.sender, here.deployment.view.memory.user_of(session_id)
        assert user_id is not None
        sender.send(sender.command(user_id, "status", session_id=session_id, status="completed"), lambda _: None)
        assert manager.get_session(session_id).ended_at is None
        manager.end_session(session_id)
        assert manager.get_session(session_id).ended_at is not None


def test_a_store_of_ones_own_is_told_too(here: InMemory, double: InterviewDouble) -> None:
    """Each change of the status, the score and the opening question."""
    store = Store()
    with managing(store, double) as manager:
        session_id = manager.create_session(SessionConfig(MODES, "openai", "gpt-4")).id
        manager.start_session(session_id)
        manager.pause_session(session_id)
        manager.resume_session(session_id)
        manager.end_session(session_id)
    words = ["created", "active", "paused", "active", "completed", "completed"]
    assert store.saved == [(SessionStatus(word), None) for word in words[:-1]] + [(SessionStatus.COMPLETED, 80)]
    assert [(message["role"], message["content"]) for message in store.said] == [("assistant", double.question)]


def test_a_store_of_ones_own_that_fails(here: InMemory, double: InterviewDouble) -> None:
    """That undoes a start, as a component's error does."""
    store = Store()
    with managing(store, double) as manager:
        session_id = manager.create_session(SessionConfig(MODES, "openai", "gpt-4")).id
        store.save_conversation = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
        with pytest.raises(DataStoreError) as caught:
            manager.start_session(session_id)
        assert isinstance(caught.value.cause, ZeroDivisionError)
        assert store.saved[-1] == (SessionStatus.ERROR, None)


def test_without_a_profile_store(here: InMemory, double: InterviewDouble) -> None:
    """A resume is refused, and the remedy says what to set."""
    with managing(None, double) as manager, pytest.raises(ConfigurationError, match="A3CP_PROFILE_STORE_URL"):
        manager.create_session(CONFIG)
    assert b"Ann" not in here.log()


@pytest.mark.parametrize(
    "config",
    [
        SessionConfig(["fax"], "openai", "gpt-4"),  # type: ignore[list-item]
        SessionConfig([*MODES, *MODES], "openai", "gpt-4"),
        SessionConfig(MODES, 7, "gpt-4"),  # type: ignore[arg-type]
        SessionConfig(MODES, "openai", "gpt-4", duration_minutes=0),
        SessionConfig(MODES, "openai", "gpt-4", {"born": object()}),
        SessionConfig(MODES, "openai", "gpt-4", "a text"),
        SessionConfig(MODES, "openai", "gpt-4", {"user_id": 7}),
    ],
)
def test_a_wrong_configuration(config: SessionConfig, manager: SessionManager) -> None:
    """It is refused, and says which code."""
    with pytest.raises(ConfigurationError) as caught:
        manager.create_session(config)
    assert caught.value.code == "invalid_configuration"


def test_a_service_that_does_not_answer(double: InterviewDouble) -> None:
    """That is an error of the data store, with its cause."""
    with Sessions("http://127.0.0.1:9", timeout_s=0.1) as away, pytest.raises(InterviewPlatformError) as caught:
        managing(away, double).create_session(CONFIG)
    assert (caught.value.code, type(caught.value.cause).__name__) == ("data_store_failed", "Unreachable")


def test_after_a_day_there_is_no_evaluation(here: InMemory, double: InterviewDouble) -> None:
    """The session can take none any longer, and that is told."""
    with managing(None, double) as manager:
        session_id = manager.create_session(SessionConfig(MODES, "openai", "gpt-4")).id
        manager.start_session(session_id)
        here.deployment.export()
        here.deployment.advance(86_400_000)
        with pytest.raises(InvalidTransitionError, match="too long ago"):
            manager.end_session(session_id)


def test_collaborators_over_http(sessions: Sessions) -> None:
    """Signed requests tell another program what to do; its answers are the question and the evaluation."""
    answers = {"interview.opening_question": {"question": "Design a queue."}, "interview.evaluation": {
        "overall_score": 91, "summary": "strong"}}  # fmt: skip
    with Receiver(lambda came: json_answer(answers.get(came.payload["type"], {}))) as receiver:
        webhook = InterviewWebhook(receiver.url, SECRET)
        manager = managing(sessions, webhook)
        session_id = manager.create_session(CONFIG).id
        manager.start_session(session_id)
        report = manager.end_session(session_id)
    assert (report.overall_score, report.details["summary"]) == (91, "strong")
    assert sessions.get_history(session_id)[0]["content"] == "Design a queue."
    assert all(came.is_signed_with(SECRET) for came in receiver.came)
    told = [(came.payload["type"].removeprefix("interview."), came.payload["data"]) for came in receiver.came]
    assert [what for what, _ in told] == [*STARTED, *ENDED[:-1], "evaluation"]
    assert told[0][1] == {"session_id": session_id, "resume_data": RESUME}
    assert told[1][1] == {"mode": "text"}


@pytest.mark.parametrize("answer", [Answers(), json_answer([]), json_answer({"overall": 3}), Answers(400)])
def test_an_answer_that_is_none(answer: Answers, sessions: Sessions) -> None:
    """The component failed, then, whether it refuses or says nothing."""

    def answers(came: Came) -> Answers:
        return answer if came.payload["type"] == "interview.opening_question" else Answers()

    with Receiver(answers) as receiver:
        manager = managing(sessions, InterviewWebhook(receiver.url, SECRET))
        session_id = manager.create_session(CONFIG).id
        with pytest.raises(ComponentError):
            manager.start_session(session_id)
    assert receiver.came[-1].payload["type"] == "interview.disable_mode"
