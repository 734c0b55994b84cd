"""A3CP's own contract, request by request: what its old black-box tests send, and what its modules rely on."""

import uuid
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.client.commands import CommandRecord
from processor.core.ids import session_id as id_of
from processor.core.model import IdFormat
from processor.faces.auth.doors import Caller
from processor.in_memory import MemoryDeployment
from tests.faces.reading import reading
from tests.faces.stage import START, START_MS, http_of, kinds, message

PREFIXES = ("/session_manager", "/api/session_manager")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def boundary(user_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "schema_version": "1.0.1",
        "record_id": str(uuid.uuid4()),
        "user_id": user_id,
        "timestamp": "1999-01-01T00:00:00.000Z",
        "performer_id": "carer01",
        **fields,
    }


def start(http: TestClient, user_id: str = "ann", *, prefix: str = PREFIXES[0], **fields: Any) -> Any:
    return http.post(f"{prefix}/sessions.start", json=boundary(user_id, **fields))


def end(http: TestClient, session_id: str, user_id: str = "ann", **fields: Any) -> Any:
    body = boundary(user_id, session_id=session_id, **{"end_time": START, **fields})
    return http.post("/session_manager/sessions.end", json=body)


def status(http: TestClient, session_id: str, user_id: str = "ann") -> Any:
    answer = http.post("/session_manager/sessions.validate", json={"user_id": user_id, "session_id": session_id})
    assert answer.status_code == 200, answer.text
    return answer.json()["status"]


def started(http: TestClient, user_id: str = "ann") -> str:
    answer = start(http, user_id)
    assert answer.status_code == 200, answer.text
    session_id = answer.json()["session_id"]
    assert isinstance(session_id, str)
    return session_id


# start


@pytest.mark.parametrize("prefix", PREFIXES)
def test_start_answers_with_the_fields_of_the_event(http: TestClient, prefix: str) -> None:
    """Ids, times and source are the log's; the rest comes back as it was sent."""
    answer = start(
        http, prefix=prefix, source="evil", is_training_data=True, session_notes="first", training_intent_label="hello"
    )
    assert answer.status_code == 200
    fields = answer.json()
    assert fields.pop("session_id").startswith("sess_20250615_150640_")
    assert uuid.UUID(fields.pop("record_id")).version == 4
    assert fields == {
        "schema_version": "1.0.1",
        "user_id": "ann",
        "timestamp": START,
        "performer_id": "carer01",
        "source": "session_manager",
        "start_time": START,
        "is_training_data": True,
        "session_notes": "first",
        "training_intent_label": "hello",
    }
    assert answer.headers["A3CP-Position"].count(":") == 2
    assert answer.headers["Server-Timing"].startswith("log;dur=")


def test_optional_fields_may_be_left_out(http: TestClient) -> None:
    """Then they are false and null."""
    fields = start(http).json()
    assert (fields["is_training_data"], fields["session_notes"], fields["training_intent_label"]) == (False, None, None)


def test_record_ids_are_the_servers(http: TestClient) -> None:
    """The client's is a request's only, and start and end have different ones."""
    sent = str(uuid.uuid4())
    first = start(http, record_id=sent).json()
    last = end(http, first["session_id"], record_id=sent).json()
    assert len({sent, first["record_id"], last["record_id"]}) == 3


def test_a_second_start_answers_with_what_the_first_one_stored(deployment: MemoryDeployment, http: TestClient) -> None:
    """Same session, stored fields, one start in the log; so it is after a restart, with a store and without."""
    first = start(http, is_training_data=True, session_notes="first", training_intent_label="hello").json()
    deployment.advance(60_000)
    again = start(http, performer_id="other", session_notes="second").json()
    deployment.restarted()
    with http_of(deployment) as after_restart:
        restarted = start(after_restart, performer_id="other").json()
    deployment.export()
    deployment.restarted()
    with http_of(deployment) as after_export:
        exported = start(after_export, performer_id="other").json()
    assert len({each["record_id"] for each in (first, again, restarted, exported)}) == 4
    for each in (first, again, restarted, exported):
        del each["record_id"], each["timestamp"]
    assert first == again == restarted == exported
    assert kinds(deployment).count("started") == 1


