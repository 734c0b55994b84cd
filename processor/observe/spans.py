"""Spans of OpenTelemetry: of records that a worker processes, of requests, of bundles. All that knows OpenTelemetry.

Where they go, and which are sampled, is said by the standard OTEL_* variables (docs/operations.md, "Traces"). No
payload and no user is in them; ids of sessions are hashed, as in the log.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import FilteringBoundLogger

from processor.codec.headers import Headers, headers_of
from processor.codec.traces import is_sampled, trace_of
from processor.observe.logs import hashed
from processor.runtime.ports import RawRecord
from processor.sessions.model import SessionRow

_CLOSE_S: Final = 2.0  # that a receiver which is away keeps a process from its end, at most
_TOLD_AGAIN_S: Final = 60.0
_SERVER_ERROR: Final = 500
_W3C: Final = TraceContextTextMapPropagator()


class Spans:
    """Makes spans and sends them; may be used by several threads."""

    def __init__(
        self, part: str, log: FilteringBoundLogger, *, key: str | None = None, exporter: SpanExporter | None = None
    ) -> None:
        """Begin.

        Args:
            part: of the system; the service's name unless OTEL_SERVICE_NAME says another.
            log: told of trouble.
            key: what ids are hashed with.
            exporter: where spans go; None for the receiver that OTEL_* variables name.
        """
        _tell_troubles(log)
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: f"a3cp-{part}"}))
        self._exporter = exporter or OTLPSpanExporter()
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracer: Final = self._provider.get_tracer("a3cp-session-manager")
        self._key = (key or "").encode()

    def of_records(self, topic: str, group: str) -> "RecordSpans":
        """Return the spans of the records of `topic` that are processed in `group`."""
        return RecordSpans(self, topic, group)

    @contextmanager
    def request(self, method: str, came: Headers | None) -> Iterator["Request"]:
        """Note a request while it is answered. `came`: the trace that it came with; without one it begins one."""
        span = self.tracer.start_span(method, _context_of(came or ()), SpanKind.SERVER, {"http.request.method": method})
        try:
            yield Request(span, method)
        finally:
            span.end()

    @contextmanager
    def bundle(self, session: SessionRow) -> Iterator[None]:
        """Note a bundle while it is written."""
        attributes: Mapping[str, str | int] = {
            "a3cp.session": hashed(session.session_id, self._key),
            "a3cp.messages": session.held_count,
        }
        with self.tracer.start_as_current_span(
            "write bundle", attributes=attributes, record_exception=False
        ):  # An exception's text may have more than is for others.
            yield

    def close(self) -> None:
        """Send what is left, if the receiver takes it within two seconds."""
        closing = threading.Thread(target=self._provider.shutdown, name="a3cp-spans-closing", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        if closing.is_alive():
            self._exporter.shutdown()  # It tries no longer.


class RecordSpans:
    """Spans of the records that a worker processes: of each that is traced, and of each commit with such records."""

    def __init__(self, spans: Spans, topic: str, group: str) -> None:
        """`topic`: where the records are; `group`: in which they are read."""
        self._tracer = spans.tracer
        self._topic = topic
        self._common = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": group,
        }
        self._records: Sequence[RawRecord] = ()
        self._begun_ns = 0

    def begun(self, records: Sequence[RawRecord]) -> None:
        """Take note that these are processed from now on."""
        self._records, self._begun_ns = records, time.time_ns()

    def committed(self, commit_s: float) -> None:
        """Take note that they are committed, which took so long."""
        self._over(commit_s, Status())

    def undone(self, why: str) -> None:
        """Take note that all that was done with them is undone. They come again."""
        self._over(0.0, Status(StatusCode.ERROR, why))

    def _over(self, commit_s: float, status: Status) -> None:
        records, self._records = self._records, ()
        traced = [(record, _context_of(headers)) for record in records if is_sampled(headers := headers_of(record))]
        if not traced:
            return
        now_ns = time.time_ns()
        commit = self._tracer.start_span(
            f"commit {self._topic}",
            Context(),
            SpanKind.CLIENT,
            {**self._common, **_operation("commit", "settle"), "messaging.batch.message_count": len(records)},
            [Link(get_current_span(context).get_span_context()) for _, context in traced],
            now_ns - int(commit_s * 1e9),
        )
        commit.set_status(status)
        commit.end(now_ns)
        for record, context in traced:
            place: dict[str, str | int] = {
                "messaging.destination.partition.id": str(record.partition()),
                "messaging.kafka.offset": record.offset(),
            }
            span = self._tracer.start_span(
                f"process {self._topic}",
                context,
                SpanKind.CONSUMER,
                {**self._common, **_operation("process", "process"), **place},
                [Link(commit.get_span_context())],
                self._begun_ns,
            )
            span.set_status(status)
            span.end(now_ns)


class Request:
    """The span of a request."""

    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    @property
    def trace(self) -> Headers | None:
        """The headers of whatever the request causes."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(self._span, Context()))
        return trace_of([(name, value.encode()) for name, value in carrier.items()])

    def answered(self, route: str, status: int) -> None:
        """Note how it was answered."""
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= _SERVER_ERROR:
            self._span.set_status(Status(StatusCode.ERROR))


def _operation(name: str, kind: str) -> dict[str, str]:
    return {"messaging.operation.name": name, "messaging.operation.type": kind}


def _context_of(headers: Sequence[tuple[str, bytes | None]]) -> Context:
    """Return the context that is told in `headers`; an empty one if none is."""
    carrier = {name: (value or b"").decode("latin-1") for name, value in trace_of(headers) or ()}
    return _W3C.extract(carrier, Context())


class _Troubles(logging.Handler):
    """Puts what OpenTelemetry says of its troubles into the log, each kind once a minute, without a traceback."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._to = log
        self._told_s: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it. Values stand only in what is said of the receiver: others may be a wrong variable's."""
        kind, now_s = str(record.msg), time.monotonic()
        if now_s - self._told_s.get(kind, float("-inf")) >= _TOLD_AGAIN_S:
            self._told_s[kind] = now_s
            is_of_receiver = record.name.startswith("opentelemetry.exporter")
            reason = record.getMessage() if is_of_receiver else kind
            self._to.warning("spans are not sent as they should be", operation="trace", reason=reason)


def _tell_troubles(log: FilteringBoundLogger) -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers = [_Troubles(log)]
    logger.propagate = False
