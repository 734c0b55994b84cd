"""What is answered in front of FastAPI: the same as its route answers, in log and metrics too."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from processor.faces import quick
from processor.faces.app import make_app
from processor.faces.auth.doors import LOCAL, Doors
from processor.faces.middleware.gate import BODY_BYTES_MAX
from processor.faces.middleware.shell import Shell
from processor.faces.quick import Quick
from processor.in_memory import MemoryDeployment
from processor.observe.logs import make_logger
from processor.observe.serving import ServeMetrics
from tests.faces.reading import ALL, Named, command, reading, say, sees, start
from tests.faces.stage import COMMANDS

VALIDATE = "/session_manager/sessions.validate"
SLOW_TYPE = {"Content-Type": "application/json; charset=utf-8"}


@pytest.fixture
def http(deployment: MemoryDeployment) -> Iterator[TestClient]:
    with reading(deployment) as http:
        yield http


def body(user_id: str, session_id: str) -> dict[str, str]:
    return {"user_id": user_id, "session_id": session_id}


def told(answer: Any) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.content, {**answer.headers, "x-request-id": ""}


def test_validate_answers_as_its_route_does(deployment: MemoryDeployment, http: TestClient) -> None:
    """Whatever the session is; with a further parameter of its content type it is the route that answers."""
    open_id, ended_id = start(deployment, "ann"), start(deployment, "ben")
    command(deployment, "ben", "end", session_id=ended_id)
    for user_id, session_id, status in [
        ("ann", open_id, "active"), ("ben", ended_id, "closed"), ("ben", open_id, "invalid"), (" ", open_id, "invalid"),
        ("ann", "sess_1", "invalid"), ("ann", "", "invalid"),
    ]:  # fmt: skip
        for prefix in ("", "/api"):
            quick = http.post(prefix + VALIDATE, json=body(user_id, session_id))
            slow = http.post(prefix + VALIDATE, content=json.dumps(body(user_id, session_id)), headers=SLOW_TYPE)
            assert told(quick) == told(slow)
            assert quick.json() == {"status": status}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'{"user_id": "ann"}', b'{"user_id": "ann", "session_id": 1}', b"[" * 100_000,
        b'{"user_id": "\\ud800", "session_id": "x"}', b'{"user_id": "\xff", "session_id": "x"}',
    ],
)  # fmt: skip
def test_a_body_that_is_not_valid_is_told_by_the_route(content: bytes, http: TestClient) -> None:
    """In FastAPI's own words, as upstream compares them."""
    quick = http.post(VALIDATE, content=content, headers={"Content-Type": "application/json"})
    assert told(quick) == told(http.post(VALIDATE, content=content, headers=SLOW_TYPE))
    assert quick.status_code in (400, 422)


def test_a_body_in_pieces(deployment: MemoryDeployment, http: TestClient) -> None:
    """Goes to the route whole. If it is too large, that is told."""
    whole = json.dumps(body("ann", start(deployment, "ann"))).encode()
    pieces = http.post(VALIDATE, content=iter([whole[:9], whole[9:]]), headers={"Content-Type": "application/json"})
    assert pieces.json() == {"status": "active"}
    for large in ([b" " * (BODY_BYTES_MAX + 1)], [b" ", b" " * BODY_BYTES_MAX]):
        answer = http.post(VALIDATE, content=iter(large), headers={"Content-Type": "application/json"})
        assert (answer.status_code, list(answer.json())) == (413, ["detail"])


def test_a_session_is_shown_as_its_route_shows_it(deployment: MemoryDeployment, http: TestClient) -> None:
    """The first time it is the route that answers; the id may be encoded."""
    session_id = start(deployment, "ann")
    path = f"/v1/sessions/{session_id}"
    slow, quick, encoded = (http.get(each) for each in (path, path, path.replace("_", "%5F")))
    assert told(slow) == told(quick) == told(encoded)
    assert http.get(path, headers={"If-None-Match": quick.headers["ETag"]}).status_code == 304
    assert http.get(path, headers={"A3CP-After": quick.headers["A3CP-Position"]}).content == quick.content
    assert http.get(path, params={"as_of": quick.headers["A3CP-Position"]}).status_code == 200
    assert http.get(path, params={"as_of": "never"}).status_code == 422


