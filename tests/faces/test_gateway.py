"""Sockets: what a client says, and what it is told."""

import json
import uuid
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from processor.faces.gateway import records
from processor.faces.gateway.taking import Taking
from processor.in_memory import MemoryDeployment
from tests.faces.gateway_stage import client_of, turned_away, url_of
from tests.faces.stage import kinds

WORDS = {"type": "error", "payload": "Invalid or expired session."}


def raw(deployment: MemoryDeployment) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for value in deployment.broker.values("raw")]


def test_the_documents_own_frames(http: TestClient, deployment: MemoryDeployment) -> None:
    """Without a subprotocol: the first frame, a message that the log has, and nothing more but the error."""
    with client_of(http, protocols=None) as client:
        assert client.protocol is None
        assert (client.created["sessionId"], client.created["resumed"]) == (client.session_id, False)
        client.say({"text": "hello"}, command="greet")
        client.send(sessionId="sess_none", command="greet", payload=1)
        assert client.frame() == WORDS
        assert client.closed().code == 4404
    start, message, *_ = raw(deployment)
    assert (start["command"], start["template"], start["owner"]) == ("start", "gateway", "human_reviewer_1")
    assert message["payload"] == {"command": "greet", "payload": {"text": "hello"}}
    assert "command" not in message
    assert (message["session_id"], message["source"]) == (client.session_id, "gateway")
    tagged = json.loads(deployment.broker.values("tagged")[0] or b"")
    assert (tagged["session_id"], tagged["session_seq"], tagged["session_flags"]) == (client.session_id, 1, [])


def test_each_socket_has_a_session_of_its_own(http: TestClient, deployment: MemoryDeployment) -> None:
    """Two sockets of one person have two open sessions, and the one may speak to the other's."""
    with client_of(http) as one, client_of(http) as two:
        assert one.session_id != two.session_id
        one.say(1, sessionId=two.session_id, ackId=1)
        assert one.next("tagged")["sessionId"] == two.session_id
        open_sessions = http.get("/v1/sessions", params={"user_id": "human_reviewer_1", "status": "open"}).json()
        assert {each["session_id"] for each in open_sessions["sessions"]} == {one.session_id, two.session_id}


def test_acknowledged_and_tagged(http: TestClient) -> None:
    """A frame with `ackId` is acknowledged with its record's id, which derives from the session and `ackId`."""
    with client_of(http) as client:
        assert client.protocol == "a3cp.v1"
        for ack_id in (7, "seven"):
            client.say({"text": "hi"}, ackId=ack_id)
            frames = {frame["type"]: frame["payload"] for frame in (client.frame(), client.frame())}
            namespace = uuid.UUID(bytes=records._NAMESPACE)
            name = client.session_id + "\0" + json.dumps(ack_id)
            record_id = str(uuid.uuid5(namespace, name))
            assert frames["ack"]["recordId"] == frames["tagged"]["recordId"] == record_id
            assert frames["ack"]["ackId"] == frames["tagged"]["ackId"] == ack_id
            assert "duplicate" not in frames["ack"]
        assert (frames["tagged"]["seq"], frames["tagged"]["flags"]) == (2, [])


def test_what_is_sent_again_is_not_said_again(http: TestClient, deployment: MemoryDeployment) -> None:
    """A frame that comes again is acknowledged as a duplicate; the log has it once."""
    with client_of(http) as client:
        client.say(1, ackId=1)
        client.next("ack")
        client.say(1, ackId=1)
        assert client.next("ack")["duplicate"] is True
    assert len(deployment.broker.values("tagged")) == 1


@pytest.mark.parametrize("frame", [
    {"command": "say"}, {"sessionId": 7, "command": "say"}, {"sessionId": None, "command": "say"},
    {"sessionId": "sess_20250615_150640_" + "0" * 32, "command": "say"}, {"sessionId": "x\0", "command": "say"}, {},
])  # fmt: skip
def test_no_session(http: TestClient, frame: dict[str, Any]) -> None:
    """Without the id of an open session of one's own: the document's words, then 4404."""
    with client_of(http) as client:
        client.send(**frame)
        assert client.frame() == WORDS
        closed = client.closed()
        assert (closed.code, closed.reason) == (4404, WORDS["payload"])


