"""What is asked of a session over `/v1`: each command, its answer, its refusals, and its repeats."""

import json
import threading
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.errors import A3CPError, BrokerUnavailable
from processor.faces.auth.doors import Caller
from processor.in_memory import MemoryDeployment
from processor.sessions.ports import Gone
from tests.faces.stage import COMMANDS, as_caller, created, http_of, kinds, problem

MINUTE_MS = 60_000
UNKNOWN = "sess_0123456789abcdef"


@pytest.mark.parametrize(("route", "body", "status_code", "kind"), COMMANDS)
def test_the_answer_is_the_session_event(
    http: TestClient, route: str, body: dict[str, Any] | None, status_code: int, kind: str
) -> None:
    """Of the person, never of the lane; with position and how long it took."""
    session_id = created(http)
    answer = http.post(f"/v1/sessions/{session_id}/{route}", json=body)
    assert answer.status_code == status_code, answer.text
    event = answer.json()
    assert (event["kind"], event["session_id"], event["user_id"]) == (kind, session_id, "ann")
    assert "~" not in answer.text
    assert answer.headers["A3CP-Position"].count(":") == 2
    assert answer.headers["Server-Timing"].startswith("log;dur=")


def test_what_is_told_is_in_the_event(http: TestClient) -> None:
    """Texts, objects and numbers come back as they were sent."""
    session_id = created(http)
    path = f"/v1/sessions/{session_id}"
    note = http.post(f"{path}/notes", json={"text": "calm ☺", "kind": "observation", "performer_id": "carer01"}).json()
    assert (note["session_notes"], note["details"], note["performer_id"]) == (
        "calm ☺",
        {"kind": "observation"},
        "carer01",
    )
    step = {"name": "search", "duration_ms": 1250.0, "timing_key": "search_ms", "data": {"found": 3}}
    assert http.post(f"{path}/steps", json=step).json()["details"] == {"step": step}
    told = {"location": "kitchen", "flags": {"noisy": True}}
    assert http.post(f"{path}/context", json=told).json()["details"] == {"context": told}
    assert http.post(f"{path}/status", json={"status": "waiting"}).json()["details"] == {"status": "waiting"}


@pytest.mark.parametrize(("route", "body", "status_code", "kind"), COMMANDS)
def test_a_closed_session_takes_no_command(
    deployment: MemoryDeployment,
    http: TestClient,
    route: str,
    body: dict[str, Any] | None,
    status_code: int,
    kind: str,
) -> None:
    """409, and the log does not hear of it."""
    session_id = created(http)
    http.post(f"/v1/sessions/{session_id}/end")
    before = len(deployment.broker.values("raw"))
    answer = http.post(f"/v1/sessions/{session_id}/{route}", json=body)
    assert problem(answer) == (409, "session_closed")
    assert answer.json()["session_id"] == session_id
    assert len(deployment.broker.values("raw")) == before


@pytest.mark.parametrize(("route", "body", "status_code", "kind"), COMMANDS)
def test_an_unknown_session_is_404(
    http: TestClient, route: str, body: dict[str, Any] | None, status_code: int, kind: str
) -> None:
    """Once the view has read what the log holds."""
    assert problem(http.post(f"/v1/sessions/{UNKNOWN}/{route}", json=body)) == (404, "session_not_found")


def test_a_removed_session_is_410(deployment: MemoryDeployment, http: TestClient) -> None:
    """Retention has taken it away, and its id is remembered; an id that no database takes is 404."""
    session_id = created(http)
    http.post(f"/v1/sessions/{session_id}/end")
    deployment.export()
    deployment.advance(3 * 24 * 60 * MINUTE_MS)
    deployment.store.removal.remove(Gone(ended_before_ms=deployment.clock.now_ms()))
    deployment.broker.topics["state"] = [[] for _ in range(deployment.broker.partitions)]
    deployment.restarted()
    with http_of(deployment) as restarted:
        assert problem(restarted.post(f"/v1/sessions/{session_id}/pause")) == (410, "session_removed")
        assert problem(restarted.post("/v1/sessions/%00/pause")) == (404, "session_not_found")


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("notes", {}),
        ("notes", {"text": ""}),
        ("notes", {"text": "  "}),
        ("notes", {"text": 5}),
        ("notes", {"text": "x", "more": 1}),
        ("notes", {"text": "x", "performer_id": "a\u200bb"}),
        ("context", []),
        ("context", "text"),
        ("steps", {"name": ""}),
        ("steps", {"name": "x", "duration_ms": -1}),
        ("steps", {"name": "x", "duration_ms": "soon"}),
        ("status", {"status": ""}),
        ("tags", {}),
        ("tags", {"add": []}),
        ("tags", {"add": ["x" * 65]}),
        ("tags", {"add": "x"}),
        ("end", {"reason": "x"}),
    ],
)
def test_a_wrong_body_is_422(deployment: MemoryDeployment, http: TestClient, route: str, body: Any) -> None:
    """And nothing is sent."""
    session_id = created(http)
    before = len(deployment.broker.values("raw"))
    assert problem(http.post(f"/v1/sessions/{session_id}/{route}", json=body)) == (422, "invalid_request")
    assert len(deployment.broker.values("raw")) == before


