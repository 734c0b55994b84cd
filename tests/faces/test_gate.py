"""Who comes in, from where, and how fast: over an application with one route that says who asks."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fastapi import Body, FastAPI, Request
from fastapi.testclient import TestClient

from processor.faces.app import make_app
from processor.faces.auth.doors import Asking, Doors, Role, require
from processor.faces.auth.tokens import TokenFile, add_token
from processor.faces.middleware import gate
from processor.faces.middleware.ratelimits import RateLimits
from processor.faces.middleware.shell import Shell
from processor.observe.logs import make_logger


def app_of(shell: Shell | None = None) -> FastAPI:
    app = make_app(None, shell)

    @app.get("/v1/who")
    @app.post("/v1/who")
    async def who(asks: Asking) -> dict[str, Any]:
        return {"name": asks.name, "role": asks.role, "sees": [asks.sees("ann"), asks.sees("bob")]}

    @app.post("/v1/notes")
    async def notes(asks: Asking) -> None:
        require(asks, "reviewer")

    @app.post("/v1/length")
    async def length(body: bytes = Body()) -> int:
        return len(body)

    @app.post("/v1/sessions/{session_id}/fails")
    async def fails(session_id: str) -> None:
        raise ZeroDivisionError(session_id)

    return app


def client_of(shell: Shell | None = None, host: str = "http://localhost") -> TestClient:
    return TestClient(app_of(shell), base_url=host)


def doors_of(file: Path) -> Doors:
    troubles: list[Exception] = []
    return Doors(TokenFile(file, troubles.append))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_without_doors_everybody_on_this_machine_is_an_operator() -> None:
    """A newcomer needs no token."""
    assert client_of().get("/v1/who").json() == {"name": "local", "role": "operator", "sees": [True, True]}


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "a3cp.localhost", "[::1]:8080"])
def test_loopback_names_are_let_in(host: str) -> None:
    """However one calls this machine."""
    assert client_of().get("/v1/who", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "192.168.1.2"]
)
@pytest.mark.parametrize("path", ["/v1/who", "/readyz", "/nothing"])
def test_without_doors_a_foreign_name_is_not(host: str, path: str, file: Path) -> None:
    """A page elsewhere whose name leads to this machine (DNS rebinding) reads nothing; with a token it may be so."""
    answer = client_of().get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    token = add_token(file, "page", "operator", frozenset("*"))
    shell = Shell(doors=doors_of(file))
    assert client_of(shell).get("/v1/who", headers={"Host": host, **bearer(token)}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 200), ("https://localhost", 200), ("http://evil.example", 403), ("null", 403),
        ("http://localhost:1", 403),
    ],
)  # fmt: skip
def test_pages_of_others_write_nothing(origin: str, status: int) -> None:
    """A browser says whose page it is; programs say nothing, and reads are not concerned."""
    client = client_of()
    assert client.post("/v1/who", headers={"Origin": origin}).status_code == status
    assert client.post("/v1/who").status_code == 200
    assert client.get("/v1/who", headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize("odd", ["[", "http://[", "a b", "@:", "::", "\x7f"])
def test_odd_hosts_and_origins_are_no_fault_of_ours(odd: str, file: Path) -> None:
    """What is no name at all is refused or does not matter; it is never a 500."""
    token = add_token(file, "x", "operator", frozenset("*"))
    client = client_of(Shell(doors=doors_of(file)))
    for path, status in (("/v1/who", 200), ("/nothing", 404)):
        assert client.get(path, headers={"Host": odd, **bearer(token)}).status_code == status
    assert client.post("/v1/who", headers={"Origin": odd, **bearer(token)}).status_code == 403
    assert client_of().get("/v1/who", headers={"Host": odd}).status_code == 403


def test_tokens(file: Path) -> None:
    """A token says who, what role and whose sessions; the file holds only its hash, for its owner's eyes."""
    camera = add_token(file, "camera", "producer", frozenset({"ann"}))
    review = add_token(file, "review", "reviewer", frozenset("*"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert camera not in file.read_text()
    assert json.loads(file.read_text())[0] == {
        "name": "camera", "sha256": sha256(camera.encode()).hexdigest(), "role": "producer", "users": ["ann"],
    }  # fmt: skip
    client = client_of(Shell(doors=doors_of(file)))
    assert client.get("/v1/who", headers=bearer(camera)).json() == {
        "name": "camera", "role": "producer", "sees": [True, False],
    }  # fmt: skip
    assert client.get("/v1/who", headers=bearer(review)).json()["sees"] == [True, True]
    for value in ("", "Bearer wrong", "Bearer ", "Bearer ü", f"Basic {camera}"):
        answer = client.get("/v1/who", headers={b"authorization": value.encode()})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/nothing").status_code == 401, "without a token nobody learns which paths there are"
    assert client.get("/metrics").status_code == 401
    for path in ("/livez", "/openapi.json", "/problems/forbidden"):
        assert client.get(path).status_code == 200
    assert client.get("/readyz").status_code == 503
    assert client.get("/favicon.ico").status_code == 204, "browsers ask for it without a word from the page"


@pytest.mark.parametrize(("role", "status"), [("producer", 403), ("reviewer", 200), ("operator", 200)])
def test_roles_are_apart(role: Role, status: int, file: Path) -> None:
    """A reviewer's route is no producer's; an operator may do all."""
    token = add_token(file, "x", role, frozenset("*"))
    answer = client_of(Shell(doors=doors_of(file))).post("/v1/notes", headers=bearer(token))
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "forbidden"


def test_one_caller_does_not_take_all(file: Path) -> None:
    """Too many requests of one caller are 429; another caller is served, and so is who asks for the health."""
    ours, theirs = (add_token(file, name, "operator", frozenset("*")) for name in ("ours", "theirs"))
    client = client_of(Shell(doors=doors_of(file), limits=RateLimits(5)))
    answers = [client.get("/v1/who", headers=bearer(ours)) for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json()["code"] == "rate_limited"
    assert int(refused[0].headers["retry-after"]) >= 1
    assert client.get("/v1/who", headers=bearer(theirs)).status_code == 200
    assert client.get("/livez").status_code == 200
    assert 429 in {client.get("/v1/who", headers=bearer("guess")).status_code for _ in range(20)}


def test_a_large_body_is_cut_off_on_its_way() -> None:
    """Whether or not it says how long it is."""
    client = client_of()
    headers = {"Content-Type": "application/octet-stream"}
    assert client.post("/v1/length", content=b"x" * (1 << 20), headers=headers).json() == 1 << 20
    for content in (b"x" * ((1 << 20) + 1), (b"x" * (1 << 16) for _ in range(64))):
        answer = client.post("/v1/length", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def answered(receive: Callable[[], Awaitable[dict[str, Any]]], **headers: str) -> tuple[int, str]:
    """Return status and problem of a request whose body comes by `receive`."""
    sent: list[Any] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    told = [
        (b"host", b"localhost"),
        *((name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()),
    ]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/length", "headers": told, "state": {}, "query_string": b"",
    }  # fmt: skip
    asyncio.run(app_of()(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], json.loads(sent[1]["body"])["code"]


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    """It is refused at once, without waiting for what was promised."""

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    assert answered(receive, content_length="99999999999") == (413, "too_large")


def test_a_slow_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends a byte now and then holds nothing up."""
    monkeypatch.setattr(gate, "BODY_S", 0.05)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert answered(receive, transfer_encoding="chunked") == (408, "timed_out")


def test_an_encoded_body_is_refused_by_its_name() -> None:
    """Else the reader would be told of bytes that are no UTF-8, which the sender never wrote."""
    client = client_of()
    headers = {"Content-Type": "application/octet-stream"}
    answer = client.post("/v1/length", content=b"x", headers={**headers, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "Content-Encoding" in answer.json()["remedy"]
    assert client.post("/v1/length", content=b"x", headers={**headers, "Content-Encoding": "identity"}).json() == 1


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz"])
def test_those_who_watch_the_service_may_ask_for_the_head_alone(path: str) -> None:
    """As many watchers of web sites do."""
    client = client_of()
    assert client.head(path).status_code == client.get(path).status_code


def test_a_client_that_leaves_is_no_failure() -> None:
    """It left before it had sent its whole request: no error in the log, and the status 0 in the metrics."""
    out = StringIO()
    shell = Shell(log=make_logger("serve", log_format="json", stream=out))
    app = app_of(shell)

    @app.post("/v1/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    coming: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        raise AssertionError(f"somebody who has left is sent {message}")

    told = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/body", "headers": told, "state": {}, "query_string": b"",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    (line,) = (json.loads(text) for text in out.getvalue().splitlines())
    assert (line["level"], line["metadata"]["status"]) == ("info", 0)
    told_after = TestClient(app, base_url="http://localhost").get("/metrics").text
    assert 'a3cp_http_requests_total{method="POST",route="/v1/body",status="0"} 1.0' in told_after


def test_every_answer_protects_its_reader() -> None:
    """No sniffing, no frames, no caches, no scripts, and an id by which the log is found."""
    client = client_of()
    for answer in (client.get("/v1/who"), client.get("/nothing"), client.get("/v1/who", headers={"Host": "evil"})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]
    assert client.get("/v1/who", headers={"X-Request-ID": "mine-12345"}).headers["x-request-id"] == "mine-12345"
    assert client.get("/v1/who", headers={"X-Request-ID": "ann@x.org"}).headers["x-request-id"] != "ann@x.org"


def test_the_access_log_names_nobody(file: Path) -> None:
    """One line a request: what, which session as a hash, how long; no id, token, e-mail or content."""
    out = StringIO()
    token = add_token(file, "camera", "operator", frozenset("*"))
    shell = Shell(doors=doors_of(file), log=make_logger("serve", log_format="json", stream=out))
    client = client_of(shell)
    answer = client.post("/v1/sessions/sess_123/fails?q=ann@x.org", headers=bearer(token), json={"text": "secret"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    client.get("/livez")
    failed, line = (json.loads(text) for text in out.getvalue().splitlines())
    assert "ZeroDivisionError" in failed["metadata"]["traceback"]
    assert failed["metadata"]["request_id"] == answer.json()["request_id"] == line["metadata"]["request_id"]
    assert (line["operation"], line["message"]) == ("fails", "POST /v1/sessions/{session_id}/fails")
    assert line["session_id"].startswith("#")
    assert (line["metadata"]["status"], line["metadata"]["caller"]) == (500, "camera")
    told = json.dumps(line)
    assert [word for word in ("sess_123", "ann@x.org", "secret", token) if word in told] == []


def test_metrics_are_by_route() -> None:
    """Rate, errors and duration of each route by its template, under the prefix that it is mounted at."""
    client = client_of()
    client.post("/v1/who")
    client.get("/nothing/sess_123")
    text = client.get("/metrics").text
    assert 'a3cp_http_requests_total{method="POST",route="/v1/who",status="200"} 1.0' in text
    assert 'a3cp_http_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'a3cp_http_request_seconds_count{method="POST",route="/v1/who"} 1.0' in text
    assert "a3cp_http_requests_in_flight 1.0" in text, "this one"
    assert "sess_123" not in text
