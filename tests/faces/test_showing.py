"""Routes that read one session."""

from hashlib import sha256
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from starlette.testclient import TestClient

from processor.codec.isotime import format_time
from processor.faces.app import make_app
from processor.faces.auth.doors import Doors
from processor.faces.middleware.shell import Shell
from processor.faces.v1 import shapes
from processor.in_memory import MemoryDeployment
from processor.sessions.forms.shapes import Resource
from processor.sessions.ports import Gone
from processor.view.view import View
from tests.faces.reading import ALL, HOUR_MS, MINUTE_MS, Named, command, problem, reading, say, sees, start

KEYS = {
    "session_id", "user_id", "status", "phase", "template", "created_at", "start_time", "last_activity", "end_time",
    "end_reason", "revision", "message_count", "duration_ms", "active_ms", "steps_completed", "timing", "context",
    "summary", "flags", "tags", "score", "completeness", "position", "backend",
}  # fmt: skip
READS = ("", "/messages", "/events", "/timeline", "/audit", "/explain", "/proof")


def get(http: TestClient, session_id: str, what: str = "", **params: Any) -> Any:
    answer = http.get(f"/v1/sessions/{quote(session_id, safe='')}{what}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


FORMS = (
    Resource, shapes.SessionMessages, shapes.SessionEvents, shapes.SessionTimeline, shapes.SessionAudit,
    shapes.SessionExplanation, shapes.SessionProof,
)  # fmt: skip


@pytest.mark.parametrize(("what", "form"), list(zip(READS, FORMS, strict=True)))
def test_answers_have_the_form_that_their_document_says(
    deployment: MemoryDeployment, http: TestClient, what: str, form: type
) -> None:
    """No field is missing, and none is there of which the document does not know."""
    session_id = start(deployment, "ann", session_notes="well")
    say(deployment, "ann", transcript="hello", session_id="sess_other")
    command(deployment, "ann", "end")
    told = get(http, session_id, what)
    assert told.keys() == msgspec.to_builtins(msgspec.convert(told, form)).keys()


# the session


def test_a_session_has_the_fields_of_the_contract(deployment: MemoryDeployment, http: TestClient) -> None:
    """All of them, with the person as user, whatever lane the session is in."""
    session_id = start(deployment, "ann~0a1b2c3d", template="interview")
    say(deployment, "ann~0a1b2c3d")
    told = get(http, session_id)
    assert told.keys() >= KEYS
    assert (told["user_id"], told["status"], told["template"]) == ("ann", "active", "interview")
    assert (told["message_count"], told["completeness"], told["backend"]) == (1, "open", "kafka")
    assert "ann~" not in http.get(f"/v1/sessions/{session_id}").text


def test_steps_context_and_status_are_folded(deployment: MemoryDeployment, http: TestClient) -> None:
    """What commands told, the latest of each name."""
    session_id = start(deployment, "ann")
    command(deployment, "ann", "context", context={"place": "kitchen"})
    command(deployment, "ann", "context", context={"place": "garden", "mood": "calm"})
    command(deployment, "ann", "step", step={"name": "Warm up", "duration_ms": 1250})
    command(deployment, "ann", "status", status="running")
    told = get(http, session_id)
    assert told["context"] == {"place": "garden", "mood": "calm"}
    assert (told["steps_completed"], told["timing"]["warm_up_ms"]) == (["Warm up"], 1250)
    assert told["phase"] == "running"


def test_an_ended_session_says_how_it_ended(deployment: MemoryDeployment, http: TestClient) -> None:
    """And it is complete once all of it is read."""
    session_id = start(deployment, "ann")
    say(deployment, "ann")
    command(deployment, "ann", "end")
    told = get(http, session_id)
    assert (told["status"], told["end_reason"], told["revision"]) == ("closed", "command", 0)
    assert (told["completeness"], told["active_ms"]) == ("complete", 0)


@pytest.mark.parametrize("what", READS)
def test_a_session_is_read_from_memory_and_from_the_store_alike(
    deployment: MemoryDeployment, http: TestClient, what: str
) -> None:
    """The exporter comes in between, a restart too, and nothing changes."""
    session_id = start(deployment, "ann", session_notes="well")
    say(deployment, "ann", transcript="hello")
    say(deployment, "ann", transcript="again")
    before = get(http, session_id, what)
    deployment.export()
    assert get(http, session_id, what) == before
    with reading(deployment.restarted()) as again:
        assert get(again, session_id, what) == before


@pytest.mark.parametrize("what", READS)
def test_every_answer_says_its_position(deployment: MemoryDeployment, http: TestClient, what: str) -> None:
    """It is the one that a read on another replica can wait for."""
    session_id = start(deployment, "ann")
    answer = http.get(f"/v1/sessions/{session_id}{what}")
    position = answer.headers["a3cp-position"]
    assert http.get(f"/v1/sessions/{session_id}{what}", headers={"A3CP-After": position}).status_code == 200
    partition, sessions = position.split(":p")[1].split(":s")
    ahead = f"{position.split(':')[0]}:p{partition}:s{int(sessions.split('.')[0]) + 9}.t0"
    asked = {"A3CP-After": ahead, "Prefer": "wait=0"}
    problem(http.get(f"/v1/sessions/{session_id}{what}", headers=asked), 503, "not_caught_up")


def test_an_unchanged_session_is_not_sent_again(deployment: MemoryDeployment, http: TestClient) -> None:
    """The ETag stays while nothing happens, and changes with a message, a note and an end."""
    session_id = start(deployment, "ann")
    path = f"/v1/sessions/{session_id}"
    seen = set()
    for change in (lambda: say(deployment, "ann"), lambda: command(deployment, "ann", "note", session_notes="x"),
                   lambda: command(deployment, "ann", "end")):  # fmt: skip
        etag = http.get(path).headers["etag"]
        unchanged = http.get(path, headers={"If-None-Match": f'"other", {etag}'})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["a3cp-position"]
        seen.add(etag)
        change()
        assert http.get(path, headers={"If-None-Match": etag}).status_code == 200
    assert len(seen) == 3


def test_what_is_open_and_unchanged_is_not_read_again(
    deployment: MemoryDeployment, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent from memory, with the position of now, until something happens."""
    session_id = start(deployment, "ann~00000001")
    path = f"/v1/sessions/{session_id}"
    first = http.get(path)
    start(deployment, "ann~00000002")
    with monkeypatch.context() as patched:
        patched.setattr(View, "session", None)
        again = http.get(path)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["etag"] == first.headers["etag"]
    for count in (1, 2):
        say(deployment, "ann~00000001")
        assert get(http, session_id)["message_count"] == count
    command(deployment, "ann~00000001", "end")
    assert get(http, session_id)["status"] == "closed"


def test_a_caller_who_does_not_see_it_gets_nothing_from_memory(deployment: MemoryDeployment) -> None:
    """Though another caller has just read it on this replica."""
    session_id = start(deployment, "ann")
    callers = (ALL, sees("bob"), sees("ann"))
    app = make_app(deployment.context(), Shell(doors=Doors(Named(*callers))))
    with TestClient(app, base_url="http://127.0.0.1") as http:
        statuses = [
            http.get(f"/v1/sessions/{session_id}", headers={"Authorization": f"Bearer {who.name}"}).status_code
            for who in callers
        ]
    assert statuses == [200, 404, 200]


# who sees it


@pytest.mark.parametrize("what", READS)
def test_a_foreign_session_is_not_there(deployment: MemoryDeployment, what: str) -> None:
    """It is told as one that never was: no token learns whether an id exists."""
    session_id = start(deployment, "ann~00000001")
    never = f"sess_20250615_150640_{'0' * 32}"
    with reading(deployment, sees("bob")) as http:
        foreign = problem(http.get(f"/v1/sessions/{session_id}{what}"), 404, "session_not_found")
        unknown = problem(http.get(f"/v1/sessions/{never}{what}"), 404, "session_not_found")
    hidden = ("session_id", "request_id")
    assert {k: v for k, v in foreign.items() if k not in hidden} == {
        k: v for k, v in unknown.items() if k not in hidden
    }
    with reading(deployment, sees("ann")) as http:
        assert http.get(f"/v1/sessions/{session_id}{what}").status_code == 200


def test_a_removed_session_is_gone(deployment: MemoryDeployment) -> None:
    """By its age, or with its person: who has the id is told that it was there."""
    old, erased = start(deployment, "ann"), start(deployment, "bob")
    for user_id in ("ann", "bob"):
        command(deployment, user_id, "end")
    deployment.advance(30 * HOUR_MS)
    deployment.export()
    deployment.store.removal.remove(Gone(user_id="bob"))
    deployment.store.removal.remove(Gone(ended_before_ms=deployment.clock.now_ms()))
    for logs in deployment.broker.topics.values():  # Kafka has let go of the records too.
        for log in logs:
            log.clear()
    with reading(deployment.restarted()) as http:
        for session_id in (old, erased):
            problem(http.get(f"/v1/sessions/{session_id}"), 410, "session_removed")


def test_an_id_that_is_a_millisecond_old_is_waited_for(
    deployment: MemoryDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that is behind says that it cannot tell yet, never that there is no such session."""
    monkeypatch.setattr("processor.faces.requests.finding.CAUGHT_UP_S", 0.05)
    other = deployment.replica()
    other.is_behind = True
    session_id = start(deployment, "ann")
    with reading(other) as http:
        problem(http.get(f"/v1/sessions/{session_id}"), 503, "not_caught_up")
        other.is_behind = False
        deployment.run()
        assert get(http, session_id)["session_id"] == session_id


# messages


def conversation(deployment: MemoryDeployment) -> str:
    session_id = start(deployment, "ann")
    for number in range(6):
        deployment.advance(MINUTE_MS)
        say(deployment, "ann", role="user" if number % 2 == 0 else "assistant", content=f"words {number + 1}")
    return session_id


@pytest.mark.parametrize(
    ("params", "seqs"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"limit": 2}, [5, 6]),
        ({"limit": 2, "before_seq": 4}, [2, 3]),
        ({"limit": 2, "after_seq": 1}, [2, 3]),
        ({"limit": 9, "after_seq": 4}, [5, 6]),
        ({"limit": 2, "role": "user"}, [3, 5]),
        ({"limit": 2, "role": "assistant", "after_seq": 0}, [2, 4]),
        ({"limit": 2, "expressed_by": "user"}, [3, 5]),
        ({"limit": 2, "expressed_by": "system", "after_seq": 0}, [2, 4]),
        ({"since": "2025-06-15T15:10:40Z"}, [4, 5, 6]),
        ({"until": "2025-06-15T15:10:40Z", "limit": 2}, [1, 2]),
        ({"since": "2030-01-01"}, []),
        ({"role": "nobody"}, []),
    ],
)
def test_messages_are_chosen(
    deployment: MemoryDeployment, http: TestClient, params: dict[str, Any], seqs: list[int]
) -> None:
    """The last ones, unless something says where to begin; oldest first."""
    session_id = conversation(deployment)
    found = get(http, session_id, "/messages", **params)["messages"]
    assert [each["session_seq"] for each in found] == seqs