def test_pausing_twice_changes_nothing(http: TestClient) -> None:
    """200 both times; the second event says so."""
    path = f"/v1/sessions/{created(http)}"
    assert http.post(f"{path}/pause").json()["kind"] == "paused"
    again = http.post(f"{path}/pause")
    assert (again.status_code, again.json()["kind"], again.json()["reason"]) == (200, "unchanged", "already_paused")
    assert http.post(f"{path}/resume").json()["kind"] == "resumed"


def test_touches_reach_the_log_once_a_minute(deployment: MemoryDeployment, http: TestClient) -> None:
    """However often they come, and they keep the session open."""
    session_id = created(http)
    for _ in range(3):
        assert http.post(f"/v1/sessions/{session_id}/touch").json()["reason"] == "touched"
    assert kinds(deployment).count("unchanged") == 1
    for _ in range(130):
        deployment.advance(MINUTE_MS)
        assert http.post(f"/v1/sessions/{session_id}/touch").status_code == 200
    assert kinds(deployment).count("unchanged") == 131
    assert "ended" not in kinds(deployment)


def test_a_session_of_another_replica_is_commanded_at_once(deployment: MemoryDeployment, http: TestClient) -> None:
    """As validate does, a command waits until the view has seen what the log holds."""
    session_id = created(http)
    other = deployment.replica()
    with http_of(other) as second:
        assert second.post(f"/v1/sessions/{session_id}/pause").status_code == 200
        other.is_behind = True
        assert problem(second.post(f"/v1/sessions/{created(http)}/pause")) == (503, "not_caught_up")


# If-Match


def test_if_match_refuses_what_has_changed(http: TestClient) -> None:
    """412 when another was first; else the answer has the new ETag."""
    path = f"/v1/sessions/{created(http)}"
    seen = http.get(path).headers["ETag"]
    first = http.post(f"{path}/notes", json={"text": "one"}, headers={"If-Match": seen})
    assert first.status_code == 201
    assert first.headers["ETag"] == http.get(path).headers["ETag"] != seen
    second = http.post(f"{path}/notes", json={"text": "two"}, headers={"If-Match": seen})
    assert problem(second) == (412, "precondition_failed")
    again = http.post(f"{path}/notes", json={"text": "two"}, headers={"If-Match": f'"x", {first.headers["ETag"]}'})
    assert again.status_code == 201
    assert http.post(f"{path}/pause", headers={"If-Match": "*"}).status_code == 200
    for _ in range(2):  # The second touch would be answered from the first one.
        assert http.post(f"{path}/touch").status_code == 200
        assert problem(http.post(f"{path}/touch", headers={"If-Match": seen})) == (412, "precondition_failed")


@pytest.mark.parametrize(
    ("route", "body"), [("notes", {"text": "{}"}), ("context", {"x": "{}"}), ("steps", {"name": "x", "data": ["{}"]})]
)
def test_raw_media_stay_out_of_the_log(http: TestClient, route: str, body: dict[str, Any]) -> None:
    """As they do in messages."""
    path = f"/v1/sessions/{created(http)}"
    image = json.dumps(body).replace("{}", "data:image/png;base64," + "A" * 400)
    headers = {"Content-Type": "application/json"}
    assert problem(http.post(f"{path}/{route}", content=image, headers=headers)) == (422, "media_not_allowed")


# Idempotency-Key


