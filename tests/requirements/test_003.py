"""Document 003, the session component: its code and its commands run as they stand there.

Only addresses are replaced, and the one id that no session can have: ids are the log's.
"""

import ast
import asyncio
import inspect
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from a3cp_sessions import AsyncSessions, assessment
from a3cp_sessions.assessment import SessionService
from processor.settings.model import Settings
from tests.requirements.stage import ROOT, Document
from tests.served import Served, served, served_on_kafka

block = Document("003_session_component.md").block
ITS_ID = "sess_20240115_103045_a1b2c3"
ID = re.compile(r"sess_\d{8}_\d{6}_[0-9a-f]{32}")
ANYWHERE = pytest.mark.parametrize(
    "service", ["memory", pytest.param("kafka", marks=pytest.mark.broker)], indirect=True
)
WALK = ["requirement_submitted", "matches_found", "matches_selected", "generating_impact", "completed"]


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A live service; programs of the document find it, and the module that they import."""
    profiles = f"sqlite:///{tmp_path / 'profiles.db'}"
    if getattr(request, "param", None) == "kafka":
        kafka, topics = request.getfixturevalue("kafka"), request.getfixturevalue("topics")
        running: AbstractContextManager[Served] = served_on_kafka(
            kafka, topics, tmp_path, profile_store_url=profiles, site_key="the key of this site"
        )
    else:
        running = served(tmp_path, Settings(profile_store_url=profiles))
    with running as service:
        monkeypatch.setenv("A3CP_URL", service.url)
        monkeypatch.syspath_prepend(str(ROOT / "examples" / "requirements" / "003"))
        assessment.get_service.cache_clear()
        yield service


def run_program(code: str, names: dict[str, Any]) -> None:
    """Run a program that awaits at its top."""

    async def main() -> None:
        result = eval(compile(code, "003", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(result):
            await result

    asyncio.run(main())


def shell(command: str, service: Served) -> Any:
    """Run a command of the document against `service`, and return what it answers as JSON."""
    command = command.replace("http://localhost:8000", service.url).replace("curl ", "curl -s ", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


async def _walked(sessions_path: str = "data/sessions") -> str:
    """Return the id of a session that went through all that the document's audit trail shows."""
    async with AsyncSessions() as sessions:
        component = SessionService(sessions, sessions_path=sessions_path)
        created = await component.process(assessment.SessionCreateRequest(user_id="developer@example.com"))
        told = json.loads(block("**Get Audit Trail:**", "json").replace("{ ... }", "{}"))
        timings = dict(zip(told["steps_completed"][:3], told["timing"].items(), strict=True))
        for step in told["steps_completed"]:
            key, length_ms = timings.get(step, (None, None))
            await component.complete_step(
                created.session_id, step, timing_key=key, duration_ms=length_ms, data={"of": step}
            )
        for status in WALK:
            assert (await component.update_status(created.session_id, status)).status == status
        return created.session_id


def test_the_models_are_the_documents() -> None:
    """Names, types and what is required: as the document's own classes have them."""
    names: dict[str, Any] = {}
    exec(block("### 1. Models (`models.py`)", "python"), names)
    models = [name for name, value in names.items() if inspect.isclass(value) and issubclass(value, BaseModel)]
    assert len(models[1:]) == 3
    for name in models[1:]:
        theirs, ours = names[name].model_json_schema(), getattr(assessment, name).model_json_schema()
        assert ours["required"] == theirs["required"] if "required" in theirs else "required" not in ours
        assert {key: _kind(value) for key, value in ours["properties"].items()} == {
            key: _kind(value) for key, value in theirs["properties"].items()
        }


def _kind(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("title", "description", "additionalProperties")}


