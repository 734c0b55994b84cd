"""Sockets whose client goes and comes back: what it has missed, what ends its session, and what does not."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.gateway import opening
from processor.faces.gateway.tokens import resume_token
from processor.faces.requests.finding import caught_up
from processor.in_memory import MemoryDeployment
from processor.settings.model import Settings
from tests.faces.gateway_stage import V1, Client, client_of, turned_away
from tests.faces.stage import http_of
from tests.patience import until

WORDS = {"type": "error", "payload": "Invalid or expired session."}
LOST = 1006


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[MemoryDeployment]:
    """One whose grace is short."""
    settings = Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", ws_grace_ms=1_000)
    with MemoryDeployment(tmp_path, settings=settings) as deployment:
        yield deployment


def events_of(http: TestClient, session_id: str) -> list[tuple[str, Any]]:
    events = http.get(f"/v1/sessions/{session_id}/events").json()["events"]
    return [(each["kind"], each.get("details", {}).get("status")) for each in events]


def is_over(http: TestClient, session_id: str) -> bool:
    return bool(http.get(f"/v1/sessions/{session_id}").json()["status"] == "closed")


def lost(client: Client) -> None:
    """Break the line of a client."""
    client.socket.send({"type": "websocket.disconnect", "code": LOST})


@pytest.mark.parametrize("code", [1000, 1001, 1005])
def test_a_clean_close_ends_the_session(http: TestClient, code: int) -> None:
    """After a close frame the log has that the client has gone, and after the grace the end."""
    with client_of(http) as client:
        client.socket.close(code)
        until(lambda: is_over(http, client.session_id))
        assert events_of(http, client.session_id) == [
            ("started", None),
            ("status", "disconnected"),
            ("ended", None),
        ]


def test_without_grace_it_ends_at_once(tmp_path: Path) -> None:
    """With a grace of 0 nothing comes before the end: as the document has it."""
    settings = Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", ws_grace_ms=0)
    with MemoryDeployment(tmp_path, settings=settings) as deployment, http_of(deployment) as http:
        with client_of(http, protocols=None) as client:
            client.say(1)
            client.socket.close()
            until(lambda: is_over(http, client.session_id))
        assert events_of(http, client.session_id) == [("started", None), ("ended", None)]


def test_a_close_for_good_ends_the_session(http: TestClient) -> None:
    """After a message for an invalid session the socket's own ends too, as the document's handler has it."""
    with client_of(http) as client:
        client.say(1, sessionId="none")
        assert client.closed().code == 4404
        until(lambda: is_over(http, client.session_id))


def test_a_broken_line_ends_nothing(http: TestClient) -> None:
    """Without a close frame the session stays as it is: its gap ends it."""
    with client_of(http) as client:
        lost(client)
        with client_of(http) as other:
            other.socket.close()
            until(lambda: is_over(http, other.session_id))
        assert events_of(http, client.session_id) == [("started", None)]


def test_who_comes_back_in_time_goes_on(http: TestClient, deployment: MemoryDeployment) -> None:
    """Within the grace: the session goes on, on any replica, and its end is not sent."""
    object.__setattr__(deployment.settings, "ws_grace_ms", 4_000)
    with http_of(deployment.replica()) as elsewhere, client_of(http) as client:
        client.say(1, ackId=1)
        client.next("tagged")
        client.socket.close()
        until(lambda: ("status", "disconnected") in events_of(http, client.session_id))
        with client_of(elsewhere, **client.way_back) as back:
            assert (back.created["resumed"], back.created["complete"]) == (True, True)
            assert back.session_id == client.session_id
            time.sleep(1 + deployment.settings.ws_grace_ms / 1000)  # The end would have come by now.
            back.say(2, ackId=2)
            assert back.next("tagged")["seq"] == 2
            assert not is_over(http, client.session_id)


def test_what_was_missed_comes_first(http: TestClient, deployment: MemoryDeployment) -> None:
    """What came behind the client's position is told before anything new, in the log's order, each once."""
    with client_of(http) as client:
        client.say("a", ackId=1)
        client.next("tagged")
        way_back = client.way_back
        lost(client)
    http.post(f"/v1/sessions/{client.session_id}/notes", json={"text": "meanwhile"})
    deployment.export()
    http.post(f"/v1/sessions/{client.session_id}/pause")
    with http_of(deployment.restarted()) as elsewhere, client_of(elsewhere, **way_back) as back:
        assert back.created["position"] == way_back["after"]
        back.say("b", ackId=2)
        told = [back.frame() for _ in range(4)]
        kinds = [frame["payload"].get("kind") for frame in told if frame["type"] == "event"]
        assert kinds == ["note", "paused", "status"]
        assert back.position != way_back["after"]


def test_what_was_said_before_is_not_said_again(http: TestClient, deployment: MemoryDeployment) -> None:
    """A frame whose acknowledgement was lost is sent again on another replica: the log has it once."""
    with client_of(http) as client:
        way_back = client.way_back
        client.say("a", ackId=1)
        client.ping()
        lost(client)
    with http_of(deployment.restarted()) as elsewhere, client_of(elsewhere, **way_back) as back:
        assert (back.next("tagged")["ackId"], back.next("event")["kind"]) == (1, "status")
        back.say("a", ackId=1)
        back.say("b", ackId=2)
        acks = [back.next("ack"), back.next("ack")]
        assert [(ack["ackId"], ack.get("duplicate", False)) for ack in acks] == [(1, True), (2, False)]
    assert len(deployment.broker.values("tagged")) == 2


def test_who_subscribes_misses_no_message(http: TestClient, deployment: MemoryDeployment) -> None:
    """With `subscribe=1` what others said meanwhile is told too, before anything new."""
    with client_of(http, subscribe="1") as client:
        path = f"/v1/sessions/{client.session_id}/messages"
        http.post(path, json={"source": "ui", "text": "first"})
        assert client.next("message")["text"] == "first"
        way_back = {**client.way_back, "subscribe": "1"}
        lost(client)
    http.post(path, json={"source": "ui", "text": "second"})
    with client_of(http, **way_back) as back:
        http.post(path, json={"source": "ui", "text": "third"})
        assert [back.next("message")["text"] for _ in "23"] == ["second", "third"]


def test_an_earlier_socket_gives_way(http: TestClient, deployment: MemoryDeployment) -> None:
    """Of two sockets of one session the later one counts; the other is told so (4409), and ends nothing."""
    replica = deployment.replica()
    with client_of(http) as client, http_of(replica) as elsewhere:
        with client_of(elsewhere, **client.way_back) as back:
            closed = client.closed()
            assert closed.code == 4409
            back.say(1, ackId=1)
            assert back.next("ack")["ackId"] == 1
        time.sleep(0.1)


def tell(deployment: MemoryDeployment, session_id: str, word: str) -> None:
    """Tell the log what another replica would."""
    user_id = deployment.view.memory.user_of(session_id) or ""
    command = deployment.sender.command(user_id, "status", session_id=session_id, performer_id="system", status=word)
    deployment.sender.send(command, lambda _: None)


def test_a_late_word_of_the_replica_that_was_left(http: TestClient, deployment: MemoryDeployment) -> None:
    """If it tells only after the client has come back that it has gone, it is contradicted, and ends nothing."""
    with client_of(http) as client:
        lost(client)
    with client_of(http, **client.way_back) as back:
        back.ping()
        tell(deployment, back.session_id, "disconnected")
        until(lambda: len(events_of(http, back.session_id)) == 4)
        assert [word for _, word in events_of(http, back.session_id)] == [
            None,
            "connected",
            "disconnected",
            "connected",
        ]
        back.say(1, ackId=1)
        assert back.next("tagged")["seq"] == 1


def test_two_that_come_back_at_once(
    http: TestClient, deployment: MemoryDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that the log has last goes on; the other sees that in what it has missed."""

    async def another_comes(context: Any) -> bool:
        tell(deployment, client.session_id, "connected")
        return await caught_up(context)

    monkeypatch.setattr(opening, "caught_up", another_comes)
    with client_of(http) as client:
        lost(client)
    with client_of(http, **client.way_back) as back:
        assert back.closed().code == 4409


