"""Bodies that no schema allows: each writing route refuses them in its own form, and nothing of them is in the log."""

import json

import pytest
from starlette.testclient import TestClient

from processor.in_memory import MemoryDeployment

DEEP = b'{"a":' * 3_000 + b"1" + b"}" * 3_000
BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "text": b'"text"',
    "a number": b"1e999",
    "NaN": b'{"user_id":NaN,"session_id":NaN,"performer_id":NaN,"text":NaN,"name":NaN,"status":NaN,"add":NaN,"x":NaN}',
    "a huge number": b'{"user_id":' + b"9" * 5_000 + b',"text":1e400,"context":{"x":1e400}}',
    "half a character in a key": b'{"\\ud800":1,"text":"x","name":"x","status":"x","add":["x"]}',
    "half a character": b'{"user_id":"\\ud800","session_id":"\\ud800","text":"\\ud800","x":"\\ud800"}',
    "a NUL": b'{"user_id":"a\\u0000","session_id":"a\\u0000","performer_id":"a\\u0000","x\\u0000":1}',
    "no UTF-8": b'{"user_id":"\xff\xfe"}',
    "half a UTF-16": json.dumps({"user_id": "ann"}).encode("utf-16")[:-1],
    "too deep": DEEP,
    "a key twice": b'{"user_id":"ann","user_id":"ben","command":"end"}',
    "a command": b'{"command":"end","user_id":"ann","timestamp":"2025-06-15T12:00:00Z"}',
}
ROUTES = [
    "/session_manager/sessions.start",
    "/session_manager/sessions.end",
    "/session_manager/sessions.validate",
    "/v1/sessions",
    "/v1/messages",
    *(
        f"/v1/sessions/{{}}/{word}"
        for word in ("end", "pause", "resume", "touch", "notes", "steps", "status", "tags", "messages")
    ),
]


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/plain", None])
@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_every_route_refuses_it(deployment: MemoryDeployment, http: TestClient, body: bytes, kind: str | None) -> None:
    """With a 4xx; only a body that need not be there may be empty."""
    session_id = http.post("/v1/sessions", json={"user_id": "ann"}).json()["session_id"]
    before = len(deployment.broker.values("raw"))
    for route in ROUTES:
        needs_none = route.endswith(("/end", "/pause", "/resume", "/touch"))
        if needs_none and not body:
            continue
        answer = http.post(
            route.format(session_id), content=body, headers={} if kind is None else {"Content-Type": kind}
        )
        is_told = route.endswith("validate") and answer.json() == {"status": "invalid"}
        assert is_told or 400 <= answer.status_code < 500, (route, answer.status_code, answer.text[:300])
        assert answer.json()
    assert len(deployment.broker.values("raw")) == before


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_a_context_is_any_object_that_json_can_hold(http: TestClient, body: bytes) -> None:
    """And nothing else."""
    session_id = http.post("/v1/sessions", json={"user_id": "ann"}).json()["session_id"]
    path = f"/v1/sessions/{session_id}/context"
    answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201 or 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    assert answer.json()