@ANYWHERE
def test_its_programs(service: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Create, update and audit, each program after the one before; they print what the document says."""
    walk(service, capsys)


@pytest.mark.broker
@pytest.mark.long
@pytest.mark.parametrize("service", ["kafka"], indirect=True)
def test_its_programs_while_all_is_killed(service: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Processor and service are killed between any two of them, and nobody notices."""
    walk(service, capsys, between=service.restart)


def walk(service: Served, capsys: pytest.CaptureFixture[str], between: Callable[[], object] = lambda: None) -> None:
    """Run the programs, and `between` after each."""

    def run(code: str, names: dict[str, Any]) -> None:
        run_program(code, names)
        between()

    names: dict[str, Any] = {}
    run(block("### Creating a Session Programmatically", "python"), names)
    created, path = capsys.readouterr().out.splitlines()
    session_id = created.removeprefix("Created session: ")
    assert ID.fullmatch(session_id)
    day = f"{session_id[5:9]}-{session_id[9:11]}-{session_id[11:13]}"
    assert path == f"Audit path: data/sessions/{day}/{session_id}"

    names["session_service"] = names["service"]
    update, audit = block("### Updating Session Status", "python"), block("### Checking Session Audit", "python")
    for program in (update, audit):
        with pytest.raises(assessment.SessionNotFoundError, match=f"Session {ITS_ID} not found"):
            run(program, names)
    for status in WALK[:3]:
        run(
            update.replace(ITS_ID, session_id).replace("generating_impact", status),
            {"session_service": SessionService()},
        )
    run(update.replace(ITS_ID, session_id), {"session_service": SessionService()})
    run(audit.replace(ITS_ID, session_id), {"service": SessionService()})
    assert capsys.readouterr().out.splitlines() == ["Steps completed: []", "Timing breakdown: {}"]
    assert b"analyst@company.com" not in service.log()


@ANYWHERE
def test_its_commands(service: Served) -> None:
    """The curl commands of the document are answered as it shows."""
    created = shell(block("**Create Session:**", "bash"), service)
    shown = json.loads(block("**Create Session:**", "json"))
    assert created.keys() == shown.keys()
    assert (created["status"], created["user_id"]) == (shown["status"], shown["user_id"])
    get, audit = block("**Get Session:**", "bash"), block("**Get Audit Trail:**", "bash")
    assert shell(get.replace(ITS_ID, created["session_id"]), service) == created
    missing = {"error": "SessionNotFoundError", "message": f"Session {ITS_ID} not found", "component": "session"}
    assert shell(get, service) == shell(audit, service) == {"detail": missing}
    assert b"developer@example.com" not in service.log()


def test_its_audit_trail(service: Served) -> None:
    """Steps in order, the free names of their timing, and the last status: as in the document's example."""
    session_id = asyncio.run(_walked())
    shown = json.loads(block("**Get Audit Trail:**", "json").replace("{ ... }", "{}"))
    audit = shell(block("**Get Audit Trail:**", "bash").replace(ITS_ID, session_id), service)
    data = audit.pop("data")
    assert {**audit, "session_id": ITS_ID, "created_at": shown["created_at"], "data": {}} == shown
    assert data == {step: {"of": step} for step in shown["steps_completed"]}


def test_mounted_in_another_application(service: Served) -> None:
    """The router is part of whichever application includes it."""
    app = FastAPI()
    app.include_router(assessment.router)
    with TestClient(app) as client:
        created = client.post("/session/create", json={}).json()
        assert created["user_id"] is None
        assert client.get(f"/session/{created['session_id']}").json() == created
        assert client.get(f"/session/{created['session_id']}/audit").json()["status"] == "created"
        missing = client.get("/session/sess_x")
        assert (missing.status_code, missing.json()["detail"]["error"]) == (404, "SessionNotFoundError")
        for wrong in (7, "", "an\u200bn"):
            refused = client.post("/session/create", json={"user_id": wrong})
            assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "user_id"])
        key = {"Idempotency-Key": "one"}
        assert client.post("/session/create", json={"user_id": "ann"}, headers=key).status_code == 200
        reused = client.post("/session/create", json={"user_id": "ben"}, headers=key)
        assert (reused.status_code, reused.json()["detail"][0]["loc"]) == (422, ["body"])
        half = client.post("/session/create", content=b'{"user_id": "\\ud800"}')
        assert (half.status_code, half.json()["detail"][0]["loc"]) == (422, ["body"])


@pytest.mark.parametrize("status", ["completed", "error"])
def test_what_ends_a_session(service: Served, status: str) -> None:
    """After the last status the session is over, and takes nothing more."""

    async def main() -> None:
        async with AsyncSessions() as sessions:
            component = SessionService(sessions)
            session = await component.process(assessment.SessionCreateRequest())
            for word in WALK if status == "completed" else ["error"]:
                await component.update_status(session.session_id, word)
            assert (await sessions.get(session.session_id)).status == "closed"
            assert (await component.get_session(session.session_id)).status == status
            with pytest.raises(assessment.ComponentError):
                await component.update_status(session.session_id, "error")
            with pytest.raises(assessment.ComponentError):
                await component.complete_step(session.session_id, "risks_identified")

    asyncio.run(main())


@pytest.mark.parametrize(("status", "words"), [("matches_found", "cannot go"), ("finished", "no such status")])
def test_a_status_that_cannot_come(service: Served, status: str, words: str) -> None:
    """A status out of turn, or unknown, changes nothing and says which it was."""

    async def main() -> None:
        async with AsyncSessions() as sessions:
            component = SessionService(sessions)
            session = await component.process(assessment.SessionCreateRequest())
            with pytest.raises(assessment.ComponentError, match=words):
                await component.update_status(session.session_id, status)
            assert (await component.get_session(session.session_id)).status == "created"

    asyncio.run(main())