def test_the_same_start_twice_is_one(deployment: MemoryDeployment, http: TestClient) -> None:
    """The client's record id is the key: a repeat is answered alike, even when the session has ended since."""
    body = boundary("ann", session_notes="first")
    first = http.post("/session_manager/sessions.start", json=body)
    again = http.post("/session_manager/sessions.start", json=body)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    end(http, first.json()["session_id"])
    deployment.restarted()
    with http_of(deployment) as restarted:
        assert restarted.post("/session_manager/sessions.start", json=body).json() == first.json()
    assert kinds(deployment) == ["started", "ended"]


def test_a_session_that_a_message_opened_is_the_open_one(deployment: MemoryDeployment, http: TestClient) -> None:
    """Start answers with it; nothing is made up of what its start did not say."""
    deployment.sender.message(message("ann"))
    fields = start(http, session_notes="mine").json()
    assert fields["session_id"] == deployment.view.memory.open_session("ann")
    assert (fields["performer_id"], fields["is_training_data"], fields["session_notes"]) == ("system", False, None)


def test_two_users_have_a_session_each(http: TestClient) -> None:
    """One person's session hinders nobody else's."""
    assert started(http, "ann") != started(http, "ben")


@pytest.mark.parametrize("performer_id", [None, "", "  "])
@pytest.mark.parametrize("route", ["start", "end"])
def test_a_performer_is_required(
    deployment: MemoryDeployment, http: TestClient, route: str, performer_id: str | None
) -> None:
    """400 with the fixed text; nothing is logged."""
    body = boundary("ann", performer_id=performer_id, session_id="sess_1", end_time=START)
    answer = http.post(f"/session_manager/sessions.{route}", json=body)
    assert answer.status_code == 400
    assert answer.json() == {"detail": "performer_id is required (use 'system' for system-initiated boundaries)"}
    assert not deployment.broker.values("raw")