def test_an_expired_session(http: TestClient, deployment: MemoryDeployment) -> None:
    """After an hour of silence the session is over: its client is told so, and what it says then is refused."""
    with client_of(http) as client:
        client.say(1, ackId=1)
        client.next("tagged")
        deployment.advance(3_600_001 + deployment.settings.quiet_ms)
        assert client.next("session_ended") == {
            "sessionId": client.session_id,
            "reason": "timeout",
            "endTime": 1_750_000_000_000,
        }
        client.say(2)
        assert client.error() == WORDS
        assert client.closed().code == 4404


@pytest.mark.parametrize("text", ["", "no", "[]", "7", '{"command":', '"\\ud800', "{" * 100_000])
def test_no_frame(http: TestClient, text: str) -> None:
    """What is no JSON object is told so, and closes the socket with 4400."""
    with client_of(http) as client:
        client.socket.send_text(text)
        assert client.error()["code"] == "invalid_request"
        assert client.closed().code == 4400


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"payload": {"x": NaN}}',
            "it has NaN, which is no JSON, at byte 18; send null instead, or leave the field out",
        ),
        ('{"payload": "\\ud800"}', "it holds half a character (one surrogate of a pair) at byte 13"),
        ("{'command': 1}", "text stands in single quotes at byte 1"),
        ('{"command":', "it is cut off after 11 bytes"),
        ("{" * 100_000, "levels deep"),
        ("[]", "Expected `object`, got `array`"),
    ],
)
def test_what_is_no_frame_is_told_as_http_tells_it(http: TestClient, text: str, told: str) -> None:
    """What stands where, and what to do."""
    with client_of(http) as client:
        client.socket.send_text(text)
        assert told in client.error()["payload"]


@pytest.mark.parametrize(("frame", "code"), [
    ({"command": 7}, "invalid_request"),
    ({"command": ""}, "invalid_request"),
    ({"timestamp": "soon"}, "invalid_request"),
    ({"timestamp": 1.5}, "invalid_request"),
    ({"timestamp": True}, "invalid_request"),
    ({"ackId": True}, "invalid_request"),
    ({"ackId": 1.5}, "invalid_request"),
    ({"ackId": ""}, "invalid_request"),
    ({"ackId": "x" * 65}, "invalid_request"),
    ({"type": "dance"}, "invalid_request"),
    ({"type": 7}, "invalid_request"),
    ({"type": "note"}, "invalid_request"),
    ({"type": "note", "payload": "text"}, "invalid_request"),
    ({"type": "note", "payload": {"text": " "}}, "invalid_request"),
    ({"type": "note", "payload": {"text": "a", "kind": 7}}, "invalid_request"),
    ({"userId": "somebody"}, "user_mismatch"),
    ({"performerId": 7}, "performer_required"),
    ({"performerId": " "}, "performer_required"),
    ({"payload": {"frame_data": "AAAA"}}, "media_not_allowed"),
])  # fmt: skip
def test_a_frame_that_is_refused(http: TestClient, frame: dict[str, Any], code: str) -> None:
    """It is told with its code and `ackId`, and the socket stays."""
    with client_of(http) as client:
        client.socket.send_text(json.dumps({"sessionId": client.session_id, "command": "say", "ackId": 3, **frame}))
        told = client.error()
        assert told["code"] == code
        assert told.get("ackId") == (None if "ackId" in frame else 3)
        client.say(1, ackId=4)
        assert client.next("ack")["ackId"] == 4