@pytest.mark.parametrize(("route", "body", "status_code", "kind"), COMMANDS)
def test_a_repeat_with_the_key_is_answered_alike(
    deployment: MemoryDeployment,
    http: TestClient,
    route: str,
    body: dict[str, Any] | None,
    status_code: int,
    kind: str,
) -> None:
    """Carried out once; so it is on another replica and after a restart."""
    path = f"/v1/sessions/{created(http)}/{route}"
    key = {"Idempotency-Key": "k1"}
    first = http.post(path, json=body, headers=key)
    assert first.status_code == status_code
    assert "Idempotent-Replayed" not in first.headers
    events = kinds(deployment)
    with http_of(deployment.replica()) as other:
        answers = [http.post(path, json=body, headers=key), other.post(path, json=body, headers=key)]
    deployment.restarted()
    with http_of(deployment) as restarted:
        answers.append(restarted.post(path, json=body, headers=key))
    for answer in answers:
        assert (answer.status_code, answer.json()) == (status_code, first.json())
        if route != "touch":  # It is answered from the touch of the minute.
            assert answer.headers["Idempotent-Replayed"] == "true"
    assert kinds(deployment) == events


def test_a_key_of_another_request_is_refused(deployment: MemoryDeployment, http: TestClient) -> None:
    """Another body with the same key is 422, also after a restart; another route or key is another request."""
    path, key = f"/v1/sessions/{created(http)}", {"Idempotency-Key": "k1"}
    assert http.post(f"{path}/notes", json={"text": "one"}, headers=key).status_code == 201
    deployment.restarted()
    with http_of(deployment) as restarted:
        other = restarted.post(f"{path}/notes", json={"text": "two"}, headers=key)
        assert problem(other) == (422, "idempotency_key_reused")
        assert restarted.post(f"{path}/pause", headers=key).status_code == 200
        assert (
            restarted.post(f"{path}/notes", json={"text": "two"}, headers={"Idempotency-Key": "k2"}).status_code == 201
        )


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_length(http: TestClient, key: str) -> None:
    """1 to 255 characters."""
    answer = http.post(f"/v1/sessions/{created(http)}/pause", headers={"Idempotency-Key": key})
    assert problem(answer) == (422, "invalid_request")


def test_without_a_processor_a_repeat_is_safe(deployment: MemoryDeployment, http: TestClient) -> None:
    """504 at first; one note is written however often and on however many replicas it is tried."""
    path, headers = f"/v1/sessions/{created(http)}/notes", {"Idempotency-Key": "k1", "Prefer": "wait=0"}
    deployment.processor_is_away = True
    for _ in range(3):
        answer = http.post(path, json={"text": "one"}, headers=headers)
        assert problem(answer) == (504, "no_outcome")
        deployment.clock.time_ms += 1000
    other = http.post(path, json={"text": "two"}, headers=headers)
    assert problem(other) == (422, "idempotency_key_reused")
    with http_of(deployment.replica()) as second:
        assert problem(second.post(path, json={"text": "one"}, headers=headers)) == (504, "no_outcome")
    deployment.restarted()
    with http_of(deployment) as restarted:
        assert problem(restarted.post(path, json={"text": "one"}, headers=headers)) == (504, "no_outcome")
    deployment.processor_is_away = False
    with http_of(deployment) as restarted:
        answer = restarted.post(path, json={"text": "one"}, headers=headers)
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
    assert kinds(deployment).count("note") == 1
    assert kinds(deployment).count("unchanged") == 4


def test_killed_between_command_and_answer_the_repeat_finds_the_outcome(
    deployment: MemoryDeployment, http: TestClient
) -> None:
    """The service dies when the command is sent, and its successor knows what came of it."""
    path, key = f"/v1/sessions/{created(http)}/notes", {"Idempotency-Key": "k1"}

    class Dies:
        command = staticmethod(deployment.sender.command)

        def send(self, command: Any, on_done: Any, on_kept: Any) -> None:
            deployment.sender.send(command, on_done)
            raise RuntimeError("killed")

    with http_of(deployment, sender=Dies()) as dying:
        assert dying.post(path, json={"text": "one"}, headers=key).status_code == 500
    deployment.restarted()
    with http_of(deployment) as restarted:
        answer = restarted.post(path, json={"text": "one"}, headers=key)
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
    assert kinds(deployment).count("note") == 1


