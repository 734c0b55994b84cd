"""A schema registry on loopback that answers as a test says."""

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator


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
def serving() -> Iterator[Server]:
    """Run a server until the test is over."""
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


def always(status: int, body: bytes = b"", **headers: str) -> Callable[[Answering], None]:
    return lambda asked: asked.give(status, body, **headers)