def test_what_a_client_asks_for(http: TestClient, deployment: MemoryDeployment) -> None:
    """Pause, resume, touch, note and end are commands: acknowledged, and told as the events that come of them."""
    with client_of(http) as client:
        for kind, told in (("pause", "paused"), ("resume", "resumed"), ("touch", "unchanged")):
            client.send(type=kind, ackId=kind)
            event = client.next("event")
            assert (event["kind"], event["session_id"], event["user_id"]) == (told, client.session_id, client_user)
            assert client.next("ack")["recordId"] == event["command_record_id"]
        client.send(type="touch", ackId="again")  # Within a minute that is known.
        assert client.next("ack")["recordId"] == event["command_record_id"]
        client.send(type="note", payload={"text": "calm", "kind": "mood"}, performerId="carer01")
        note = client.next("event")
        assert (note["session_notes"], note["performer_id"]) == ("calm", "carer01")
        client.send(type="end", ackId="end")
        assert client.next("event")["kind"] == "ended"
        assert client.next("session_ended")["reason"] == "command"
        client.send(type="pause")
        assert client.error() == WORDS
    assert kinds(deployment) == ["started", "paused", "resumed", "unchanged", "note", "ended"]


client_user = "human_reviewer_1"


def test_a_refusal_of_the_log(http: TestClient, deployment: MemoryDeployment) -> None:
    """A command that the log refuses is told when that is known, with its `ackId`."""
    with client_of(http) as client:
        deployment.processor_is_away = True
        client.send(type="end", ackId=1)
        client.send(type="pause", ackId=2)
        assert [client.next("ack")["ackId"] for _ in "12"] == [1, 2]
        deployment.processor_is_away = False
        told = client.error()
        assert (told["code"], told["ackId"]) == ("session_closed", 2)


def test_the_sessions_context_goes_with_what_is_said(http: TestClient, deployment: MemoryDeployment) -> None:
    """What was told as the session's context is in each later message, also after another socket went on with it."""
    with client_of(http, protocols=None) as client:
        http.post(f"/v1/sessions/{client.session_id}/context", json={"room": "blue", "guests": 1})
        http.post(f"/v1/sessions/{client.session_id}/context", json={"guests": 2})
        client.say(1)
        with client_of(http, protocols=None, **client.way_back) as back:
            back.say(2)
            back.send(sessionId="over", command="")
            back.closed()
    said = [record for record in raw(deployment) if "payload" in record]
    assert [each["context"] for each in said] == [{"room": "blue", "guests": 2}] * 2


def test_what_others_say(http: TestClient) -> None:
    """Who subscribes is told all messages of the session, with their own fields."""
    with client_of(http) as client:
        path = f"/v1/sessions/{client.session_id}/messages"
        http.post(path, json={"source": "ui", "text": "unheard"})
        client.send(type="subscribe", ackId=1)
        client.next("ack")
        http.post(path, json={"source": "ui", "text": "heard"})
        message = client.next("message")
        assert (message["text"], message["session_seq"], message["user_id"]) == ("heard", 2, client_user)
        client.say(1, ackId=2)
        assert client.next("tagged")["seq"] == 3


def test_who_sent_a_message_of_another_session_is_told_of_it(http: TestClient) -> None:
    """Of a time before the session began: it is tagged, and somebody waits to know how."""
    with client_of(http) as client:
        client.say(1, ackId=1, timestamp="2020-01-01T00:00:00Z")
        tagged = client.next("tagged")
        assert (tagged["ackId"], tagged["seq"], tagged["flags"]) == (1, 1, ["late", "session_mismatch"])
        assert tagged["sessionId"].startswith("sess_20200101_")
        client.say(2, ackId=2)
        assert client.next("tagged")["sessionId"] == client.session_id


def test_a_time_that_the_client_tells(http: TestClient, deployment: MemoryDeployment) -> None:
    """A frame's `timestamp` is the message's, as ms or as text: what is sent again has the same bytes anywhere."""
    with client_of(http) as client:
        client.say(1, timestamp=1_750_000_000_123)
        client.say(2, timestamp="2025-06-15T15:06:40.124Z")
        client.ping()
    times = [record["timestamp"] for record in raw(deployment) if "payload" in record]
    assert times == ["2025-06-15T15:06:40.123Z", "2025-06-15T15:06:40.124Z"]


