"""Hooks: who is told what, in which order, and what becomes of their answers."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.hooks.due import hooked
from processor.hooks.letters import buried, letter_in
from processor.in_memory import MemoryDeployment
from processor.processes.hooks.hooks import _fault_of
from processor.processes.hooks.telling import Telling
from processor.runtime.ports import Cause
from processor.sessions.ports import Source
from processor.sessions.projection.feed import Standstill
from tests.faces.stage import http_of
from tests.hooks.receiver import SECRET, Answers, Came, Receiver, json_answer
from tests.hooks.stage import Running, deployment_with, hook_of, running
from tests.patience import PATIENCE_S, until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def begun(http: TestClient, **body: Any) -> str:
    answer = http.post("/v1/sessions", json={"user_id": "ann", "template": "play", **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["session_id"])


def say(http: TestClient, session_id: str, *texts: str) -> None:
    for text in texts:
        answer = http.post(f"/v1/sessions/{session_id}/messages", json={"source": "ui", "text": text})
        assert answer.status_code == 202, answer.text


def end(http: TestClient, session_id: str) -> None:
    assert http.post(f"/v1/sessions/{session_id}/end").status_code == 200


def told(receiver: Receiver) -> list[tuple[str, int]]:
    return [(came.payload["type"], came.payload["data"]["session"]["message_count"]) for came in receiver.came]


def test_a_session_is_told_in_order(tmp_path: Path, receiver: Receiver) -> None:
    """Start, every second message, end; signed, with the session, the event and the last messages."""
    hooks = {"all": hook_of(receiver, at=["start", "end"], every_messages=2, last_messages=3)}
    with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http, running(deployment):
        session_id = begun(http, context={"room": "2"})
        until(lambda: len(receiver.came) == 1)
        say(http, session_id, "1", "2", "3", "4", "5")
        end(http, session_id)
        until(lambda: len(receiver.came) == 4)
        session = http.get(f"/v1/sessions/{session_id}").json()
    started, two, four, ended = (came.payload for came in receiver.came)
    assert [each["type"] for each in (started, two, four, ended)] == [
        "session.start", "session.messages", "session.messages", "session.end",
    ]  # fmt: skip
    assert all(came.is_signed_with(SECRET) for came in receiver.came)
    assert len({came.id for came in receiver.came}) == 4
    assert (started["data"]["event"]["kind"], started["data"]["messages"]) == ("started", [])
    assert (two["data"]["event"], [m["text"] for m in two["data"]["messages"]]) == (None, ["1", "2"])
    assert [m["session_seq"] for m in four["data"]["messages"]] == [2, 3, 4]
    assert ended["data"]["event"]["kind"] == "ended"
    assert {**ended["data"]["session"], "position": ""} == {**session, "position": ""}
    assert ended["data"]["session"]["context"] == {"room": "2"}
    assert all("~" not in came.body.decode() for came in receiver.came), "a lane was told"


def test_order_holds_whatever_is_read_first(tmp_path: Path, receiver: Receiver) -> None:
    """Of a backlog that is read record by record, in two topics, each session is told in its order."""
    hooks = {"all": hook_of(receiver, at=["start", "end"], every_messages=1)}
    with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http:
        ids = [begun(http, user_id=user) for user in ("ann", "ben", "eva")]
        for session_id in ids:
            say(http, session_id, "1", "2", "3")
            end(http, session_id)
        with running(deployment, chunk=1):
            until(lambda: len(receiver.came) == 15)
    for session_id in ids:
        mine = [came.payload for came in receiver.came if came.payload["data"]["session"]["session_id"] == session_id]
        assert [each["type"].split(".")[1] for each in mine] == ["start", *["messages"] * 3, "end"]
        assert [len(each["data"]["messages"]) for each in mine] == [0, 1, 2, 3, 3]


def test_only_what_was_asked_for(tmp_path: Path, receiver: Receiver) -> None:
    """Sessions of other templates, and moments that a hook does not name, are not told."""
    hooks = {"end": hook_of(receiver, at=["end"])}
    with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http, running(deployment):
        for template in ("play", None, "conversation"):
            session_id = begun(http, template=template)
            say(http, session_id, "1")
            end(http, session_id)
        last = begun(http)
        end(http, last)
        until(lambda: len(receiver.came) == 2)
    assert told(receiver) == [("session.end", 1), ("session.end", 0)]


def test_an_answer_to_an_open_session(tmp_path: Path, receiver: Receiver) -> None:
    """Note, context, tags and score are commands of the session; what is repeated counts once."""
    answer = {
        "note": {"text": "a calm morning", "kind": "summary"}, "context": {"topic": "food"}, "tags": ["food", "calm"],
        "score": 0.75, "else": [1],
    }  # fmt: skip
    receiver.answer = lambda _: json_answer(answer)
    hooks = {"messages": hook_of(receiver, every_messages=1)}
    with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http:
        session_id = begun(http)
        say(http, session_id, "1")
        for _ in range(2):  # The second reads everything again, as after a kill before its commit.
            with running(deployment):
                until(lambda: len(receiver.came) == 1)
            until(lambda: http.get(f"/v1/sessions/{session_id}").json()["tags"])
            receiver.came.clear()
        session = http.get(f"/v1/sessions/{session_id}").json()
        events = http.get(f"/v1/sessions/{session_id}/events").json()["events"]
    assert (session["tags"], session["score"], session["status"]) == (["calm", "food"], 0.75, "active")
    assert session["context"] == {"topic": "food", "overall_score": 0.75}
    notes = [event for event in events if event["kind"] == "note"]
    assert [(note["session_notes"], note["details"]["kind"]) for note in notes] == [("a calm morning", "summary")]
    assert {note["performer_id"] for note in notes} == {"system"}


def test_an_answer_to_an_ended_session(tmp_path: Path, receiver: Receiver) -> None:
    """It is a message of the session at the time of its end; the end told again for it is not told to hooks."""
    receiver.answer = lambda _: json_answer({"note": "fine", "tags": ["calm"], "score": 3})
    hooks = {name: hook_of(receiver, at=["end"]) for name in ("a", "b")}
    committed: dict[Source, int] = {}
    with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http:
        session_id = begun(http)
        say(http, session_id, "1")
        end(http, session_id)
        with running(deployment, committed) as process:
            until(lambda: _count(process, "nothing_to_tell") == 4)
            until(lambda: committed == deployment_ends(deployment))
        session = http.get(f"/v1/sessions/{session_id}").json()
        messages = http.get(f"/v1/sessions/{session_id}/messages").json()["messages"]
    assert len(receiver.came) == 2
    assert (session["status"], session["score"], session["message_count"]) == ("closed", 3, 3)
    assert session["completeness"] == "complete"
    assert [message["source"] for message in messages[1:]] == ["a3cp_hooks"] * 2
    assert messages[1]["note"] == "fine"
    assert messages[1]["timestamp"] == session["end_time"]


def deployment_ends(deployment: MemoryDeployment) -> dict[Source, int]:
    return {source: end for source, end in deployment.ends().items() if source[0] != "state"}


def _count(process: Running, outcome: str) -> float:
    (counter,) = (each for each in process.registry.collect() if each.name == "a3cp_hooks_deliveries")
    return sum(sample.value for sample in counter.samples if sample.labels["outcome"] == outcome)


def test_a_slow_receiver_holds_up_itself_alone(tmp_path: Path, receiver: Receiver) -> None:
    """While one hook's receiver does not answer, another hook is told, and so are later sessions of the first."""
    let_go, waiting = threading.Event(), threading.Event()

    def answer(came: Came) -> Answers:
        if came.payload["data"]["session"]["user_id"] == "ann" and came.payload["type"] == "session.start":
            waiting.set()
            assert let_go.wait(PATIENCE_S)
        return Answers()

    with Receiver(answer) as slow:
        hooks = {
            "slow": hook_of(slow, at=["start", "end"], timeout_ms=30_000),
            "quick": hook_of(receiver, at=["start", "end"]),
        }
        with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http, running(deployment):
            end(http, begun(http))
            assert waiting.wait(PATIENCE_S)
            end(http, begun(http, user_id="ben"))
            until(lambda: len(receiver.came) == 4)
            until(lambda: len(slow.came) == 3)
            assert [came.payload["data"]["session"]["user_id"] for came in slow.came] == ["ann", "ben", "ben"]
            let_go.set()
            until(lambda: len(slow.came) == 4)
    assert slow.came[-1].payload["type"] == "session.end"