def test_a_session_that_ended_meanwhile(http: TestClient) -> None:
    """Its client is told what it has missed, then that it is over; without the subprotocol only the latter."""
    with client_of(http) as client:
        way_back = client.way_back
        lost(client)
    http.post(f"/v1/sessions/{client.session_id}/end")
    with client_of(http, **way_back) as back:
        assert back.next("session_ended")["reason"] == "command"
        assert back.frame() == WORDS
        assert back.closed().code == 4404
    with http.websocket_connect(
        f"ws://127.0.0.1/ws?session_id={client.session_id}&resume_token={way_back['resume_token']}"
    ) as socket:
        assert socket.receive_json() == WORDS


def test_only_its_own_token_opens_a_session(http: TestClient, deployment: MemoryDeployment) -> None:
    """An id alone opens nothing, nor does a token of another session, or one that is too old."""
    with client_of(http) as one, client_of(http) as two:
        now_ms = deployment.clock.now_ms()
        old = resume_token(client_user, one.session_id, now_ms, deployment.site_key)
        for token in ("", "x", "1.2", two.created["resumeToken"], old, one.created["resumeToken"] + "0"):
            code, frame = turned_away(http, session_id=one.session_id, resume_token=token)
            assert (code, frame) == (4404, WORDS)
        assert turned_away(http, session_id="sess_none", resume_token=one.created["resumeToken"]) == (4404, WORDS)


