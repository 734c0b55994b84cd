"""Messages come in over HTTP: of one session, or of anybody; what may not be in the log stays out of it."""

import json
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from processor.codec.wire import avro_header
from processor.faces.auth.doors import Caller
from processor.in_memory import MemoryDeployment
from tests.faces.stage import START, START_MS, as_caller, code, message
from tests.strategies import single_object

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def session_id(http: TestClient) -> str:
    answer = http.post("/v1/sessions", json={"user_id": "ann"})
    return str(answer.json()["session_id"])


def sent(deployment: MemoryDeployment) -> list[bytes]:
    """The messages in the raw topic, in no order among users."""
    return [value for value in deployment.broker.values("raw") if value and b'"command"' not in value]


def lane(deployment: MemoryDeployment, session_id: str) -> str:
    user_id = deployment.view.memory.user_of(session_id)
    assert user_id is not None
    return user_id


def test_what_a_message_does_not_say_is_filled_in(
    deployment: MemoryDeployment, http: TestClient, session_id: str
) -> None:
    """Whose it is, its session, and what each message must have; its own fields stay as they are."""
    text = '{"role": "user", "content": "good \\u006dorning", "score": 1.50}'
    answer = http.post(
        f"/v1/sessions/{session_id}/messages", content=text, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 202, answer.text
    (value,) = sent(deployment)
    fields = json.loads(value)
    assert answer.json() == {"accepted": 1, "record_ids": [fields["record_id"]]}
    UUID(fields["record_id"])
    assert (fields["user_id"], fields["session_id"]) == (lane(deployment, session_id), session_id)
    assert (fields["timestamp"], fields["schema_version"]) == (START, "1.0.1")
    assert b'"content":"good \\u006dorning"' in value
    assert b'"score":1.50' in value
    (shown,) = http.get(f"/v1/sessions/{session_id}/messages").json()["messages"]
    assert (shown["content"], shown["user_id"], shown["session_seq"]) == ("good morning", "ann", 1)


def test_a_message_that_says_all_is_not_changed(
    deployment: MemoryDeployment, http: TestClient, session_id: str
) -> None:
    """Byte for byte."""
    whole = message(lane(deployment, session_id), session_id=session_id)
    text = json.dumps(whole, indent=1).encode()
    answer = http.post(
        f"/v1/sessions/{session_id}/messages", content=text, headers={"Content-Type": "application/json"}
    )
    assert answer.json() == {"accepted": 1, "record_ids": [whole["record_id"]]}
    assert sent(deployment) == [text]


def test_the_owner_is_as_good_as_the_lane(deployment: MemoryDeployment, http: TestClient, session_id: str) -> None:
    """Clients are told the owner alone; somebody else is refused."""
    path = f"/v1/sessions/{session_id}/messages"
    assert http.post(path, json={"user_id": "ann"}).status_code == 202
    assert json.loads(sent(deployment)[0])["user_id"] == lane(deployment, session_id)
    assert code(http.post(path, json={"user_id": "ben"})) == (422, "invalid_request")
    assert code(http.post(path, json={"session_id": "sess_0123456789abcdef"})) == (422, "invalid_request")


def test_lines_are_messages(deployment: MemoryDeployment, http: TestClient, session_id: str) -> None:
    """Up to 500 at a time, in their order."""
    lines = "\n".join(json.dumps({"content": str(number)}) for number in range(500))
    answer = http.post(f"/v1/sessions/{session_id}/messages", content=f"{lines}\n\n", headers=NDJSON)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == len(set(answer.json()["record_ids"])) == 500
    assert [json.loads(value)["content"] for value in sent(deployment)] == list(map(str, range(500)))
    many = http.post(f"/v1/sessions/{session_id}/messages", content="{}\n" * 501, headers=NDJSON)
    assert code(many) == (413, "too_large")


def test_who_waits_is_told_how_they_are_tagged(deployment: MemoryDeployment, http: TestClient, session_id: str) -> None:
    """In the order of the request; a repeat says that it is one."""
    path, wait = f"/v1/sessions/{session_id}/messages", {"Prefer": "wait=5"}
    whole = [message(lane(deployment, session_id), session_id=session_id, number=number) for number in range(3)]
    lines = "\n".join(map(json.dumps, whole))
    answer = http.post(path, content=lines, headers={**NDJSON, **wait})
    assert answer.status_code == 200, answer.text
    told = [(each["record_id"], each["seq"], each["flags"]) for each in answer.json()["messages"]]
    assert told == [(each["record_id"], seq, []) for seq, each in enumerate(whole, 1)]
    again = http.post(path, content=json.dumps(whole[0]), headers={**NDJSON, **wait}).json()["messages"][0]
    assert (again["seq"], again["flags"]) == (4, ["duplicate"])
    deployment.processor_is_away = True
    late = http.post(path, json={}, headers={"Prefer": "wait=1"})
    assert (late.status_code, late.json()["accepted"]) == (202, 1)


def test_who_waits_is_told_of_another_session(http: TestClient, session_id: str) -> None:
    """A message of an earlier time is not of this session, and one that only reports is of none."""
    values = (
        {"timestamp": "2019-01-01T00:00:00Z", "source": "model_trainer"},
        {"timestamp": "2020-01-01T00:00:00Z", "text": "good morning"},
        {"text": "hello"},
    )
    lines = "\n".join(map(json.dumps, values))
    answer = http.post(f"/v1/sessions/{session_id}/messages", content=lines, headers={**NDJSON, "Prefer": "wait=5"})
    assert answer.status_code == 200, answer.text
    reported, moved, here = answer.json()["messages"]
    assert moved["flags"] == ["late", "session_mismatch"]
    assert moved["session_id"].startswith("sess_20200101_")
    assert (reported["session_id"], reported["flags"]) == (None, ["late", "session_mismatch", "no_session"])
    assert (here["session_id"], here["seq"], here["flags"]) == (session_id, 1, [])


@pytest.mark.parametrize("route", ["/v1/sessions/{}/messages", "/v1/messages"])
def test_a_repeat_with_the_key_sends_nothing_again(
    deployment: MemoryDeployment, http: TestClient, session_id: str, route: str
) -> None:
    """The same answer as before; another request with the key is refused, and what failed is tried again."""
    path, key = route.format(session_id), {"Idempotency-Key": "k1"}
    body = message(lane(deployment, session_id))
    deployment.broker_is_away = True
    assert code(http.post(path, json=body, headers=key)) == (503, "broker_unavailable")
    deployment.broker_is_away = False
    first, again = (http.post(path, json=body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(sent(deployment)) == 1
    assert code(http.post(path, json={**body, "more": 1}, headers=key)) == (422, "idempotency_key_reused")


def test_one_that_is_wrong_holds_back_all(deployment: MemoryDeployment, http: TestClient, session_id: str) -> None:
    """And the answer says which one it is."""
    answer = http.post(f"/v1/sessions/{session_id}/messages", content='{"a":1}\n{"timestamp":5}\n', headers=NDJSON)
    assert code(answer) == (422, "invalid_request")
    assert answer.json()["detail"].startswith("message 2: ")
    assert answer.json()["errors"][0]["loc"] == ["body", 1]
    assert not sent(deployment)


@pytest.mark.parametrize(
    "body",
    ["", " ", "{", "[]", "5", '"x"', "null", "{}{}", '{"user_id":5}', '{"timestamp":"soon"}', '{"command":"end"}'],
)
def test_what_is_no_message_is_422(deployment: MemoryDeployment, http: TestClient, session_id: str, body: str) -> None:
    """Commands are none: they have routes of their own."""
    for path in (f"/v1/sessions/{session_id}/messages", "/v1/messages"):
        answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
        assert code(answer) == (422, "invalid_request"), (path, answer.text)
    assert not sent(deployment)


@pytest.mark.parametrize("body", [{"messages": [{"text": "a"}, {"text": "b"}]}, {"messages": []}, [{"text": "a"}]])
def test_a_list_is_no_message(deployment: MemoryDeployment, http: TestClient, session_id: str, body: object) -> None:
    """The answer says how several are sent; it was taken for one message."""
    for path in (f"/v1/sessions/{session_id}/messages", "/v1/messages"):
        answer = http.post(path, json=body)
        assert code(answer) == (422, "invalid_request"), (path, answer.text)
        assert answer.json()["detail"] == "the body is a list of messages"
        assert "application/x-ndjson" in answer.json()["remedy"]
    assert not sent(deployment)
    http.post(
        f"/v1/sessions/{session_id}/messages", json={"messages": ["a"], "text": "a message may have such a field"}
    )
    assert len(sent(deployment)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"frame_data": "x"},
        {"a": [{"b": {"frame_data": [1, 2]}}]},
        {"audio_payload": "UklGRiQAAABXQVZFZm10IBAAAAABAAEA", "audio_format": "base64"},
        {"note": "data:image/png;base64,iVBORw0KGgo="},
    ],
)
def test_media_stay_out_of_the_log(
    deployment: MemoryDeployment, http: TestClient, session_id: str, fields: dict[str, Any]
) -> None:
    """Wherever they are in the message."""
    for path, body in [(f"/v1/sessions/{session_id}/messages", fields), ("/v1/messages", message("ann", **fields))]:
        assert code(http.post(path, json=body)) == (422, "media_not_allowed")
    assert not sent(deployment)


def test_a_closed_session_takes_no_messages(deployment: MemoryDeployment, http: TestClient, session_id: str) -> None:
    """409; an unknown one is 404."""
    http.post(f"/v1/sessions/{session_id}/end")
    assert code(http.post(f"/v1/sessions/{session_id}/messages", json={})) == (409, "session_closed")
    assert code(http.post("/v1/sessions/sess_0123456789abcdef/messages", json={})) == (404, "session_not_found")
    assert not sent(deployment)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png"])
def test_other_types_are_415(http: TestClient, session_id: str, kind: str) -> None:
    """The answer names those that are taken."""
    answer = http.post(f"/v1/sessions/{session_id}/messages", content="{}", headers={"Content-Type": kind})
    assert code(answer) == (415, "unsupported_media_type")
    assert "application/x-ndjson" in answer.json()["detail"]


def test_messages_as_they_are(deployment: MemoryDeployment, http: TestClient) -> None:
    """Of anybody, with every byte as it came; spaces, order and unknown fields too."""
    values = [json.dumps(message(user, note="☺"), indent=1).encode() for user in ("ann", "ben")]
    for value in values:
        answer = http.post("/v1/messages", content=value, headers={"Content-Type": "application/json"})
        assert answer.json() == {"accepted": 1, "record_ids": [json.loads(value)["record_id"]]}
    assert sorted(sent(deployment)) == sorted(values)
    lines = [json.dumps(message(user)).encode() for user in ("ann", "ben")]
    answer = http.post("/v1/messages", content=b"\n".join(lines), headers=NDJSON)
    assert answer.json()["accepted"] == 2
    assert answer.headers["A3CP-Position"].count(":p") == 2
    assert sorted(sent(deployment)) == sorted([*values, *lines])


def test_avro_is_taken_as_it_is(deployment: MemoryDeployment, http: TestClient) -> None:
    """In single-object encoding, with the schema that is shipped."""
    fields = {"schema_version": "1.0.1", "record_id": "07e4c9ff-9b8e-4d3e-bc7c-000000000001", "user_id": "ann"}
    value = single_object("A3CPMessage", {**fields, "timestamp": START_MS, "source": "camera"})
    answer = http.post("/v1/messages", content=value, headers={"Content-Type": "application/octet-stream"})
    assert answer.json() == {"accepted": 1, "record_ids": [fields["record_id"]]}, answer.text
    assert sent(deployment) == [value]


@pytest.mark.parametrize(
    "body",
    [b"\xc3\x01" + bytes(8) + b"x", b"\0\0\0\0\x07x", avro_header(0x1234567890ABCDEF) + b"x", b"\xff\xd8\xff\xe0JFIF"],
)
def test_avro_that_cannot_be_read_is_422(deployment: MemoryDeployment, http: TestClient, body: bytes) -> None:
    """An unknown schema, one of a registry that there is not, and what is no Avro at all."""
    answer = http.post("/v1/messages", content=body, headers={"Content-Type": "application/octet-stream"})
    assert code(answer) == (422, "invalid_request")
    assert not sent(deployment)


@pytest.mark.parametrize("user_id", ["", " ann", "ann@example.org"])
def test_who_may_not_be_in_the_log_is_422(deployment: MemoryDeployment, http: TestClient, user_id: str) -> None:
    """No blank ids, none that look like another, no e-mail addresses."""
    assert code(http.post("/v1/messages", json=message(user_id))) == (422, "invalid_request")
    assert not sent(deployment)


def test_what_is_too_large_is_413(http: TestClient, session_id: str) -> None:
    """The body, and one message in it."""
    large = http.post(f"/v1/sessions/{session_id}/messages", json={"content": "word " * 202_000})
    assert code(large) == (413, "too_large")
    larger = http.post(f"/v1/sessions/{session_id}/messages", json={"content": "x" * (1 << 20)})
    assert code(larger) == (413, "too_large")


def test_without_kafka_messages_are_503(deployment: MemoryDeployment, http: TestClient, session_id: str) -> None:
    """With Retry-After."""
    deployment.broker_is_away = True
    answer = http.post(f"/v1/sessions/{session_id}/messages", json={})
    assert code(answer) == (503, "broker_unavailable")
    assert answer.headers["Retry-After"] == "1"


def test_a_token_sends_for_its_own_users(deployment: MemoryDeployment, http: TestClient, session_id: str) -> None:
    """Lanes among them; a reviewer sends none."""
    lane_id = lane(deployment, session_id)
    as_caller(http, Caller("x", "producer", ("ann",)))
    assert http.post("/v1/messages", json=message("ann")).status_code == 202
    assert http.post("/v1/messages", json=message(lane_id)).status_code == 202
    assert code(http.post("/v1/messages", json=message("ben"))) == (403, "forbidden")
    as_caller(http, Caller("x", "reviewer", ("ann",)))
    assert code(http.post("/v1/messages", json=message("ann"))) == (403, "forbidden")
    assert code(http.post(f"/v1/sessions/{session_id}/messages", json={})) == (403, "forbidden")
