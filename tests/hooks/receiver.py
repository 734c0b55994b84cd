"""A receiver of webhooks: a real HTTP server which keeps what comes and answers as it is told."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping
from email.message import Message
from typing import Any, NamedTuple, Self

from tests.registry_server import Answering, Server

SECRET = "whsec_" + base64.b64encode(b"a key of twenty-four byt").decode()


class Came(NamedTuple):
    """One request."""

    headers: Message
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Compute the signature anew, with HMAC as RFC 2104 writes it."""
        key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
        key = key.ljust(64, b"\0") if len(key) <= 64 else hashlib.sha256(key).digest().ljust(64, b"\0")
        text = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text).digest()
        outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()
        told = self.headers["webhook-signature"].removeprefix("v1,")
        return hmac.compare_digest(base64.b64decode(told), outer)


class Answers(NamedTuple):
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


def json_answer(value: object) -> Answers:
    return Answers(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


class Receiver:
    """Runs while it is entered; `answer` says what comes of each request."""

    def __init__(self, answer: Callable[[Came], Answers] = lambda _: Answers()) -> None:
        self.came: list[Came] = []
        self.answer = answer
        self._server = Server()
        self._server.answer = self._answer
        self.url = f"{self._server.url}/hook"

    def _answer(self, to: Answering) -> None:
        came = Came(to.headers, to.body)
        self.came.append(came)
        status, body, headers = self.answer(came)
        to.give(status, body, **headers)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