def test_what_is_not_taken_is_set_aside(tmp_path: Path, receiver: Receiver) -> None:
    """After its time, or at once if it is refused; the session's next is told all the same."""
    status = {"session.start": 500, "session.messages": 404}
    receiver.answer = lambda came: Answers(status.get(came.payload["type"], 200))
    hooks = {"all": hook_of(receiver, at=["start", "end"], every_messages=1, patience_ms=3_000)}
    committed: dict[Source, int] = {}
    with (
        deployment_with(tmp_path, hooks) as deployment,
        http_of(deployment) as http,
        running(deployment, committed) as process,
    ):
        session_id = begun(http)
        say(http, session_id, "1")
        end(http, session_id)
        until(lambda: committed == deployment_ends(deployment))
    starts = [came for came in receiver.came if came.payload["type"] == "session.start"]
    assert len(starts) >= 2
    assert len({came.id for came in starts}) == 1
    (refused,) = (came for came in receiver.came if came.payload["type"] == "session.messages")
    dead = [(delivery.trigger.moment, body) for delivery, body, _ in process.dead]
    assert dead == [("start", starts[0].body), ("messages", refused.body)]
    assert "status 500" in str(process.dead[0][2])


def test_a_wrong_answer_is_set_aside(tmp_path: Path, receiver: Receiver) -> None:
    """What cannot be written is told by its name, and nothing of the answer is."""
    receiver.answer = lambda _: json_answer({"note": ["secret"], "tags": ["fine"]})
    hooks = {"start": hook_of(receiver, at=["start"])}
    with (
        deployment_with(tmp_path, hooks) as deployment,
        http_of(deployment) as http,
        running(deployment) as process,
    ):
        session_id = begun(http)
        until(lambda: process.dead)
        assert http.get(f"/v1/sessions/{session_id}").json()["tags"] == []
    assert str(process.dead[0][2]).startswith("the answer's note is no text")


