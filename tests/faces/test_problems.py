"""Problems are told in the form of the route, and say nothing of what was sent."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

import pytest
from fastapi import Body
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict, Field

from processor.errors import A3CPError, BrokerUnavailable, Fatal, StoreUnavailable, UsageError
from processor.faces.app import make_app
from processor.faces.problems import KINDS, Problem


def client_of(path: str, route: Callable[..., None]) -> TestClient:
    app = make_app(None)
    app.post(path)(route)
    return TestClient(app, base_url="http://localhost")


def raising(error: Exception) -> Callable[[], None]:
    def route() -> None:
        raise error

    return route


@pytest.mark.parametrize("code", KINDS)
def test_each_problem_has_status_title_and_remedy(code: str) -> None:
    """A program reads the code, a person the rest."""
    answer = client_of("/v1/x", raising(Problem(code, "it happened", session_id="sess_1"))).post("/v1/x")
    assert answer.status_code == KINDS[code].status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["type"], told["code"], told["detail"]) == (f"/problems/{code}", code, "it happened")
    assert (told["title"], told["session_id"]) == (KINDS[code].title, "sess_1")
    assert told["remedy"]
    assert (answer.headers.get("retry-after") == "1") is (KINDS[code].status in {429, 503})


def test_a_document_s_own_routes_tell_the_detail_only() -> None:
    """A3CP's modules compare `detail`."""
    for path in ("/session_manager/x", "/api/session_manager/x", "/session/x"):
        answer = client_of(path, raising(Problem("session_closed", "Session already closed"))).post(path)
        assert (answer.status_code, answer.json()) == (409, {"detail": "Session already closed"})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokerUnavailable("no broker answers"), "broker_unavailable"),
        (StoreUnavailable("the store does not answer"), "store_unavailable"),
        (UsageError("no such word", remedy="take another"), "invalid_request"),
        (Fatal("all is lost"), "internal_error"),
    ],
)
def test_our_errors_are_problems(error: A3CPError, code: str) -> None:
    """What the parts below raise needs no translation in each route."""
    assert client_of("/v1/x", raising(error)).post("/v1/x").json()["code"] == code


def test_an_invalid_request_says_where_and_not_what() -> None:
    """The answer, which may be logged by others, does not repeat what was sent; A3CP's routes keep FastAPI's form."""

    def route(count: Annotated[int, Body(embed=True)]) -> None: ...

    told = client_of("/v1/x", route).post("/v1/x", json={"count": "secret"})
    assert told.status_code == 422
    assert told.json()["errors"][0]["loc"] == ["body", "count"]
    assert "secret" not in told.text
    theirs = client_of("/session_manager/x", route).post("/session_manager/x", json={})
    assert [(one["loc"], one["type"]) for one in theirs.json()["detail"]] == [(["body", "count"], "missing")]


class Wanted(BaseModel):
    """A body as those of the routes."""

    model_config = ConfigDict(extra="forbid")

    name: str
    limit: Annotated[int, Field(le=5)] = 1
    at: datetime | None = None
    kind: Literal["zip", "csv"] = "zip"
    more: dict[str, int] | None = None


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"nam": "a"}', "body.name: it is missing; body.nam: there is no such field"),
        ('{"name": 7}', "body.name: text is wanted"),
        ('{"name": "a", "limit": 6}', "body.limit: at most 5 is wanted"),
        ('{"name": "a", "at": "yesterday"}', "body.at: a time as ISO 8601 text is wanted"),
        ('{"name": "a", "kind": "pdf"}', "body.kind: 'zip' or 'csv' is wanted"),
        ('{"name": "a", "more": []}', "body.more: an object is wanted"),
        ("[]", "body: an object is wanted"),
        ('{"name": "a", ', "body.14: JSON is wanted, and here it breaks off or is malformed"),
        (
            '{"a": 1, "b": 1, "c": 1, "d": 1, "name": 7}',
            "body.name: text is wanted; body.a: there is no such field; body.b: there is no such field; and 2 more",
        ),
    ],
)
def test_the_detail_says_what_is_wrong(body: str, detail: str) -> None:
    """In plain words and without the value, so that who reads the detail alone can mend the request."""

    def route(body: Wanted) -> None: ...

    headers = {"Content-Type": "application/json"}
    assert client_of("/v1/x", route).post("/v1/x", content=body, headers=headers).json()["detail"] == detail


@pytest.mark.parametrize("body", ['{"count": "\\ud800"}', '{"count": NaN}', "{", '{"\\ud800": 1}'])
def test_odd_json_is_no_fault_of_ours(body: str) -> None:
    """What JSON can hold and UTF-8 cannot is a 422 like any other, in both forms."""

    def route(count: Annotated[int, Body(embed=True)]) -> None: ...

    for path in ("/v1/x", "/session_manager/x"):
        answer = client_of(path, route).post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()


def test_unknown_paths_and_methods_are_problems() -> None:
    """Whoever mistypes a path reads where the paths are."""
    client = client_of("/v1/x", raising(Problem("starting", "")))
    assert client.get("/v1/y").json()["code"] == "not_found"
    answer = client.get("/v1/x")
    assert (answer.json()["code"], answer.headers["allow"]) == ("method_not_allowed", "POST")