def test_a_misspelt_parameter_begins_no_new_session(http: TestClient) -> None:
    """A client that comes back with it would go on in another session, and would not know."""
    with client_of(http) as one:
        code, frame = turned_away(http, sessionId=one.session_id, resume_token=one.created["resumeToken"])
    assert code == 4400
    assert frame["payload"] == (
        "the URL takes user_id, session_id, resume_token, after, subscribe and no other parameter"
    )
    with http.websocket_connect("ws://127.0.0.1/ws?after=1&after=2", subprotocols=V1) as socket:
        assert socket.receive_json()["payload"] == "a parameter of the URL is there twice"


client_user = "human_reviewer_1"


@pytest.mark.parametrize("is_far", ["s{far}.t1", "s1.t{far}"])
def test_a_position_beyond_the_end(http: TestClient, deployment: MemoryDeployment, is_far: str) -> None:
    """After a restored backup a client may know more than the log has: it is told all, and then what is new."""
    with client_of(http) as client:
        client.say(1, ackId=1)
        client.next("tagged")
        lost(client)
    cluster, partition, _ = client.way_back["after"].split(":")
    after = ":".join((cluster, partition, is_far.format(far=99_999_999_999)))
    with client_of(http, **{**client.way_back, "after": after}) as back:
        assert [back.frame()["type"] for _ in range(3)] == ["event", "tagged", "event"]
        back.say(2, ackId=2)
        assert back.next("tagged")["ackId"] == 2


@pytest.mark.parametrize("after", ["000000:p0:s1.t1", ""])
def test_a_position_of_another_cluster(http: TestClient, after: str) -> None:
    """Who cannot say where it was is told all of the session."""
    with client_of(http) as client:
        client.say(1, ackId=1)
        client.next("tagged")
        lost(client)
    with client_of(http, **{**client.way_back, "after": after}) as back:
        assert [back.frame()["type"] for _ in range(3)] == ["event", "tagged", "event"]


def test_a_position_that_is_none(http: TestClient) -> None:
    """It is told so: 4400."""
    with client_of(http) as client:
        code, frame = turned_away(http, **{**client.way_back, "after": "yesterday"})
        assert (code, frame["code"]) == (4400, "invalid_request")


def test_kafka_is_away_and_there_is_an_outbox(tmp_path: Path) -> None:
    """A session begins, and what is said is acknowledged as kept; once Kafka is back, the log has it all."""
    settings = Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", outbox=str(tmp_path / "outbox.db"))
    with MemoryDeployment(tmp_path, settings=settings) as deployment, http_of(deployment) as http:
        deployment.broker_is_away = True
        with client_of(http) as client:
            client.say(1, ackId=1)
            assert client.next("ack")["backend"] == "fallback"
            deployment.broker_is_away = False
            tagged = client.next("tagged")
            assert (tagged["ackId"], tagged["seq"], tagged["sessionId"]) == (1, 1, client.session_id)
    assert threading.active_count() < 20
