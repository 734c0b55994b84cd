"""`a3cp hooks` on a real Kafka: nothing is lost through kills, and dead letters go to their receiver once more."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.broker.fleet import Fleet, Worker, await_true
from tests.broker.services import services
from tests.hooks.receiver import SECRET, Answers, Came, Receiver, json_answer

pytestmark = [pytest.mark.broker, pytest.mark.long]

USERS = 20


class HooksProcess(Worker):
    """One `a3cp hooks`."""

    command = "hooks"


@contextmanager
def hooks_of(fleet: Fleet) -> Iterator[list[HooksProcess]]:
    """Yield a list that has one process; all in it are killed at the end."""

    processes = [_started(fleet, 0)]
    try:
        await_true("the hooks have partitions", lambda: processes[0].said("partitions assigned"))
        yield processes
    finally:
        for process in processes:
            process.kill()


def again(processes: list[HooksProcess], fleet: Fleet) -> None:
    """Kill the last process (kill -9), and start another."""
    processes[-1].kill()
    processes.append(_started(fleet, len(processes)))


def _started(fleet: Fleet, number: int) -> HooksProcess:
    environ = {**fleet.environ, "A3CP_STORE_URL": f"sqlite:///{fleet.folder / 'none.db'}"}
    return HooksProcess(environ, fleet.folder / f"hooks-{number}.log")


@contextmanager
def site(
    kafka: str, topics: str, folder: Path, receiver: Receiver, **settings: int
) -> Iterator[tuple[Fleet, httpx.Client]]:
    """Yield workers and a service, with a template whose hook leads to the receiver."""
    hook = {
        "url": receiver.url, "secret": "HOOK_SECRET", "at": ["start", "end"], "every_messages": 2,
        "patience_ms": 60_000,
    }  # fmt: skip
    file = folder / "templates.json"
    file.write_text(json.dumps({"play": {"title": "Play", "hooks": {"all": hook}}}))
    with Fleet(kafka, topics, folder, templates_file=str(file), **settings) as fleet:
        fleet.environ["HOOK_SECRET"] = SECRET
        fleet.start()
        with services(fleet, 1) as running:
            yield fleet, running[0].ready()


def session_of(http: httpx.Client, user_id: str, messages: int) -> str:
    begun = http.post("/v1/sessions", json={"user_id": user_id, "template": "play"})
    assert begun.status_code == 201, begun.text
    path = f"/v1/sessions/{begun.json()['session_id']}"
    for number in range(messages):
        assert http.post(f"{path}/messages", json={"source": "ui", "text": str(number)}).status_code == 202
    assert http.post(f"{path}/end").status_code == 200
    return path


def test_kills_lose_nothing(kafka: str, topics: str, tmp_path: Path) -> None:
    """The process is killed while it tells: all is told at least once, under one id; each answer is there once."""
    failed: set[str] = set()

    def answer(came: Came) -> Answers:
        if came.id not in failed and len(failed) < 15:
            failed.add(came.id)
            return Answers(503)
        time.sleep(0.02)  # So that a kill finds some under way.
        is_end = came.payload["type"] == "session.end"
        return json_answer({"note": "done", "score": 0.5, "tags": ["seen"]}) if is_end else Answers()

    with (
        Receiver(answer) as receiver,
        site(kafka, topics, tmp_path, receiver) as (fleet, http),
        hooks_of(fleet) as processes,
    ):
        paths = []
        for number in range(USERS):
            paths.append(session_of(http, f"user-{number}", 4))
            if number in (5, 12):
                again(processes, fleet)
        wanted = {"session.start": USERS, "session.messages": 2 * USERS, "session.end": USERS}

        def told() -> dict[str, int]:
            ids: dict[str, set[str]] = {}
            for came in list(receiver.came):
                ids.setdefault(came.payload["type"], set()).add(came.id)
            return {kind: len(found) for kind, found in ids.items()}

        await_true("all is told", lambda: told() == wanted)

        def session(path: str) -> Any:
            return http.get(path).json()

        await_true("all answers are there", lambda: all(session(path)["score"] == 0.5 for path in paths))
        for path in paths:
            messages = http.get(f"{path}/messages", params={"limit": 100}).json()["messages"]
            ours = [message for message in messages if message["source"] == "a3cp_hooks"]
            assert len({message["record_id"] for message in ours}) == 1
            assert len([message for message in ours if "duplicate" not in message["session_flags"]]) == 1
        assert processes[-1].stop() == 0
        assert fleet.a3cp("audit")[0] == 0
    assert all(came.is_signed_with(SECRET) for came in receiver.came)


def test_dead_letters_are_told_once_more(kafka: str, topics: str, tmp_path: Path) -> None:
    """They are listed with their reason; `dlq retry` sends the same bytes with the same id and writes the answer."""
    with (
        Receiver(lambda came: Answers(404 if came.payload["type"] == "session.end" else 200)) as receiver,
        # One that stands still for a moment is a member still: another would tell the same once more.
        site(kafka, topics, tmp_path, receiver, session_timeout_ms=30_000) as (fleet, http),
        hooks_of(fleet) as processes,
    ):
        path = session_of(http, "ann", 0)
        await_true("there is a dead letter", lambda: "status 404" in processes[-1].log_file.read_text())
        assert "hooks at 127.0.0.1: partitions 0-3" in fleet.a3cp("status")[1]
        code, listed = fleet.a3cp("dlq", "list", "--stage", "hook", "--json")
        (letter,) = json.loads(listed)["letters"]
        assert (code, letter["status"], letter["error"]) == (0, "waiting", "WebhookFailed")
        assert "status 404" in letter["why"]
        assert "session.end" in fleet.a3cp("dlq", "show", letter["position"])[1]
        assert fleet.a3cp("audit")[0] == 0, "the audit takes it for a raw record"
        code, said = fleet.a3cp("dlq", "retry")
        assert (code, "0 put back" in said, "status 404" in said) == (0, True, True)
        receiver.answer = lambda _: json_answer({"score": 2})
        assert "1 put back" in fleet.a3cp("dlq", "retry")[1]
        dead, *repeats = [came for came in receiver.came if came.payload["type"] == "session.end"]
        assert {(came.id, came.body) for came in repeats} == {(dead.id, dead.body)}
        await_true("the answer is there", lambda: http.get(path).json()["score"] == 2)
        assert "1 put back" not in fleet.a3cp("dlq", "retry")[1]
