"""A server on loopback that answers as a test says, and a schema registry on it."""

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator

from tests.strategies import SCHEMA_TEXTS


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers as the server's `answer` says; `body` is what came with the question."""

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.answer(self)  # type: ignore[attr-defined]

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def give(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, content: bytes) -> None:
        """Send a byte every tenth of a second, until nobody reads any more."""
        try:
            for byte in content:
                self.wfile.write(bytes((byte,)))
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            self.server.left.set()  # type: ignore[attr-defined]


class Server(http.server.ThreadingHTTPServer):
    """On loopback, with a port of its own."""

    daemon_threads = True
    answer: Callable[[Answering], None]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.left = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that went."""


@contextlib.contextmanager
def serving(answer: Callable[[Answering], None] | None = None) -> Iterator[Server]:
    """Run a server until the test is over; without `answer` the test says later how it answers."""
    with Server() as running:
        if answer is not None:
            running.answer = answer
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


class Registering:
    """A registry that keeps what is registered; it fails on the ids in `fails`, and drips for those in `drips`."""

    def __init__(self, *raw: int) -> None:
        """`raw`: ids of the schema that we ship for messages."""
        self._raw = raw
        self.texts = dict.fromkeys(raw, SCHEMA_TEXTS["A3CPMessage"])
        self.fails: set[int] = set()
        self.drips: set[int] = set()

    def tagged_id(self, raw_id: int) -> int:
        """Return the id of the tagged form of what was written with `raw_id`."""
        names = {number: json.loads(text) for number, text in self.texts.items()}
        return next(number for number, schema in names.items() if raw_id in schema.values())

    def __call__(self, asked: Answering) -> None:
        if asked.command == "POST":
            asked.give(200, json.dumps({"id": self._id_of(json.loads(asked.body)["schema"])}).encode())
            return
        number = int(asked.path.rpartition("/")[2])
        fine = json.dumps({"schema": self.texts[number]}).encode()
        if number in self.fails:
            asked.give(500)
        elif number in self.drips:
            asked.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(fine))
            asked.drip(fine)
        else:
            asked.give(200, fine)

    def _id_of(self, text: str) -> int:
        """Return the id under which `text` is registered, from now on at least."""
        known = [number for number, each in self.texts.items() if number not in self._raw and each == text]
        number = known[0] if known else 100 + len(self.texts)
        self.texts[number] = text
        return number


def always(status: int, body: bytes = b"", **headers: str) -> Callable[[Answering], None]:
    return lambda asked: asked.give(status, body, **headers)