def test_a_message_has_its_own_fields(deployment: MemoryDeployment, http: TestClient) -> None:
    """And its tag; the person instead of the lane."""
    session_id = start(deployment, "ann~00000001")
    say(deployment, "ann~00000001", role="user", content="hello", metadata={"confidence": 0.9})
    (told,) = get(http, session_id, "/messages")["messages"]
    assert (told["role"], told["content"], told["metadata"]) == ("user", "hello", {"confidence": 0.9})
    assert told["expressed_by"] == "user"
    assert (told["user_id"], told["session_id"], told["session_seq"], told["session_flags"]) == (
        "ann",
        session_id,
        1,
        [],
    )


def test_what_must_not_be_kept_is_not_told(deployment: MemoryDeployment, http: TestClient) -> None:
    """Its hash and size stand in its place."""
    session_id = start(deployment, "ann")
    say(deployment, "ann", frame_data="x" * 2_000)
    for what in ("/messages", "/timeline", "/explain"):
        assert "x" * 100 not in http.get(f"/v1/sessions/{session_id}{what}").text
    (told,) = get(http, session_id, "/messages")["messages"]
    assert {"withheld", "sha256", "size"} <= told.keys()


# events, timeline, audit, explanation, proof


def test_events_are_in_the_order_of_the_log(deployment: MemoryDeployment, http: TestClient) -> None:
    """As the sessions topic has them, with the person as user."""
    session_id = start(deployment, "ann~00000001")
    command(deployment, "ann~00000001", "note", session_notes="well")
    told = get(http, session_id, "/events")
    assert told["session_id"] == session_id
    assert [event["kind"] for event in told["events"]] == ["started", "note"]
    assert {event["user_id"] for event in told["events"]} == {"ann"}