@pytest.mark.parametrize("missing", ["schema_version", "record_id", "user_id", "timestamp", "session_id", "end_time"])
def test_a_missing_field_is_told_as_fastapi_does(http: TestClient, missing: str) -> None:
    """A3CP's modules compare `loc` and `type`."""
    body = boundary("ann", session_id="sess_1", end_time=START)
    del body[missing]
    answer = http.post("/session_manager/sessions.end", json=body)
    assert answer.status_code == 422
    assert [(each["loc"], each["type"]) for each in answer.json()["detail"]] == [(["body", missing], "missing")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema_version": "1"},
        {"record_id": "no uuid"},
        {"user_id": ""},
        {"user_id": "  "},
        {"user_id": " ann"},
        {"user_id": "x" * 257},
        {"user_id": 5},
        {"timestamp": "yesterday"},
        {"timestamp": 5},
        {"end_time": 5},
        {"end_time": "2025-06-31T00:00:00Z"},
        {"session_id": " "},
        {"session_id": None},
        {"performer_id": "carer01\u200b"},
    ],
)
def test_a_wrong_field_is_422(deployment: MemoryDeployment, http: TestClient, wrong: dict[str, Any]) -> None:
    """With FastAPI's list, and nothing logged."""
    body = {**boundary("ann", session_id="sess_1", end_time=START), **wrong}
    answer = http.post("/session_manager/sessions.end", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"] == ["body", next(iter(wrong))]
    assert not deployment.broker.values("raw")


# end


def test_end_tells_the_end_that_holds(deployment: MemoryDeployment, http: TestClient) -> None:
    """The client's end counts between the last activity and now."""
    session_id = started(http)
    deployment.advance(60_000)
    answer = end(http, session_id, end_time="2025-06-15T15:07:00+00:00", performer_id="system")
    assert answer.status_code == 200
    fields = answer.json()
    assert fields["end_time"] == "2025-06-15T15:07:00.000Z"
    assert (fields["session_id"], fields["user_id"], fields["source"]) == (session_id, "ann", "session_manager")
    assert fields["performer_id"] == "system"


@pytest.mark.parametrize("end_time", ["1999-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_an_end_out_of_bounds_is_now(deployment: MemoryDeployment, http: TestClient, end_time: str) -> None:
    """Before the last activity or in the future: the server's time holds."""
    session_id = started(http)
    deployment.advance(60_000)
    assert end(http, session_id, end_time=end_time).json()["end_time"] == "2025-06-15T15:07:40.000Z"


def test_an_unknown_session_is_404(http: TestClient) -> None:
    """Once it is certain that nobody has it."""
    answer = end(http, "sess_0123456789abcdef")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Session not found"})


def test_another_users_session_is_403(deployment: MemoryDeployment, http: TestClient) -> None:
    """And it stays open."""
    session_id = started(http)
    answer = end(http, session_id, "ben")
    assert (answer.status_code, answer.json()) == (403, {"detail": "Session user mismatch"})
    assert status(http, session_id) == "active"
    assert kinds(deployment) == ["started"]


def test_a_second_end_is_409(deployment: MemoryDeployment, http: TestClient) -> None:
    """Without an effect; so it is after a restart."""
    session_id = started(http)
    assert end(http, session_id).status_code == 200
    answer = end(http, session_id)
    assert (answer.status_code, answer.json()) == (409, {"detail": "Session already closed"})
    deployment.restarted()
    with http_of(deployment) as restarted:
        assert end(restarted, session_id).status_code == 409
    assert kinds(deployment) == ["started", "ended"]


def test_an_end_that_another_replica_was_first_with_is_409(deployment: MemoryDeployment, http: TestClient) -> None:
    """The view cannot know yet, the log decides."""
    session_id = started(http)
    with http_of(deployment.replica()) as other:
        deployment._first.is_behind = True
        assert end(other, session_id).status_code == 200
        assert deployment.view.memory.standing("ann", session_id) == "active"
        command = deployment.sender.command("ann", "end", session_id=session_id)
        outcome = deployment.view.memory.expect(command.record_id, "ann")
        deployment.sender.send(command, lambda _: None)
        deployment._first.is_behind = False
        deployment.run()
        assert outcome.result(0).reason == "already_closed"


def test_a_session_can_start_anew_after_its_end(http: TestClient) -> None:
    """With another id; 20 rounds for one user, and the first of them is closed still."""
    ids = []
    for _ in range(20):
        ids.append(started(http))
        assert end(http, ids[-1]).status_code == 200
    assert len(set(ids)) == 20
    assert [status(http, each) for each in ids] == ["closed"] * 20


# validate


def test_validate_tells_active_closed_invalid(http: TestClient) -> None:
    """Unknown, blank and foreign ids are invalid; asking changes nothing."""
    session_id = started(http)
    assert status(http, session_id) == "active"
    assert status(http, session_id, "ben") == "invalid"
    assert status(http, "") == status(http, " ") == status(http, "sess_0123456789abcdef") == "invalid"
    assert status(http, session_id, "") == "invalid"
    end(http, session_id)
    assert status(http, session_id) == "closed"


def test_validate_writes_nothing(deployment: MemoryDeployment, http: TestClient) -> None:
    """It is no activity."""
    session_id = started(http)
    before = len(deployment.broker.values("raw"))
    for _ in range(3):
        status(http, session_id)
    assert len(deployment.broker.values("raw")) == before


def test_a_paused_session_is_active(deployment: MemoryDeployment, http: TestClient) -> None:
    """A3CP knows no pause, and a camera would stop for it."""
    session_id = started(http)
    deployment.sender.send(deployment.sender.command("ann", "pause", performer_id="system"), lambda _: None)
    assert deployment.view.memory.standing("ann", session_id) == "paused"
    assert status(http, session_id) == "active"


@pytest.mark.parametrize("wrong", [{"user_id": "ann"}, {"session_id": "s"}, {"user_id": 1, "session_id": "s"}, [], 5])
def test_validate_refuses_what_is_no_question(http: TestClient, wrong: object) -> None:
    """422 as FastAPI tells it."""
    assert http.post("/session_manager/sessions.validate", json=wrong).status_code == 422


def test_a_session_of_another_replica_is_valid_at_once(deployment: MemoryDeployment) -> None:
    """The replica that is asked asks where the log ends, and waits until it has read that."""
    other = deployment.replica()
    with http_of(deployment) as first, http_of(other) as second:
        session_id = started(first)
        assert status(second, session_id) == "active"
        other.is_behind = True
        later = started(first, "ben")
        answer = second.post("/session_manager/sessions.validate", json={"user_id": "ben", "session_id": later})
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        other.is_behind = False
        deployment.run()
        assert status(second, later, "ben") == "active"


def test_validate_is_never_invalid_while_kafka_is_away(deployment: MemoryDeployment, http: TestClient) -> None:
    """What is known is answered, what is not known is 503."""
    session_id = started(http)
    deployment.broker_is_away = True
    assert status(http, session_id) == "active"
    answer = http.post("/session_manager/sessions.validate", json={"user_id": "ann", "session_id": "sess_1"})
    assert answer.status_code == 503
    assert set(answer.json()) == {"detail"}


def test_validate_goes_on_while_the_processor_is_away(deployment: MemoryDeployment, http: TestClient) -> None:
    """And after a restart of the service meanwhile."""
    session_id = started(http)
    deployment.processor_is_away = True
    deployment.restarted()
    with http_of(deployment) as restarted:
        assert status(restarted, session_id) == "active"
        assert status(restarted, "sess_0123456789abcdef") == "invalid"


def test_a_session_that_all_have_forgotten_is_closed(deployment: MemoryDeployment, http: TestClient) -> None:
    """Its id tells whose it was; one that was made up for yesterday and another user is invalid."""
    old = id_of("ann", START_MS - 3 * 365 * DAY_MS, str(uuid.uuid4()), IdFormat.DATED)
    assert status(http, old) == "closed"
    assert status(http, old, "ben") == "invalid"
    assert end(http, old).status_code == 409
    recent = id_of("ann", START_MS - 1000, str(uuid.uuid4()), IdFormat.DATED)
    assert status(http, recent) == "invalid"
    assert status(http, f"{recent[:5]}99{recent[7:]}") == "invalid"


def test_a_session_in_a_lane_is_its_owners(deployment: MemoryDeployment, http: TestClient) -> None:
    """It is valid and can be ended under the owner's id, and under the lane that modules copy from messages."""
    ids = [http.post("/v1/sessions", json={"user_id": "ann"}).json()["session_id"] for _ in range(2)]
    lane = deployment.view.memory.user_of(ids[0])
    assert lane is not None
    assert status(http, ids[0]) == status(http, ids[1]) == status(http, ids[0], lane) == "active"
    assert status(http, ids[1], lane) == status(http, ids[0], "ben") == "invalid"
    ended = end(http, ids[0])
    assert (ended.status_code, ended.json()["user_id"]) == (200, "ann")
    assert [status(http, each) for each in ids] == ["closed", "active"]


# when something is away


@pytest.mark.parametrize("route", ["start", "end"])
def test_without_kafka_boundaries_are_503(deployment: MemoryDeployment, http: TestClient, route: str) -> None:
    """With Retry-After, and the state untouched."""
    session_id = started(http)
    deployment.broker_is_away = True
    answer = start(http, "ben") if route == "start" else end(http, session_id)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert set(answer.json()) == {"detail"}
    deployment.broker_is_away = False
    assert status(http, session_id) == "active"
    assert deployment.view.memory.open_session("ben") is None


def test_without_a_processor_the_same_start_can_be_repeated(deployment: MemoryDeployment, http: TestClient) -> None:
    """504 at first; the repeat finds what came of it, and one session was started."""
    deployment.processor_is_away = True
    body = boundary("ann")
    answer = http.post("/session_manager/sessions.start", json=body, headers={"Prefer": "wait=0"})
    assert answer.status_code == 504
    assert answer.json() == {"detail": "no processor has carried out the command within 1 s"}
    deployment.processor_is_away = False
    again = http.post("/session_manager/sessions.start", json=body)
    assert again.status_code == 200
    assert again.headers["Idempotent-Replayed"] == "true"
    assert kinds(deployment) == ["started"]


def test_a_start_that_failed_in_delivery_is_503(deployment: MemoryDeployment, http: TestClient) -> None:
    """The producer tells later that nobody took the record."""
    from processor.errors import BrokerUnavailable

    class Fails:
        command = staticmethod(deployment.sender.command)

        def send(self, command: CommandRecord, on_done: Any, on_kept: Any) -> None:
            on_done(BrokerUnavailable("no broker took it"))

    with http_of(deployment, sender=Fails()) as failing:
        answer = start(failing)
    assert (answer.status_code, answer.json()) == (503, {"detail": "no broker took it"})


# doors


def test_a_token_for_others_is_403(deployment: MemoryDeployment) -> None:
    """On A3CP's routes a foreign user is refused, `validate` too."""
    with reading(deployment, Caller("camera", "producer", ("ben",))) as http:
        assert start(http, "ann").status_code == 403
        assert end(http, "sess_1", "ann").json() == {"detail": "Session user mismatch"}
        body = {"user_id": "ann", "session_id": "sess_1"}
        assert http.post("/session_manager/sessions.validate", json=body).status_code == 403
        assert started(http, "ben")


def test_a_reviewer_starts_nothing(deployment: MemoryDeployment) -> None:
    """But may validate."""
    with reading(deployment, Caller("page", "reviewer", ("*",))) as http:
        assert start(http).status_code == end(http, "sess_1").status_code == 403
        assert status(http, "sess_1") == "invalid"