def test_too_many_sessions(http: TestClient) -> None:
    """One socket speaks to 16 sessions at most."""
    with client_of(http) as client:
        for _ in range(16):
            other = http.post("/v1/sessions", json={"user_id": client_user}).json()["session_id"]
            client.say(1, sessionId=other)
        assert client.error()["code"] == "rate_limited"
        client.ping()


def test_a_page_of_another_site(http: TestClient) -> None:
    """A page of another origin gets no socket; nor does a request whose host is another one."""
    for url, headers in ((url_of(), {"Origin": "https://elsewhere.example"}), ("ws://elsewhere.example/ws", {})):
        with pytest.raises(WebSocketDenialResponse) as denied, http.websocket_connect(url, headers=headers):
            pass
        assert denied.value.status_code == 403
    with client_of(http, headers={"Origin": "http://127.0.0.1"}):
        pass


def test_too_many_sockets(http: TestClient, deployment: MemoryDeployment) -> None:
    """A user has so many sockets on one process and no more: 4429."""
    object.__setattr__(deployment.settings, "ws_sockets_per_user_max", 1)
    with client_of(http):
        code, frame = turned_away(http)
        assert (code, frame["code"]) == (4429, "rate_limited")
        with client_of(http, user_id="ann"):
            pass
    with client_of(http):
        pass


@pytest.mark.parametrize("user_id", ["", " ann", "ann~0123abcd", "ann@example.com", "x" * 248])
def test_no_user(http: TestClient, user_id: str) -> None:
    """What cannot be a user's id is told so: 4400."""
    code, frame = turned_away(http, user_id=user_id)
    assert (code, frame["code"]) == (4400, "invalid_request")


def test_the_users_own_name(http: TestClient, deployment: MemoryDeployment) -> None:
    """`user_id` says whose session it is."""
    with client_of(http, user_id="ann") as client:
        assert http.get(f"/v1/sessions/{client.session_id}").json()["user_id"] == "ann"


def test_binary_frames(http: TestClient) -> None:
    """JSON in a binary frame is JSON."""
    with client_of(http) as client:
        client.socket.send_json({"type": "ping", "ackId": 1}, mode="binary")
        assert client.next("pong") == {"ackId": 1}


def test_kafka_is_away(http: TestClient, deployment: MemoryDeployment) -> None:
    """Without an outbox a frame that the log does not get is told so, and the socket is closed: come back (1013)."""
    with client_of(http) as client:
        deployment.broker_is_away = True
        client.say(1, ackId=1)
        assert client.error()["code"] == "broker_unavailable"
        assert client.closed().code == 1013
    assert turned_away(http)[0] == 1013


@pytest.mark.parametrize("payload", [
    "1e999", "9" * 400, "[" * 900 + "]" * 900, '{"a":1,"a":2}', '"\\u0000"', "-0.0", '{"user_id":"x","session_id":7}',
    '{"command":"end"}', '"\\ud83d\\ude00"', '{"a":{"b":[null,true,1.5]}}', '{"ackId":[1]}', "null", "NaN", '"\\ud800"',
])  # fmt: skip
def test_odd_payloads(http: TestClient, deployment: MemoryDeployment, payload: str) -> None:
    """Whatever is said is tagged as it is, or refused; none of it becomes a dead letter."""
    with client_of(http) as client:
        frame = f'{{"sessionId":"{client.session_id}","command":"say","ackId":1,"payload":{payload}}}'
        client.socket.send_text(frame)
        told = client.frame()
        while told["type"] == "ack":
            told = client.frame()
        if told["type"] == "tagged":
            assert f'"payload":{payload},'.encode() in (deployment.broker.values("tagged")[0] or b"")
        else:
            assert told["code"] == "invalid_request"
            assert deployment.broker.values("tagged") == []
    assert deployment.broker.values("dlq") == []


def test_what_nobody_foresaw(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the service closes the socket with 1011, and no other one."""

    async def fails(*_: Any) -> None:
        raise RuntimeError("a fault")

    with client_of(http) as client, client_of(http) as other:
        with monkeypatch.context() as patch:
            patch.setattr(Taking, "take", fails)
            client.say(1)
            assert client.closed().code == 1011
        other.ping()