def test_a_timeline_has_words(deployment: MemoryDeployment, http: TestClient) -> None:
    """Messages and events in order of time, each with a line for people."""
    session_id = start(deployment, "ann~00000001")
    say(deployment, "ann~00000001", transcript="hello")
    timeline = get(http, session_id, "/timeline")["timeline"]
    assert [entry["kind"] for entry in timeline] == ["started", "message"]
    assert all(entry["words"] and entry["record"]["user_id"] == "ann" for entry in timeline)


def test_an_audit_says_what_is_proven(deployment: MemoryDeployment, http: TestClient) -> None:
    """Open, then complete with n of n; and the steps, as document 003 has them."""
    session_id = start(deployment, "ann")
    say(deployment, "ann")
    command(deployment, "ann", "step", step={"name": "search", "duration_ms": 1250, "data": {"found": 3}})
    command(deployment, "ann", "step", step={"name": "modules_generated", "duration_ms": 7, "timing_key": "modules_ms"})
    told = get(http, session_id, "/audit")
    assert (told["complete"], told["proof"]["status"], told["ends"]) == (False, "open", [])
    command(deployment, "ann", "end")
    told = get(http, session_id, "/audit")
    assert (told["complete"], told["words"]) == (True, "complete: 1 of 1 message, and the digest over them is equal")
    assert (told["steps_completed"], told["timing"], told["data"]) == (
        ["search", "modules_generated"], {"search_ms": 1250, "modules_ms": 7}, {"search": {"found": 3}},
    )  # fmt: skip
    assert [(end["revision"], end["reason"], end["message_count"]) for end in told["ends"]] == [(0, "command", 1)]


