"""What `a3cp serve` promises of reads, on a real Kafka: with two replicas, an exporter, and kills."""

import io
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from processor.bundles.verify import verify
from processor.client.service.serversentevents import Events, ServerSentEvent
from tests.broker.exporters import Exporter
from tests.broker.fleet import TIMEOUT_S, Fleet, await_true
from tests.broker.services import services

pytestmark = pytest.mark.broker

ROUNDS = 20


def created(http: httpx.Client, user_id: str, **body: Any) -> httpx.Response:
    answer = http.post("/v1/sessions", json={"user_id": user_id, **body})
    assert answer.status_code == 201, answer.text
    return answer


def say(http: httpx.Client, session_id: str, text: str) -> None:
    answer = http.post(f"/v1/sessions/{session_id}/messages", json={"transcript": text}, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text


def read(http: httpx.Client, session_id: str, **asked: str) -> httpx.Response:
    """Read a session, again while the replica says that it has not read so far yet."""
    answers: list[httpx.Response] = []

    def has_read() -> bool:
        answers.append(http.get(f"/v1/sessions/{session_id}", headers=asked))
        return answers[-1].status_code != 503

    await_true("it is read", has_read)
    return answers[-1]


def events_of(http: httpx.Client, path: str, after: str | None = None) -> Generator[ServerSentEvent]:
    """Yield what a stream sends, until it ends or its replica is killed."""
    events = Events()
    headers = {} if after is None else {"Last-Event-ID": after}
    with http.stream("GET", path, headers=headers, timeout=TIMEOUT_S) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            yield from events.take(line)


def test_a_read_sees_what_was_written_at_another_replica(kafka: str, topics: str, tmp_path: Path) -> None:
    """With the position of the write; an id that is a millisecond old is found without one. Without a processor too."""
    with Fleet(kafka, topics, tmp_path) as fleet, services(fleet, 2) as running:
        worker = fleet.start()
        here, there = (service.ready() for service in running)
        ids = []
        for number in range(ROUNDS):
            session_id = created(here, f"user-{number}").json()["session_id"]
            assert read(there, session_id).json()["status"] == "active"
            ended = here.post(f"/v1/sessions/{session_id}/end")
            told = read(there, session_id, **{"A3CP-After": ended.headers["a3cp-position"], "Prefer": "wait=10"})
            assert (told.status_code, told.json()["status"]) == (200, "closed"), told.text
            ids.append(session_id)
            here, there = there, here
        worker.kill()
        listed = [session["session_id"] for session in here.get("/v1/sessions").json()["sessions"]]
        assert sorted(listed) == sorted(ids)
        assert there.get("/v1/sessions/count").json() == {"count": ROUNDS}


def test_a_live_stream_goes_on_at_another_replica(kafka: str, topics: str, tmp_path: Path) -> None:
    """The first is killed in between; nothing is missed, nothing comes twice."""
    with Fleet(kafka, topics, tmp_path) as fleet, services(fleet, 2) as running:
        fleet.start()
        first, second = (service.ready() for service in running)
        answer = created(first, "ann")
        path = f"/v1/sessions/{answer.json()['session_id']}/live"
        seen: list[ServerSentEvent] = []
        stream = events_of(first, path, answer.headers["a3cp-position"])
        for number in range(3):
            say(second, answer.json()["session_id"], f"words {number}")
            seen.append(next(stream))
        running[0].kill()
        for number in range(3, 6):
            say(second, answer.json()["session_id"], f"words {number}")
        resumed = events_of(second, path, seen[-1].id)
        seen += [next(resumed) for _ in range(3)]
        resumed.close()
        texts = [event.data.split('"transcript":"')[1].split('"')[0] for event in seen]
        assert texts == [f"words {number}" for number in range(6)]
        assert {event.kind for event in seen} == {"message"}


def test_an_export_over_http_verifies(kafka: str, topics: str, tmp_path: Path) -> None:
    """Before an exporter has stored anything, and after; the list is the same both times."""
    with Fleet(kafka, topics, tmp_path) as fleet, services(fleet, 1) as running:
        fleet.start()
        http = running[0].ready()
        session_id = created(http, "ann", session_notes="well").json()["session_id"]
        for number in range(5):
            say(http, session_id, f"words {number}")
        http.post(f"/v1/sessions/{session_id}/end")
        before = http.get("/v1/sessions").json()["sessions"]
        for turn in ("tail", "store"):
            answer = http.get(f"/v1/sessions/{session_id}/export")
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                archive.extractall(tmp_path / turn)
            (report,) = verify(str(tmp_path / turn))
            assert (report.problems, report.messages, report.status) == ([], 5, "complete")
            exporter = Exporter(fleet.environ, f"sqlite:///{fleet.folder / 'service-0.db'}", tmp_path / "exporter")
            assert exporter.run().returncode == 0
        http = running[0].ready()  # It follows the topics anew, once there is a store.
        assert http.get("/v1/sessions").json()["sessions"] == before