def test_a_stop_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    """What was under way when the process stopped is told again by the next one, with the same id."""
    receiver.answer = lambda _: Answers(503)
    hooks = {"all": hook_of(receiver, at=["start", "end"], patience_ms=60_000)}
    committed: dict[Source, int] = {}
    with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http:
        with running(deployment, committed) as process:
            end(http, begun(http))
            until(lambda: receiver.came)
        assert not process.dead
        first = receiver.came[0].id
        receiver.answer = lambda _: Answers()
        receiver.came.clear()
        with running(deployment, committed):
            until(lambda: committed == deployment_ends(deployment))
        assert [came.payload["type"] for came in receiver.came] == ["session.start", "session.end"]
        assert receiver.came[0].id == first
        receiver.came.clear()
        with running(deployment, committed):
            end(http, begun(http, user_id="ben"))
            until(lambda: len(receiver.came) == 2)
    assert {came.payload["data"]["session"]["user_id"] for came in receiver.came} == {"ben"}


def test_a_change_of_partitions_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    """While a receiver is slow the group begins anew: all is told, and nothing counts as told before it is."""
    let_go = threading.Event()

    def answer(_: Came) -> Answers:
        assert let_go.wait(PATIENCE_S)
        return Answers()

    with Receiver(answer) as slow:
        hooks = {"slow": hook_of(slow, at=["start", "end"], timeout_ms=30_000), "quick": hook_of(receiver, at=["end"])}
        committed: dict[Source, int] = {}
        with (
            deployment_with(tmp_path, hooks) as deployment,
            http_of(deployment) as http,
            running(deployment, committed) as process,
        ):
            end(http, begun(http))
            until(lambda: len(receiver.came) == 1 and slow.came)
            process.feed.assign_anew()
            until(lambda: len(receiver.came) == 2)
            ends = [
                (source, end) for source, end in deployment_ends(deployment).items() if source[0] == "sessions" and end
            ]
            assert ends
            assert all(committed.get(source, 0) < end for source, end in ends)
            let_go.set()
            until(lambda: committed == deployment_ends(deployment))
        assert {came.payload["type"] for came in slow.came} == {"session.start", "session.end"}
        assert len({came.id for came in slow.came}) == 2


def test_what_is_due_is_bounded(tmp_path: Path, receiver: Receiver) -> None:
    """While too much waits nothing more is read; it goes on once half of it is told, and all is."""
    let_go = threading.Event()

    def answer(_: Came) -> Answers:
        assert let_go.wait(PATIENCE_S)
        return Answers()

    receiver.answer = answer
    lines = "".join(f'{{"source": "ui", "text": "{number}"}}\n' for number in range(30))
    hooks = {"all": hook_of(receiver, every_messages=1, last_messages=0, timeout_ms=60_000, patience_ms=60_000)}
    with (
        deployment_with(tmp_path, hooks) as deployment,
        http_of(deployment) as http,
        running(deployment, chunk=10) as process,
    ):
        for number in range(5):
            path = f"/v1/sessions/{begun(http, user_id=f'user-{number}')}/messages"
            http.post(path, content=lines, headers={"Content-Type": "application/x-ndjson"}).raise_for_status()
        until(lambda: process.feed.held)
        let_go.set()
        until(lambda: len(receiver.came) == 150)
        until(lambda: not process.feed.held)


