"""Sessions over HTTP while Kafka is away: kept, foreseen, and in the log once it is back."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.app import make_app
from processor.in_memory import MemoryDeployment
from processor.runtime.ports import TopicRecord
from processor.sessions.ports import SESSIONS
from processor.settings.model import Settings
from tests.patience import until

HOST = {"Host": "localhost"}
USER = "elias01"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[MemoryDeployment]:
    settings = Settings(
        store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", outbox=str(tmp_path / "outbox.db"), outbox_bytes_max=1 << 16
    )
    with MemoryDeployment(tmp_path, settings=settings) as deployment:
        yield deployment


@pytest.fixture
def http(deployment: MemoryDeployment) -> Iterator[TestClient]:
    with TestClient(make_app(deployment.context()), base_url="http://localhost") as client:
        yield client


def post(
    http: TestClient, path: str, body: dict[str, Any] | None = None, status: int = 201, key: str | None = None
) -> Any:
    headers = HOST if key is None else {**HOST, "Idempotency-Key": key}
    answer = http.post(path, json=body or {}, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def get(http: TestClient, path: str) -> Any:
    answer = http.get(path, headers=HOST)
    assert answer.status_code == 200, answer.text
    return answer.json()


def back(deployment: MemoryDeployment) -> None:
    """Kafka is back, and the outbox is empty."""
    deployment.broker_is_away = False
    outbox = deployment.sender.outbox
    assert outbox is not None
    until(lambda: outbox.stock.records == 0)
    deployment.run()


def test_a_session_of_an_outage(deployment: MemoryDeployment, http: TestClient) -> None:
    """It begins, takes messages and a note, is read, and ends; the log makes the very same of it."""
    deployment.broker_is_away = True
    begun = post(http, "/v1/sessions", {"user_id": USER, "template": "conversation", "context": {"room": "3"}})
    path = f"/v1/sessions/{begun['session_id']}"
    assert (begun["backend"], begun["status"], begun["template"]) == ("fallback", "active", "conversation")
    said = post(http, f"{path}/messages", {"source": "ui", "content": "water"}, 202)
    noted = post(http, f"{path}/notes", {"text": "thirsty"})
    assert (said["backend"], noted["backend"], noted["kind"]) == ("fallback", "fallback", "note")
    read = get(http, path)
    assert (read["backend"], read["message_count"], read["context"]) == ("fallback", 1, {"room": "3"})
    assert [each["content"] for each in get(http, f"{path}/messages")["messages"]] == ["water"]
    active = get(http, "/v1/active")
    assert (active["kafka"], active["fallback"], active["total"]) == (0, 1, 1)
    ended = post(http, f"{path}/end", status=200)
    assert (ended["backend"], ended["reason"]) == ("fallback", "command")
    foreseen = get(http, path)

    back(deployment)
    logged = get(http, path)
    assert logged["backend"] == "kafka"
    differ = {"backend", "position"}
    assert {key: value for key, value in logged.items() if key not in differ} == {
        key: value for key, value in foreseen.items() if key not in differ
    }
    events = get(http, f"{path}/events")["events"]
    assert [event["kind"] for event in events] == ["started", "context", "note", "ended"]
    assert noted["record_id"] == events[2]["record_id"], "foreseen by the processor's own code"


def test_a_session_of_before_goes_on(deployment: MemoryDeployment, http: TestClient) -> None:
    """What is sent to a session that the log has is kept; an illegal command is an error, not kept."""
    session_id = post(http, "/v1/sessions", {"user_id": USER})["session_id"]
    deployment.broker_is_away = True
    paused = post(http, f"/v1/sessions/{session_id}/pause", status=200)
    assert (paused["kind"], paused["backend"]) == ("paused", "fallback")
    back(deployment)
    assert get(http, f"/v1/sessions/{session_id}")["status"] == "paused"
    post(http, f"/v1/sessions/{session_id}/end", status=200)
    deployment.broker_is_away = True
    outbox = deployment.sender.outbox
    assert outbox is not None
    assert post(http, f"/v1/sessions/{session_id}/pause", status=409)["code"] == "session_closed"
    assert outbox.stock.records == 0


def test_a_session_of_before_is_read_with_what_waits(deployment: MemoryDeployment, http: TestClient) -> None:
    """Messages, notes and its end, in each outage anew; the log makes the same of it."""
    path = f"/v1/sessions/{post(http, '/v1/sessions', {'user_id': USER, 'template': 'conversation'})['session_id']}"
    words = []
    for outage in range(3):
        for is_away in (False, True):
            deployment.broker_is_away = is_away
            for number in range(2):
                words.append(f"{outage} {is_away} {number}")
                post(http, f"{path}/messages", {"source": "ui", "role": "user", "content": words[-1]}, 202)
                told = get(http, f"{path}/messages?limit=50")["messages"]
                assert [(each["session_seq"], each["content"]) for each in told] == list(enumerate(words, 1))
                assert [each["content"] for each in get(http, f"{path}/messages?limit=2")["messages"]] == words[-2:]
                assert get(http, path)["message_count"] == len(words)
        post(http, f"{path}/notes", {"text": "calm", "kind": "summary"})
        if outage == 2:
            post(http, f"{path}/end", status=200)
            assert post(http, f"{path}/messages", {"source": "ui", "content": "more"}, 409)["code"] == "session_closed"
        foreseen = get(http, path), get(http, f"{path}/messages"), get(http, f"{path}/events")
        assert (foreseen[0]["notes"], foreseen[0]["note_count"]) == ({"summary": "calm"}, outage + 1)
        back(deployment)
        logged = get(http, path), get(http, f"{path}/messages"), get(http, f"{path}/events")
        assert logged[1:] == foreseen[1:]
        assert {**logged[0], "position": ""} == {**foreseen[0], "position": ""}
    assert logged[0]["status"] == "closed"
    assert logged[0]["completeness"] == "complete"


def test_a_repeat_during_an_outage(deployment: MemoryDeployment, http: TestClient) -> None:
    """The same request with the same key begins one session, whenever it is repeated."""
    deployment.broker_is_away = True
    first = post(http, "/v1/sessions", {"user_id": USER}, key="one")
    assert post(http, "/v1/sessions", {"user_id": USER}, key="one")["session_id"] == first["session_id"]
    back(deployment)
    assert post(http, "/v1/sessions", {"user_id": USER}, key="one")["session_id"] == first["session_id"]
    assert get(http, "/v1/sessions/count")["count"] == 1


def test_a_persons_one_session_needs_the_log(deployment: MemoryDeployment, http: TestClient) -> None:
    """Somebody else may have started it: 503, and nothing is kept."""
    deployment.broker_is_away = True
    answer = post(http, "/v1/sessions", {"user_id": USER, "parallel": False}, 503)
    assert answer["code"] == "broker_unavailable"
    body = {
        "schema_version": "1.0.1", "record_id": "0d4f5a0e-1111-4222-8333-444455556666", "user_id": USER,
        "timestamp": "2026-01-01T00:00:00.000Z", "performer_id": "carer01",
    }  # fmt: skip
    post(http, "/session_manager/sessions.start", body, 503)
    outbox = deployment.sender.outbox
    assert outbox is not None
    assert outbox.stock.records == 0


def test_full(deployment: MemoryDeployment, http: TestClient) -> None:
    """A full outbox is 507; the problem says what to do."""
    session_id = post(http, "/v1/sessions", {"user_id": USER})["session_id"]
    deployment.broker_is_away = True
    message = {"source": "ui", "content": "x" * 40_000}
    post(http, f"/v1/sessions/{session_id}/messages", message, 202)
    answer = post(http, f"/v1/sessions/{session_id}/messages", message, 507)
    assert answer["code"] == "outbox_full"


def test_an_unknown_session_while_something_waits(deployment: MemoryDeployment, http: TestClient) -> None:
    """It may be one that began before this process did: 503 until the outbox is empty, then 404."""
    path = "/v1/sessions/sess_0123456789abcdef"
    deployment.broker_is_away = True
    post(http, "/v1/sessions", {"user_id": USER})
    assert http.get(path, headers=HOST).status_code == 503
    back(deployment)
    assert http.get(path, headers=HOST).status_code == 404


def test_a_session_whose_state_has_not_come(deployment: MemoryDeployment) -> None:
    """The replica has read the event of a new session, not the state, when Kafka falls silent: it is not unknown."""
    replica = deployment.restarted()
    replica.is_behind = True
    replica.sender.send(replica.sender.command(USER, "start"), lambda error: None)
    until(lambda: len(deployment.broker.values(SESSIONS)) == 1)
    number, offset, key, value, append_ms, _ = next(chain.from_iterable(deployment.broker.topics[SESSIONS]))
    replica.view.take(SESSIONS, [TopicRecord(SESSIONS, number, offset, append_ms, key, value, ())])
    session_id = replica.view.memory.open_session(USER)
    with TestClient(make_app(replica.context()), base_url="http://localhost") as http:
        deployment.broker_is_away = True
        path, note = f"/v1/sessions/{session_id}/notes", {"text": "calm"}
        assert post(http, path, note, 504, key="a note")["code"] == "no_outcome"
        replica.is_behind = False
        back(deployment)
        assert post(http, path, note, key="a note")["kind"] == "note"
