"""What `a3cp serve` promises of commands, on a real Kafka: with two replicas, restarts and kills."""

import threading
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from processor.codec.events import from_json
from processor.codec.isotime import format_time
from processor.wiring import SystemClock
from tests.broker.audit import read_topic
from tests.broker.fleet import Fleet, await_true
from tests.broker.services import service_of, services

pytestmark = pytest.mark.broker

ROUNDS = 12


def started(http: httpx.Client, user_id: str) -> str:
    body = {
        "schema_version": "1.0.1",
        "record_id": str(uuid.uuid4()),
        "user_id": user_id,
        "timestamp": format_time(SystemClock().now_ms()),  # The session of an old one would be ended as idle.
        "performer_id": "carer01",
        "session_notes": f"of {user_id}",
    }
    answer = http.post("/session_manager/sessions.start", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["session_id"])


def validated(http: httpx.Client, user_id: str, session_id: str) -> Any:
    answer = http.post("/api/session_manager/sessions.validate", json={"user_id": user_id, "session_id": session_id})
    assert answer.status_code in (200, 503), answer.text
    return answer.json().get("status", 503)


def test_a_session_is_valid_everywhere_at_once_and_stays_so(kafka: str, topics: str, tmp_path: Path) -> None:
    """Started on one replica, validated on the other; the processor is killed, and the service starts again."""
    with Fleet(kafka, topics, tmp_path) as fleet, services(fleet, 2) as running:
        worker = fleet.start()
        first, second = (service.ready() for service in running)
        ids = {}
        for number in range(ROUNDS):
            user_id = f"user-{number}"
            here, there = (first, second) if number % 2 else (second, first)
            ids[user_id] = started(here, user_id)
            assert validated(there, user_id, ids[user_id]) == "active"
            assert validated(there, "another", ids[user_id]) == "invalid"
        worker.kill()
        running[1].kill()
        running.append(service_of(fleet, 2))
        restarted = running[2].http
        seen = set()
        while "active" not in seen:  # It may say that it cannot know yet, and nothing else.
            seen.add(validated(restarted, "user-0", ids["user-0"]))
        assert seen <= {503, "active"}
        for user_id, session_id in ids.items():
            assert validated(first, user_id, session_id) == validated(restarted, user_id, session_id) == "active"
        assert validated(restarted, "user-0", "sess_0123456789abcdef") == "invalid"
        fleet.start()
        again = {user_id: started(restarted, user_id) for user_id in ids}
        assert again == ids
        ended = first.post(f"/v1/sessions/{ids['user-0']}/end")
        assert ended.status_code == 200, ended.text
        await_true(
            "the other replica has heard of it", lambda: validated(restarted, "user-0", ids["user-0"]) == "closed"
        )


@pytest.mark.long
def test_killed_between_command_and_answer_the_repeat_finds_the_outcome(
    kafka: str, topics: str, tmp_path: Path
) -> None:
    """No processor runs, and the service is killed while it waits; the note is written once."""
    with Fleet(kafka, topics, tmp_path) as fleet, services(fleet, 1) as running:
        worker = fleet.start()
        http = running[0].ready()
        session = http.post("/v1/sessions", json={"user_id": "ann"}, headers={"Idempotency-Key": "s1"})
        assert session.status_code == 201, session.text
        path = f"/v1/sessions/{session.json()['session_id']}/notes"
        key, note = {"Idempotency-Key": "n1"}, {"text": "calm today"}
        worker.kill()
        answer = http.post(path, json=note, headers={**key, "Prefer": "wait=1"})
        assert (answer.status_code, answer.json()["code"]) == (504, "no_outcome")

        def ask_in_vain() -> None:
            with pytest.raises(httpx.HTTPError):
                http.post(path, json=note, headers=key)

        asking = threading.Thread(target=ask_in_vain)
        asking.start()
        await_true("the command is in the log again", lambda: _commands(fleet) == 3)
        running[0].kill()
        asking.join()
        fleet.start()
        fleet.await_processed()
        running.append(service_of(fleet, 1))
        again = running[1].ready().post(path, json=note, headers=key)
        assert (again.status_code, again.json()["kind"]) == (201, "note")
        assert again.headers.get("Idempotent-Replayed") == "true"
        repeated = running[1].http.post("/v1/sessions", json={"user_id": "ann"}, headers={"Idempotency-Key": "s1"})
        assert repeated.json()["session_id"] == session.json()["session_id"]
        kinds = [from_json(row.value or b"").kind for rows in read_topic(kafka, fleet.names.sessions) for row in rows]
        assert kinds.count("note") == kinds.count("started") == 1


def _commands(fleet: Fleet) -> int:
    return sum(len(rows) for rows in read_topic(fleet.bootstrap, fleet.names.raw))