def test_what_stands_still_is_told(tmp_path: Path) -> None:
    """It is not ready while a batch cannot be read, and says which."""
    with Receiver() as receiver:
        hooks = {"all": hook_of(receiver, at=["end"])}
        with deployment_with(tmp_path, hooks) as deployment, running(deployment) as process:
            until(lambda: process.health.not_ready() == [])
            process.feed.standing = [Standstill("sessions", 1, 7, Cause.UNREADABLE, "its checksum is wrong", "mend it")]
            until(process.health.not_ready)
            assert process.health.not_ready() == ["sessions[1]@7 stands still: its checksum is wrong"]
            process.feed.standing = []
            until(lambda: process.health.not_ready() == [])


def test_while_kafka_is_away_an_answer_waits(tmp_path: Path, receiver: Receiver) -> None:
    """It is written once Kafka takes it; the receiver is not asked again."""
    hooks = {"start": hook_of(receiver, at=["start"])}
    with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http:
        session_id = begun(http)

        def answer(_: Came) -> Answers:
            deployment.producer.is_away = True
            return json_answer({"tags": ["late"]})

        receiver.answer = answer
        with running(deployment):
            until(lambda: deployment.broker_is_away)
            deployment.broker_is_away = False
            until(lambda: http.get(f"/v1/sessions/{session_id}").json()["tags"] == ["late"])
    assert len(receiver.came) == 1


def test_the_trace_goes_on(tmp_path: Path, receiver: Receiver) -> None:
    """A request has the trace of what it tells of, and what is answered is in it; without a trace there is none."""
    traceparent = f"00-{'1f' * 16}-b7ad6b7169203331-01"
    receiver.answer = lambda _: json_answer({"note": {"text": "calm"}})
    hooks = {"messages": hook_of(receiver, every_messages=1)}
    with deployment_with(tmp_path, hooks) as deployment, http_of(deployment) as http:
        path = f"/v1/sessions/{begun(http)}"
        with running(deployment):
            http.post(f"{path}/messages", json={"source": "ui", "text": "1"}, headers={"traceparent": traceparent})
            http.post(f"{path}/messages", json={"source": "ui", "text": "2"})
            until(lambda: http.get(path).json()["note_count"] == 2)
        lines = http.get(f"{path}/timeline").json()["timeline"]
    assert [came.headers.get("traceparent") for came in receiver.came] == [traceparent, None]
    assert [line.get("trace_id") for line in lines if line["kind"] == "note"] == ["1f" * 16, None]


def test_a_letter_that_is_sent_again_belongs_to_its_trace(tmp_path: Path, receiver: Receiver) -> None:
    """As it did the first time, and what is answered then does too."""
    traceparent = f"00-{'2e' * 16}-b7ad6b7169203331-01"
    receiver.answer = lambda _: Answers(400, b"", {})
    with deployment_with(tmp_path, {"messages": hook_of(receiver, every_messages=1)}) as deployment:
        with http_of(deployment) as http, running(deployment) as process:
            path = f"/v1/sessions/{begun(http)}"
            http.post(f"{path}/messages", json={"source": "ui", "text": "1"}, headers={"traceparent": traceparent})
            until(lambda: process.dead)
        (dead,) = process.dead
        receiver.answer = lambda _: json_answer({"note": {"text": "calm"}})
        hooks = hooked(deployment.settings.templates)
        telling = Telling(hooks, dict.fromkeys(hooks, SECRET), deployment.context, threading.Event())
        assert _fault_of(telling, hooks, letter_in(buried(*dead, "a3cp.tagged").value)) is None
        deployment.run()
        with http_of(deployment) as http:
            lines = http.get(f"{path}/timeline").json()["timeline"]
    assert [came.headers.get("traceparent") for came in receiver.came] == [traceparent, traceparent]
    assert [line.get("trace_id") for line in lines if line["kind"] == "note"] == ["2e" * 16]