def test_an_explanation_names_rule_and_record(deployment: MemoryDeployment, http: TestClient) -> None:
    """Of boundaries and flagged messages."""
    session_id = start(deployment, "ann", template="therapy")
    say(deployment, "ann", session_id="sess_other")
    deployment.advance(2 * HOUR_MS)
    told = get(http, session_id, "/explain")["explanations"]
    assert [(each["what"], each["rule"]) for each in told] == [("started", "R7"), ("ended", "R3"), ("message", "R9")]
    assert told[1]["numbers"] == {"silence_ms": 2 * HOUR_MS, "gap_ms": HOUR_MS}
    assert told[1]["record"]["position"].startswith("a3cp.sessions[")
    assert all(each["words"] for each in told)


def test_a_proof_can_be_computed_again(deployment: MemoryDeployment, http: TestClient) -> None:
    """By whoever has an id and the hashes of messages."""
    session_id = start(deployment, "ann")
    for _ in range(3):
        say(deployment, "ann")
    command(deployment, "ann", "end")
    told = get(http, session_id, "/proof")
    digest = sha256(told["session_id"].encode()).digest()
    for content_hash in told["hashes"]:
        digest = sha256(digest + bytes.fromhex(content_hash)).digest()
    assert digest.hex() == told["held_digest"] == told["expected_digest"]
    assert (told["status"], told["expected_count"], len(told["hashes"])) == ("complete", 3, 3)


