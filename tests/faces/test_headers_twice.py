"""Headers that come twice: where one value counts they are refused, and lists count together (RFC 9110, 5.3)."""

import pytest
from starlette.testclient import TestClient

from processor.in_memory import MemoryDeployment
from tests.faces.stage import created, kinds, problem


@pytest.mark.parametrize("name", ["Idempotency-Key", "Authorization", "Content-Type", "Last-Event-ID"])
def test_a_header_of_one_value_is_refused_twice(deployment: MemoryDeployment, http: TestClient, name: str) -> None:
    """Nothing is carried out, wherever it is sent, and though both say the same."""
    session_id = created(http)
    before = kinds(deployment)
    for path in (f"/v1/sessions/{session_id}/pause", "/v1/sessions", "/session_manager/sessions.start"):
        for second in ("application/json", "another"):
            answer = http.post(path, headers=[(name, "application/json"), (name, second)])
            assert answer.status_code == 422
            assert answer.json()["detail"] == f"header.{name.lower()}: it is given twice"
    assert problem(http.get("/v1/live", headers=[(name, "a"), (name, "b")])) == (422, "invalid_request")
    assert kinds(deployment) == before


def test_lists_count_together(http: TestClient) -> None:
    """As if they stood in one line: If-Match, If-None-Match, A3CP-After."""
    path = f"/v1/sessions/{created(http)}"
    shown = http.get(path)
    etag, position = shown.headers["ETag"], shown.headers["A3CP-Position"]
    for asked in (path, f"{path}/explain"):
        foreign = http.get(asked, headers=[("A3CP-After", position), ("A3CP-After", "ffffff:p0:s1.t1")])
        assert "A3CP-After-Ignored" in foreign.headers
    assert http.get(path, headers=[("If-None-Match", '"x"'), ("If-None-Match", etag)]).status_code == 304
    assert http.post(f"{path}/pause", headers=[("If-Match", '"x"'), ("If-Match", etag)]).status_code == 200


def test_a_trace_that_is_named_twice_is_none(http: TestClient) -> None:
    """As W3C's Trace Context has it: the request is taken, in a trace of its own."""
    path = f"/v1/sessions/{created(http)}/messages"
    names = [("traceparent", f"00-{digit * 32}-b7ad6b7169203331-01") for digit in "12"]
    assert http.post(path, json={"text": "milk"}, headers=names).status_code == 202
    (message,) = http.get(path).json()["messages"]
    assert "trace_id" not in message
