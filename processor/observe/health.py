"""Whether a worker or an exporter lives and is ready, and the small server that says so: /livez, /readyz, /metrics.

Not alive means: restart it. Not ready means: it gets nothing done at the moment, and knows why; a restart would not
help.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from processor.errors import UsageError

_REQUEST_TIMEOUT_S: Final = 5.0
_STOP_POLL_S: Final = 0.05


class Health:
    """What a worker says of itself, or an exporter; told by its thread, asked by the server's."""

    def __init__(self, live_s: float = 30.0, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """`live_s`: after how long without a turn of its loop it counts as hung."""
        assert live_s > 0
        self._live_s = live_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._beat_s = monotonic_s()
        self._joined = False
        self._restoring: set[int] = set()
        self._away: str | None = None
        self._stuck: dict[int, str] = {}
        self._waiting: dict[tuple[int, str], str] = {}
        self._warnings: dict[tuple[int, str], str] = {}

    def beat(self) -> None:
        """Say that the loop took a turn."""
        self._beat_s = self._monotonic_s()

    def assigned(self, partitions: Iterable[int]) -> None:
        """Say that `partitions` were assigned and are being restored; none at all is an assignment too."""
        with self._lock:
            self._joined = True
            self._restoring |= set(partitions)

    def restored(self, partition: int) -> None:
        """Say that `partition` is restored, so that its records are tagged."""
        with self._lock:
            self._restoring.discard(partition)

    def revoked(self, partitions: Iterable[int]) -> None:
        """Say that `partitions` belong to others now."""
        with self._lock:
            for partition in partitions:
                self._restoring.discard(partition)
                self._stuck.pop(partition, None)
                for told in (self._waiting, self._warnings):
                    for place in [place for place in told if place[0] == partition]:
                        del told[place]

    def waiting(self, partition: int, cause: str, why: str | None) -> None:
        """Say that `partition` stands still for a `cause` that no restart mends, and why; None when it goes on."""
        with self._lock:
            if why is None:
                self._waiting.pop((partition, cause), None)
            else:
                self._waiting[partition, cause] = why

    def warn(self, partition: int, about: str, why: str) -> None:
        """Say that somebody must look at `partition`, though it goes on."""
        with self._lock:
            self._warnings[partition, about] = why

    def warnings(self) -> list[str]:
        """Return what somebody must look at."""
        with self._lock:
            return [self._warnings[place] for place in sorted(self._warnings)]

    def away(self, why: str | None) -> None:
        """Say that what it needs does not answer, and what that is; None when all of it does."""
        self._away = why

    def stuck(self, partition: int, position: str, why: str) -> None:
        """Say that `partition` does not move on from `position`."""
        with self._lock:
            self._stuck[partition] = f"stuck at {position}: {why}"

    def unstuck(self, partition: int) -> None:
        """Say that `partition` moves on again."""
        if self._stuck:
            with self._lock:
                self._stuck.pop(partition, None)

    def not_alive(self) -> list[str]:
        """Return why the worker should be restarted; nothing when it lives."""
        reasons = []
        still_s = self._monotonic_s() - self._beat_s
        if still_s > self._live_s:
            reasons.append(f"the loop has not turned for {still_s:.0f} s, at most {self._live_s:.0f} s are allowed")
        if self._away is None:  # Without a broker, say, nothing moves, and no restart helps.
            with self._lock:
                reasons += [self._stuck[partition] for partition in sorted(self._stuck)]
        return reasons

    def not_ready(self) -> list[str]:
        """Return why it gets nothing done at the moment; nothing when it does."""
        reasons = self.not_alive()
        if self._away is not None:
            reasons.append(self._away)
        with self._lock:
            if not self._joined:
                reasons.append("waiting to be assigned partitions")
            if self._restoring:
                reasons.append(f"restoring partitions {', '.join(map(str, sorted(self._restoring)))}")
            reasons += [self._waiting[place] for place in sorted(self._waiting)]
        return reasons


class HealthServer:
    """Serves /livez, /readyz and /metrics in threads of its own, from `start` to `close`; a context manager too."""

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        """Listen on `host` and `port`; port 0 takes any that is free.

        Raises:
            UsageError: it cannot listen there.
        """
        try:
            self._server = _Server(host, port, health, registry)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot serve metrics on {host}:{port}: {getattr(error, 'strerror', None) or error}",
                remedy="take another port (A3CP_METRICS_PORT, for an export --metrics-port; 0 for none), or set "
                "A3CP_METRICS_HOST to an address of this host",
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_STOP_POLL_S,), name="a3cp-health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # A scraper that hangs must not hold up the worker's stop.

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.health = health
        self.registry = registry
        super().__init__((host, port), _Answer)

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name that HTTPServer does, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away in the middle is no fault of ours."""


class _Answer(BaseHTTPRequestHandler):
    server: _Server
    timeout = _REQUEST_TIMEOUT_S
    server_version = "a3cp"
    sys_version = ""
    _JSON: ClassVar = "application/json; charset=utf-8"

    def do_GET(self) -> None:
        match self.path.split("?", 1)[0].rstrip("/"):
            case "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._send(HTTPStatus.OK, kind, encode(self.server.registry))
            case "/livez":
                self._tell(self.server.health.not_alive())
            case "/readyz":
                self._tell(self.server.health.not_ready(), self.server.health.warnings())
            case _:
                self._send(HTTPStatus.NOT_FOUND, self._JSON, b'{"paths": ["/livez", "/readyz", "/metrics"]}\n')

    do_HEAD = do_GET  # noqa: N815

    def _tell(self, reasons: list[str], warnings: list[str] | None = None) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        body = {"status": "failing" if reasons else "ok", "reasons": reasons}
        if warnings:
            body["warnings"] = warnings
        self._send(status, self._JSON, json.dumps(body).encode() + b"\n")

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name.
        """Log nothing: a scrape every few seconds is no news."""
