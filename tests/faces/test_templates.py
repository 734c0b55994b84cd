"""Templates over HTTP: which there are, and what a session may be told when it begins."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from processor.core.model import HOUR_MS
from processor.in_memory import MemoryDeployment
from processor.settings.model import Settings
from processor.settings.templates import Template
from tests.faces.stage import http_of

THERAPY = {
    "title": "Therapy",
    "gap_ms": 900_000,
    "config_schema": {
        "type": "object",
        "required": ["room"],
        "properties": {"room": {"type": "string"}, "aids": {"type": "array", "items": {"type": "string"}}},
    },
    "phases": {"arrived": ["left"], "left": []},
    "hooks": {"summary": {"url": "https://host/token", "secret": "NAME_OF_IT", "at": ["end"]}},
}


@pytest.fixture
def http(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(
        store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", templates={"therapy": Template.model_validate(THERAPY)}
    )
    with MemoryDeployment(tmp_path, settings=settings) as deployment, http_of(deployment) as client:
        yield client


def test_the_templates_are_listed(http: TestClient) -> None:
    """Built-in ones and one's own, with the limits that hold; where hooks go is not told."""
    listed = http.get("/v1/templates")
    told = {each["name"]: each for each in listed.json()["templates"]}
    assert list(told) == ["assessment", "conversation", "gateway", "interview", "therapy"]
    assert told["conversation"]["gap_ms"] == 2 * HOUR_MS
    assert told["assessment"]["phases"]["completed"] == []
    assert told["therapy"] == http.get("/v1/templates/therapy").json() == {
        "name": "therapy", "title": "Therapy", "gap_ms": 900_000, "max_session_ms": 24 * HOUR_MS,
        "pause_ms": 24 * HOUR_MS, "config_schema": THERAPY["config_schema"], "phases": THERAPY["phases"],
        "hooks": [{"name": "summary", "at": ["end"], "every_messages": None}],
    }  # fmt: skip
    assert "host" not in listed.text
    assert "NAME_OF_IT" not in listed.text
    missing = http.get("/v1/templates/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_a_context_is_checked(http: TestClient) -> None:
    """A session begins only with a context that its template takes; what is wrong is told with its place."""
    begin = {"user_id": "ann", "template": "therapy"}
    contexts: list[dict[str, object] | None] = [None, {}]
    for context in contexts:
        refused = http.post("/v1/sessions", json={**begin, "context": context})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert refused.json()["errors"] == [
            {"type": "config", "loc": ["body", "context"], "msg": "'room' is a required property"}
        ]
    refused = http.post("/v1/sessions", json={**begin, "context": {"room": "2", "aids": ["board", 5]}})
    assert refused.json()["detail"] == "context.aids.1 is not as the template therapy wants it"
    assert refused.json()["errors"][0]["loc"] == ["body", "context", "aids", 1]
    assert http.get("/v1/sessions/count").json() == {"count": 0}
    session = http.post("/v1/sessions", json={**begin, "context": {"room": "2"}})
    assert (session.status_code, session.json()["context"]) == (201, {"room": "2"})


def test_phases_of_ones_own(http: TestClient) -> None:
    """They are kept to as those of the built-in templates are."""
    begin = {"user_id": "ann", "template": "therapy", "context": {"room": "2"}}
    path = f"/v1/sessions/{http.post('/v1/sessions', json=begin).json()['session_id']}"
    assert http.post(f"{path}/status", json={"status": "playing"}).status_code == 422
    assert http.post(f"{path}/status", json={"status": "left"}).status_code == 201
    assert http.get(path).json()["status"] == "closed"