def test_a_request_that_is_under_way_is_in_flight(deployment: MemoryDeployment, http: TestClient) -> None:
    """The second one with the key is 409 at once."""
    from concurrent.futures import ThreadPoolExecutor

    path = f"/v1/sessions/{created(http)}/notes"
    deployment.processor_is_away = True
    with ThreadPoolExecutor() as pool:
        first = pool.submit(
            http.post, path, json={"text": "one"}, headers={"Idempotency-Key": "k1", "Prefer": "wait=20"}
        )
        while len(deployment.broker.values("raw")) < 2 and not first.done():
            pass
        second = http.post(path, json={"text": "one"}, headers={"Idempotency-Key": "k1"})
        deployment.processor_is_away = False
        assert first.result().status_code == 201
    assert problem(second) == (409, "in_flight")


def test_without_kafka_commands_are_503(deployment: MemoryDeployment, http: TestClient) -> None:
    """With Retry-After, and as soon as it is back they are carried out."""
    path = f"/v1/sessions/{created(http)}/pause"
    deployment.broker_is_away = True
    answer = http.post(path)
    assert problem(answer) == (503, "broker_unavailable")
    assert answer.headers["Retry-After"] == "1"
    deployment.broker_is_away = False
    assert http.post(path).status_code == 200


@pytest.mark.parametrize(
    ("error", "told"), [(BrokerUnavailable("away"), (503, "broker_unavailable")), (None, (504, "no_outcome"))]
)
def test_whether_the_log_has_it_is_waited_for(
    deployment: MemoryDeployment, http: TestClient, error: A3CPError | None, told: tuple[int, str]
) -> None:
    """However short the wait: 503 says that it was given up, 504 that the log has it."""
    path = f"/v1/sessions/{created(http)}/pause"

    class Slow:
        command = staticmethod(deployment.sender.command)

        def send(self, command: Any, on_done: Any, on_kept: Any) -> None:
            threading.Timer(1.2, on_done, [error]).start()

    with http_of(deployment, sender=Slow()) as waiting:
        assert problem(waiting.post(path, headers={"Prefer": "wait=1"})) == told


# templates


def test_an_assessment_goes_through_its_phases(deployment: MemoryDeployment, http: TestClient) -> None:
    """Only the next word or `error` may follow, and the last one ends the session."""
    session_id = created(http, template="assessment")
    path = f"/v1/sessions/{session_id}/status"
    assert problem(http.post(path, json={"status": "matches_found"})) == (409, "illegal_transition")
    assert problem(http.post(path, json={"status": "finished"})) == (422, "invalid_request")
    for word in ("requirement_submitted", "matches_found", "matches_selected", "generating_impact", "completed"):
        assert http.post(path, json={"status": word}).json()["details"] == {"status": word}
    assert http.get(f"/v1/sessions/{session_id}").json()["status"] == "closed"
    assert kinds(deployment)[-2:] == ["status", "ended"]
    assert problem(http.post(path, json={"status": "error"})) == (409, "session_closed")


def test_an_error_ends_an_assessment_from_anywhere(http: TestClient) -> None:
    """A repeat with the key is answered alike."""
    session_id = created(http, template="assessment")
    path, key = f"/v1/sessions/{session_id}/status", {"Idempotency-Key": "k1"}
    first = http.post(path, json={"status": "error"}, headers=key)
    again = http.post(path, json={"status": "error"}, headers=key)
    assert first.json() == again.json()
    assert http.get(f"/v1/sessions/{session_id}").json()["status"] == "closed"


def test_without_a_template_any_word_is_a_status(http: TestClient) -> None:
    """The log takes every status."""
    session_id = created(http)
    assert http.post(f"/v1/sessions/{session_id}/status", json={"status": "anything"}).status_code == 201
    assert http.get(f"/v1/sessions/{session_id}").json()["phase"] == "anything"


# doors


@pytest.mark.parametrize(("route", "body", "status_code", "kind"), COMMANDS)
def test_each_command_needs_its_role(
    deployment: MemoryDeployment,
    http: TestClient,
    route: str,
    body: dict[str, Any] | None,
    status_code: int,
    kind: str,
) -> None:
    """Notes and tags are a reviewer's, the others a producer's, and all an operator's."""
    path = f"/v1/sessions/{created(http)}/{route}"
    reviews = route in ("notes", "tags")
    for role, expected in [("reviewer", reviews), ("producer", not reviews)]:
        answer = as_caller(http, Caller("x", role, ("ann",))).post(path, json=body)  # type: ignore[arg-type]
        assert answer.status_code == (status_code if expected else 403), role