@pytest.mark.parametrize("what", ["", "/messages", "/messages?limit=1", "/messages?limit=99"])
def test_what_is_read_is_told_as_its_route_tells_it(
    deployment: MemoryDeployment, http: TestClient, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Also to who has read as far, or farther, or sends what is no position."""
    session_id = start(deployment, "ann")
    for words in ("hello", "there"):
        say(deployment, "ann", content=words)
    path = f"/v1/sessions/{session_id}{what}"
    position = http.get(path).headers["A3CP-Position"]  # By the route.
    afters = [None, position, position.replace(":s", ":s9"), position.replace(position[:6], "000000"), "x"]
    told_of = {}
    for mode in ("quick", "route"):
        if mode == "route":
            monkeypatch.setattr(quick, "_shown", lambda *_: None)
        told_of[mode] = [told(http.get(path, headers={"A3CP-After": after} if after else {})) for after in afters]
        assert [status for status, *_ in told_of[mode]] == [200, 200, 503, 200, 422]
    assert [each[::2] for each in told_of["quick"]] == [each[::2] for each in told_of["route"]]
    assert told_of["quick"][0][1] == told_of["route"][0][1]


def test_foreign_sessions_stay_unknown(deployment: MemoryDeployment) -> None:
    """On `/v1` they are 404, on A3CP's routes 403, also if they are known here."""
    session_id, ben = start(deployment, "ann"), sees("ben")
    path, tokens = f"/v1/sessions/{session_id}", {"Authorization": f"Bearer {ben.name}"}
    with TestClient(make_app(deployment.context(), Shell(doors=Doors(Named(ALL, ben))))) as http:
        assert [http.get(path, headers={"Authorization": "Bearer all"}).status_code for _ in range(2)] == [200, 200]
        assert http.get(path, headers=tokens).status_code == 404
        assert http.post(VALIDATE, json=body("ann", session_id), headers=tokens).status_code == 403
        assert http.post(VALIDATE, json=body("ben", session_id), headers=tokens).json() == {"status": "invalid"}


def test_log_and_metrics_tell_the_same(deployment: MemoryDeployment) -> None:
    """The template of the path and the name of the route's function."""
    lines = StringIO()
    shell = Shell(
        doors=Doors(Named(LOCAL)),
        log=make_logger("serve", stream=lines),
        metrics=ServeMetrics(CollectorRegistry()),
    )
    session_id = start(deployment, "ann")
    asked = body("ann", session_id)
    with TestClient(make_app(deployment.context(), shell), headers={"Authorization": "Bearer local"}) as http:
        for headers in ({}, SLOW_TYPE):
            http.post(VALIDATE, content=json.dumps(asked), headers={"Content-Type": "application/json", **headers})
            http.get(f"/v1/sessions/{session_id}")
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    for line in told:
        del line["timestamp"], line["metadata"]["request_id"], line["metadata"]["duration_ms"]
    assert told[:2] == told[2:]
    assert [line["operation"] for line in told[:2]] == ["validate", "show_session"]
    for method, route in [("POST", VALIDATE), ("GET", "/v1/sessions/{session_id}")]:
        labels = {"method": method, "route": route, "status": "200"}
        assert shell.metrics.registry.get_sample_value("a3cp_http_requests_total", labels) == 2


def commanded(http: TestClient, user_id: str, session_id: str, kind: str) -> list[Any]:
    """Return what commands, boundaries and wrong ones are answered; `kind` is the type of their bodies."""

    def post(path: str, body: Any) -> Any:
        headers = {"Idempotency-Key": path, "Content-Type": kind}
        if body is None:
            del headers["Content-Type"]
        return http.post(path, content=b"" if body is None else json.dumps(body), headers=headers)

    wrong = [("notes", {"text": ""}, 0, ""), ("steps", None, 0, "")]
    told = [
        post(f"/v1/sessions/{session_id.replace('_', code)}/{route}", body)
        for route, body, _, _ in [*COMMANDS[1:], COMMANDS[0], *wrong]
        for code in ("_", "%5F")
    ]
    spine = {"schema_version": "1.0.1", "record_id": "00000000-0000-4000-8000-000000000001", "user_id": user_id}
    boundary = {**spine, "timestamp": "2025-06-15T12:34:56.789Z", "performer_id": "system"}
    starts = [{**boundary, **more} for more in ({"performer_id": None}, {"user_id": " "}, {})]
    told += [post("/session_manager/sessions.start", each) for each in starts]
    ending = {**boundary, "session_id": told[-1].json()["session_id"], "end_time": boundary["timestamp"]}
    return [*told, *(post("/api/session_manager/sessions.end", ending) for _ in range(2))]


def test_commands_are_answered_as_their_routes_answer(deployment: MemoryDeployment, http: TestClient) -> None:
    """Each command and boundary, and what is wrong with one; an id may be encoded."""
    quick, slow = (
        [(each.status_code, sorted(each.json()), sorted(each.headers)) for each in told]
        for told in (
            commanded(http, "ann", start(deployment, "ann"), "application/json"),
            commanded(http, "ben", start(deployment, "ben"), SLOW_TYPE["Content-Type"]),
        )
    )
    assert quick == slow
    assert {status for status, _, _ in quick} == {200, 201, 400, 409, 422}


def test_what_is_not_answered_here_is_told_as_its_own_route(deployment: MemoryDeployment) -> None:
    """`count` is no session's id, and a path that ends with a slash is no session's."""
    lines = StringIO()
    session_id = start(deployment, "ann")
    app = make_app(deployment.context(), Shell(log=make_logger("serve", stream=lines)))
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as http:
        assert http.get("/v1/sessions/count").json() == {"count": 1}
        assert [http.get(f"/v1/sessions/{session_id}{end}").status_code for end in ("", "/", "/nothing")] == [
            200,
            307,
            404,
        ]
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["message"] for line in told] == [
        "GET /v1/sessions/count", "GET /v1/sessions/{session_id}", "GET none", "GET none"
    ]  # fmt: skip
    assert ["session_id" in line for line in told] == [False, True, False, False]


async def _nowhere(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("FastAPI was asked")


def test_plain_requests_do_not_come_to_fastapi(deployment: MemoryDeployment) -> None:
    """That is what all this is for."""
    session_id = start(deployment, "ann")
    context = deployment.context()
    app = make_app(context)
    with TestClient(app, base_url="http://127.0.0.1") as http:
        http.get(f"/v1/sessions/{session_id}")

    async def only(scope: Scope, receive: Receive, send: Send) -> None:
        await Quick(_nowhere)({**scope, "app": app, "state": {"caller": LOCAL}}, receive, send)

    http = TestClient(only)
    assert http.post(VALIDATE, json=body("ann", session_id)).json() == {"status": "active"}
    assert http.get(f"/v1/sessions/{session_id}").json()["session_id"] == session_id
    assert http.post(f"/v1/sessions/{session_id}/notes", json={"text": "calm"}).json()["kind"] == "note"
    assert http.post(f"/v1/sessions/{session_id}/end").json()["kind"] == "ended"
