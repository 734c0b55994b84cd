"""The metrics of one service. No user id, session id or other name from a request is ever a label."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from processor.observe.metrics import say_what_runs

REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
WAIT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CLOSE_CODES: Final = frozenset({
    1000, 1001, 1005, 1006, 1007, 1009, 1011, 1012, 1013, 4008, 4400, 4401, 4403, 4404, 4408, 4409, 4429
})  # fmt: skip


class ServeMetrics:
    """The metrics of one service, on the registry handed in; any thread may feed them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry: Final = registry
        self._requests = Counter(
            "a3cp_http_requests", "Requests answered. The status 0 is a client that went before the answer.",
            ["method", "route", "status"], registry=registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "a3cp_http_request_seconds", "How long a request took, s; of a live stream, how long it was open.",
            ["method", "route"], buckets=REQUEST_SECONDS, registry=registry,
        )  # fmt: skip
        self._in_flight = Gauge(
            "a3cp_http_requests_in_flight", "Requests that are being answered, live streams among them.",
            registry=registry,
        )  # fmt: skip
        self._live = Gauge("a3cp_live_streams", "Live streams that are open.", registry=registry)
        self._sockets = Gauge("a3cp_sockets", "Sockets that are open.", registry=registry)
        self._closed = Counter("a3cp_sockets_closed", "Sockets closed, by code.", ["code"], registry=registry)
        self._frames = Counter(
            "a3cp_socket_frames", "Frames of sockets that were closed: in, from clients, and out.", ["direction"],
            registry=registry,
        )  # fmt: skip
        self._ack_seconds = Histogram(
            "a3cp_socket_ack_seconds", "How long a frame took until the log, or the outbox, had it, s.",
            buckets=WAIT_SECONDS, registry=registry,
        )  # fmt: skip
        self._waits = Gauge("a3cp_outcome_waits", "Commands whose outcome is waited for.", registry=registry)
        self._wait_seconds = Histogram(
            "a3cp_outcome_wait_seconds", "How long the outcome of a command was waited for, s; also in vain.",
            buckets=WAIT_SECONDS, registry=registry,
        )  # fmt: skip
        self._position = Gauge(
            "a3cp_view_position_offset", "Next offset that the view reads.", ["topic", "partition"], registry=registry
        )
        self._lag = Gauge(
            "a3cp_view_lag_offsets", "Offsets from the view's position to the end of the topic.",
            ["topic", "partition"], registry=registry,
        )  # fmt: skip
        say_what_runs(registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request to `route`, a template without ids, that took `seconds`."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def in_flight(self) -> AbstractContextManager[None]:
        """Count a request as long as it is being answered."""
        return self._in_flight.track_inprogress()

    def live_stream(self) -> AbstractContextManager[None]:
        """Count a live stream as long as it is open."""
        return self._live.track_inprogress()

    @contextmanager
    def socket(self) -> Iterator[None]:
        """Count a socket as long as it is open."""
        with self._sockets.track_inprogress():
            yield

    def socket_closed(self, code: int) -> None:
        """Count a socket that was closed with `code`; those that are nobody's are `other`."""
        self._closed.labels(str(code) if code in CLOSE_CODES else "other").inc()

    def frames(self, frames_in: int, frames_out: int) -> None:
        """Count the frames of a socket."""
        self._frames.labels("in").inc(frames_in)
        self._frames.labels("out").inc(frames_out)

    def acknowledged(self, at_s: float) -> None:
        """Time a frame that was taken at `at_s`, by `time.perf_counter`, and that the log has now."""
        self._ack_seconds.observe(time.perf_counter() - at_s)

    @contextmanager
    def outcome_wait(self) -> Iterator[None]:
        """Count and time a wait for the outcome of a command."""
        began_s = time.perf_counter()
        try:
            with self._waits.track_inprogress():
                yield
        finally:
            self._wait_seconds.observe(time.perf_counter() - began_s)

    def view_at(self, topic: str, partition: int, position: int, end: int) -> None:
        """Set where the view is in a partition of `topic`, and where that ends."""
        self._position.labels(topic, str(partition)).set(position)
        self._lag.labels(topic, str(partition)).set(max(0, end - position))