# as it was known before


@pytest.mark.parametrize("is_exported", [False, True])
def test_a_session_as_it_was_known(deployment: MemoryDeployment, http: TestClient, is_exported: bool) -> None:
    """At a position, or at a time of arrival; what came later is in nothing that is told."""
    session_id = start(deployment, "ann")
    say(deployment, "ann", transcript="before")
    position = get(http, session_id)["position"]
    moment = format_time(deployment.clock.now_ms())
    deployment.advance(MINUTE_MS)
    say(deployment, "ann", transcript="after")
    command(deployment, "ann", "context", context={"place": "garden"})
    command(deployment, "ann", "end")
    if is_exported:
        deployment.export()
    for as_of in (position, moment):
        told = get(http, session_id, as_of=as_of)
        assert (told["status"], told["message_count"], told["context"]) == ("active", 1, {})
        assert len(get(http, session_id, "/messages", as_of=as_of)["messages"]) == 1
        assert [each["kind"] for each in get(http, session_id, "/events", as_of=as_of)["events"]] == ["started"]
        assert get(http, session_id, "/audit", as_of=as_of)["proof"]["status"] == "open"
        assert "after" not in http.get(f"/v1/sessions/{session_id}/timeline", params={"as_of": as_of}).text
        assert len(get(http, session_id, "/proof", as_of=as_of)["hashes"]) == 1
        path = f"/v1/sessions/{session_id}"
        assert http.get(path, params={"as_of": as_of}).headers["etag"] != http.get(path).headers["etag"]


def test_before_its_start_a_session_is_not_there(deployment: MemoryDeployment, http: TestClient) -> None:
    """As of a time before it, nobody knew of it."""
    session_id = start(deployment, "ann")
    problem(http.get(f"/v1/sessions/{session_id}?as_of=2025-06-15T15:00:00Z"), 404, "session_not_found")


# bad parameters


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize("query", ["nosuch=1", "as_of=yesterday", "as_of=", "as_of=ffffff:p0:s1.t1", "as_of=%00"])
def test_what_no_route_knows_is_refused(deployment: MemoryDeployment, http: TestClient, what: str, query: str) -> None:
    """A parameter that is misspelt would else be ignored without a word."""
    session_id = start(deployment, "ann")
    problem(http.get(f"/v1/sessions/{session_id}{what}?{query}"), 422, "invalid_request")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "before_seq=0", "after_seq=-1", "since=x", "until=2025-13-01", "role="]
)
def test_numbers_and_times_of_messages_are_checked(deployment: MemoryDeployment, http: TestClient, query: str) -> None:
    """Each with a problem that names the parameter."""
    session_id = start(deployment, "ann")
    told = problem(http.get(f"/v1/sessions/{session_id}/messages?{query}"), 422, "invalid_request")
    assert told["errors"][0]["loc"] == ["query", query.partition("=")[0]]


ODD = ["..%2Fx", "a%2Fb", "%00", "%ff%fe", "sess_%F0%9F%98%80", "a" * 2_000, "%25", "a%3Fb", "%2e%2e", "' OR 1=1 --"]


@pytest.mark.parametrize("odd", ODD)
def test_an_id_of_any_form_is_an_id(http: TestClient, odd: str) -> None:
    """A slash that is percent-encoded is part of it; there is no such session, and no failure."""
    for what in READS:
        problem(http.get(f"/v1/sessions/{odd}{what}"), 404, "session_not_found")
