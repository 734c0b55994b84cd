"""What tests of sockets share: a client of `/ws`, and what it is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

V1 = ["a3cp.v1"]


class Client:
    """A client of one socket."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self.socket = socket
        self.protocol: Any = socket.accepted_subprotocol
        self.created: dict[str, Any] = self.next("session_created")
        self.position: str = self.created["position"]

    @property
    def session_id(self) -> str:
        return str(self.created["sessionId"])

    def frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = self.socket.receive_json()
        payload = frame["payload"]
        if isinstance(payload, dict) and frame["type"] in ("tagged", "event", "message"):
            self.position = payload["position"]
        return frame

    def next(self, kind: str) -> Any:
        """The payload of the next frame of a kind; others are passed over."""
        while (frame := self.frame())["type"] != kind:
            assert frame["type"] != "error", frame
        return frame["payload"]

    def error(self) -> dict[str, Any]:
        while (frame := self.frame())["type"] != "error":
            pass
        return frame

    def send(self, **frame: Any) -> None:
        self.socket.send_json(frame)

    def say(self, payload: Any = None, *, command: str = "say", **more: Any) -> None:
        self.send(**{"sessionId": self.session_id, "command": command, "payload": payload, **more})

    def closed(self) -> WebSocketDisconnect:
        """How the socket is closed; frames before that are passed over."""
        try:
            while True:
                self.socket.receive_json()
        except WebSocketDisconnect as closed:
            return closed

    def ping(self) -> None:
        """Wait until all that was sent before was taken."""
        self.send(type="ping")
        self.next("pong")

    @property
    def way_back(self) -> dict[str, Any]:
        """What a client that comes back asks with."""
        return {
            "session_id": self.session_id,
            "resume_token": self.created["resumeToken"],
            "after": self.position,
        }


def url_of(**asked: str) -> str:
    return f"ws://127.0.0.1/ws?{urlencode(asked)}"


@contextmanager
def client_of(
    http: TestClient,
    *,
    protocols: list[str] | None = V1,
    headers: dict[str, str] | None = None,
    **asked: str,
) -> Iterator[Client]:
    """A socket, closed at the end unless it was."""
    with http.websocket_connect(url_of(**asked), subprotocols=protocols, headers=dict(headers or {})) as socket:
        yield Client(socket)


def turned_away(http: TestClient, headers: dict[str, str] | None = None, **asked: str) -> tuple[int, dict[str, Any]]:
    """The code with which a socket is closed before it has a session, and the frame before that."""
    with http.websocket_connect(url_of(**asked), subprotocols=V1, headers=dict(headers or {})) as socket:
        frame: dict[str, Any] = socket.receive_json()
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        return closed.value.code, frame
