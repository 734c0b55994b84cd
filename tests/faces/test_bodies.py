"""The content type of a body: JSON where a route takes JSON; all others are 415, with the remedy."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.app import make_app
from tests.faces.stage import created, problem

PATHS = make_app(None).openapi()["paths"]
ROUTES = sorted(
    (path, method)
    for path, methods in PATHS.items()
    for method, operation in methods.items()
    if path.startswith("/v1/") and set(operation.get("requestBody", {}).get("content", ())) == {"application/json"}
)


def sent(http: TestClient, path: str, method: str, kind: str | None, body: str = "{}") -> Any:
    for name in ("session_id", "user_id"):
        path = path.replace(f"{{{name}}}", created(http) if name == "session_id" else "ann")
    return http.request(method, path, content=body, headers={} if kind is None else {"Content-Type": kind})


@pytest.mark.parametrize(("path", "method"), ROUTES)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "x", None])
def test_a_body_that_is_not_called_json_is_415(http: TestClient, path: str, method: str, kind: str | None) -> None:
    """On each route that takes JSON, with what to say; curl sends a form unless it is told otherwise."""
    answer = sent(http, path, method, kind)
    assert problem(answer) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in answer.json()["remedy"]


@pytest.mark.parametrize(("path", "method"), ROUTES)
@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
)
def test_json_is_taken_by_whatever_name(http: TestClient, path: str, method: str, kind: str) -> None:
    """Whether the body is right is another question."""
    assert sent(http, path, method, kind).status_code != 415


@pytest.mark.parametrize("kind", ["text/plain", None])
def test_no_body_has_no_type(http: TestClient, kind: str | None) -> None:
    """Where none is needed, none is asked for its type."""
    assert sent(http, "/v1/sessions/{session_id}/touch", "post", kind, "").status_code == 200


@pytest.mark.parametrize("path", ["/v1/sessions/{session_id}/messages", "/v1/messages"])
@pytest.mark.parametrize("body", ["{}\n{}", '{"text":"a"}\n{"text":"b"}\n', '{"text": "a"}\r\n\r\n{"text": "b"}'])
def test_lines_of_json_that_are_called_json_are_told_their_name(http: TestClient, path: str, body: str) -> None:
    """The remedy names the type to send them as."""
    answer = sent(http, path, "post", "application/json", body)
    assert problem(answer) == (422, "invalid_request")
    assert "application/x-ndjson" in answer.json()["remedy"]


def test_one_object_may_have_several_lines(http: TestClient) -> None:
    """As programs print JSON for people."""
    body = '{\n "text": "a",\n "more": {}\n}\n'
    assert sent(http, "/v1/sessions/{session_id}/messages", "post", "application/json", body).status_code == 202
