"""Spans: what OpenTelemetry is told of requests, records and bundles, and what it is not told."""

import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from processor.codec.headers import Headers
from processor.codec.traces import trace_id_in, traceparent_of
from processor.errors import UsageError
from processor.faces.app import make_app
from processor.faces.middleware.shell import Shell
from processor.in_memory import TOPICS, MemoryDeployment
from processor.observe.health import Health
from processor.observe.logs import hashed, make_logger
from processor.observe.metrics import Metrics
from processor.observe.spans import RecordSpans, Spans
from processor.observe.worker import WorkerObserver
from processor.processes.exporter.files import Files, Wanted
from processor.sessions.ports import SessionFilter
from processor.settings.model import Settings
from processor.targets.target import Target
from processor.testing import MemoryRecord
from processor.wiring import spans_of
from tests.faces.stage import message
from tests.observe.told import Told
from tests.registry_server import Answering, serving

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
CAME = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "tracestate": "rojo=1"}
SECRET = "milk-canary"


def spans_to(exporter: InMemorySpanExporter | None, out: io.StringIO | None = None) -> Spans:
    """Spans that go to `exporter`."""
    return Spans("test", make_logger("test", log_format="json", stream=out), exporter=exporter)


@contextmanager
def deployed(folder: Path, spans: Spans | None) -> Iterator[tuple[MemoryDeployment, TestClient]]:
    """A deployment in memory whose processor and service make `spans`."""
    log = make_logger("processor", level="error")
    records = None if spans is None else spans.of_records(TOPICS.raw, "a3cp")
    observer = WorkerObserver(Metrics(CollectorRegistry()), Health(live_s=60), log, raw=TOPICS.raw, spans=records)
    with MemoryDeployment(folder, observer=observer) as deployment:
        app = make_app(deployment.context(), Shell(spans=spans))
        with TestClient(app, base_url="http://127.0.0.1") as http:
            yield deployment, http


def headers_in(deployment: MemoryDeployment, topic: str) -> list[Headers | None]:
    """The headers of all records of a topic."""
    return [record.raw_headers for log in deployment.broker.topics[topic] for record in log]


def told(exporter: InMemorySpanExporter, spans: Spans) -> list[ReadableSpan]:
    """All spans that were made."""
    spans.close()
    return list(exporter.get_finished_spans())


def named(made: list[ReadableSpan], name: str) -> ReadableSpan:
    """The one span of this name."""
    (span,) = (each for each in made if each.name == name)
    return span


def start(http: TestClient, **headers: str) -> str:
    """Begin a session; return its id."""
    answer = http.post("/v1/sessions", json={"user_id": "ann"}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["session_id"])


def test_without_opentelemetry_a_trace_goes_on(tmp_path: Path) -> None:
    """The header that a request came with is on its raw record, its message and its event, as it came."""
    with deployed(tmp_path, None) as (deployment, http):
        session_id = start(http)
        http.post("/v1/messages", json=message("ann", deployment.clock.now_ms()), headers=CAME)
        http.post(f"/v1/sessions/{session_id}/end", headers={**CAME, "traceparent": "nonsense"})
        http.post("/v1/sessions", json={"user_id": "ben"}, headers=CAME)
        trace = [(name, value.encode()) for name, value in CAME.items()]
        assert [headers for headers in headers_in(deployment, TOPICS.raw) if headers] == [trace, trace]
        assert [headers for headers in headers_in(deployment, TOPICS.tagged) if headers] == [trace]
        assert [headers for headers in headers_in(deployment, TOPICS.sessions) if headers] == [trace, trace]


def test_a_request_and_its_record_are_spans_of_one_trace(tmp_path: Path) -> None:
    """The request's parent is the caller, the record's parent is the request; the commit is linked with both sides."""
    exporter = InMemorySpanExporter()
    with deployed(tmp_path, spans := spans_to(exporter)) as (deployment, http):
        http.post("/v1/messages", json=message("ann", deployment.clock.now_ms(), text=SECRET), headers=CAME)
        made = told(exporter, spans)
        (raw,) = headers_in(deployment, TOPICS.raw)
        assert raw in headers_in(deployment, TOPICS.tagged)
        assert raw in headers_in(deployment, TOPICS.sessions)
    request, process, commit = (named(made, name) for name in ("POST /v1/messages", "process raw", "commit raw"))
    assert request.parent is not None
    assert request.context is not None
    assert process.parent is not None
    assert commit.context is not None
    assert (f"{request.parent.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE_ID, PARENT_ID)
    assert process.parent.span_id == request.context.span_id
    assert trace_id_in(traceparent_of(raw)) == TRACE_ID
    assert dict(raw or ())["tracestate"] == b"rojo=1"
    assert [link.context.span_id for link in commit.links] == [request.context.span_id]
    assert [link.context.span_id for link in process.links] == [commit.context.span_id]
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "raw",
        "messaging.destination.partition.id": "2",
        "messaging.kafka.offset": 0,
        "messaging.consumer.group.name": "a3cp",
    }
    assert request.attributes == {
        "http.request.method": "POST", "http.route": "/v1/messages", "http.response.status_code": 202,
    }  # fmt: skip
    assert commit.attributes is not None
    assert commit.attributes["messaging.batch.message_count"] == 1


def test_no_payload_and_no_id_is_in_a_span(tmp_path: Path) -> None:
    """Not what was said, not who, not in which session."""
    exporter = InMemorySpanExporter()
    with deployed(tmp_path, spans := spans_to(exporter)) as (_, http):
        session_id = start(http)
        http.post(f"/v1/sessions/{session_id}/notes", json={"text": SECRET})
        http.get(f"/v1/sessions/{session_id}/messages?limit=1")
        http.get("/v1/users/ann/sessions")
        made = told(exporter, spans)
    text = "".join(span.to_json() for span in made)
    assert len(made) > 5
    assert [canary for canary in (SECRET, session_id, "ann") if canary in text] == []
    assert {"POST /v1/sessions/{session_id}/notes", "GET /v1/sessions/{session_id}/messages"} < {
        span.name for span in made
    }


def test_a_trace_begins_with_a_request_that_has_none(tmp_path: Path) -> None:
    """Its own span is the root, and the parent of what it causes. What is asked every few seconds has no span."""
    exporter = InMemorySpanExporter()
    with deployed(tmp_path, spans := spans_to(exporter)) as (_, http):
        start(http)
        http.get("/livez")
        http.get("/nowhere")
        made = told(exporter, spans)
    root, process = named(made, "POST /v1/sessions"), named(made, "process raw")
    assert root.parent is None
    assert process.parent is not None
    assert root.context is not None
    assert process.parent.span_id == root.context.span_id
    assert {span.name for span in made} == {"POST /v1/sessions", "process raw", "commit raw", "GET none"}


def test_what_is_not_sampled_makes_no_span(tmp_path: Path) -> None:
    """Its header goes on and says so."""
    exporter = InMemorySpanExporter()
    with deployed(tmp_path, spans := spans_to(exporter)) as (deployment, http):
        start(http, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-00")
        (raw,) = headers_in(deployment, TOPICS.raw)
        assert told(exporter, spans) == []
    assert trace_id_in(traceparent_of(raw)) == TRACE_ID
    assert (dict(raw or ())["traceparent"] or b"").endswith(b"-00")


def test_a_batch_that_is_undone_says_why() -> None:
    """Its records come again, and are spans again; records without a trace are none."""
    exporter = InMemorySpanExporter()
    spans = spans_to(exporter)
    records = RecordSpans(spans, "raw", "a3cp")
    trace: Headers = [("traceparent", CAME["traceparent"].encode())]
    batch = [MemoryRecord(0, 0, b"ann", b"{}", 1, trace), MemoryRecord(0, 1, b"ann", b"{}", 1)]
    records.begun(batch)
    records.undone("the group has moved on")
    records.begun(batch)
    records.committed(0.5)
    records.begun(batch[1:])
    records.committed(0.5)
    made = told(exporter, spans)
    assert [(span.name, span.status.is_ok, span.status.description) for span in made] == [
        ("commit raw", False, "the group has moved on"), ("process raw", False, "the group has moved on"),
        ("commit raw", True, None), ("process raw", True, None),
    ]  # fmt: skip
    assert made[2].end_time is not None
    assert made[2].start_time is not None
    assert made[2].end_time - made[2].start_time == 500_000_000


class Receiver:
    """Takes spans as OTLP has it: protobuf over HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.authorised: set[str | None] = set()

    def answer(self, to: Answering) -> None:
        body = gzip.decompress(to.body) if to.headers.get("Content-Encoding") == "gzip" else to.body
        assert to.path == "/v1/traces"
        self.authorised.add(to.headers.get("authorization"))
        self.requests.append(ExportTraceServiceRequest.FromString(body))
        to.give(200)

    def spans(self) -> dict[str, Any]:
        """All spans that came, by name."""
        return {
            span.name: span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@pytest.fixture
def named_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set these variables of OpenTelemetry, and no others."""

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"OTEL_{name}", value)

    return set_all


def test_from_a_request_to_a_bundle_over_a_real_receiver(named_by: Callable[..., None], tmp_path: Path) -> None:
    """Standard variables alone name it; each span arrives, with the right parent, and the service's name."""
    receiver = Receiver()
    with serving(receiver.answer) as server:
        headers = "authorization=Bearer%20x"
        named_by(EXPORTER_OTLP_ENDPOINT=server.url, EXPORTER_OTLP_HEADERS=headers, SERVICE_NAME="care-home")
        with spans_of("serve", Settings(), make_logger("serve")) as spans, deployed(tmp_path, spans) as (there, http):
            session_id = start(http, **CAME)
            there.export()
            wanted = Wanted(bundles=Target(str(tmp_path / "bundles")), sessions=SessionFilter())
            report = Told(spans=spans).observer
            Files(there.store, there.settings, wanted, report, lambda: False).write_all()
    came = receiver.spans()
    request, process, bundle = (came[name] for name in ("POST /v1/sessions", "process raw", "write bundle"))
    assert request.trace_id.hex() == process.trace_id.hex() == TRACE_ID
    assert (request.parent_span_id.hex(), process.parent_span_id) == (PARENT_ID, request.span_id)
    assert {each.key: each.value.string_value for each in bundle.attributes}["a3cp.session"] == hashed(session_id)
    (resource,) = (each.resource for each in receiver.requests[0].resource_spans)
    names = {each.key: each.value.string_value for each in resource.attributes}
    assert names["service.name"] == "care-home"
    assert receiver.authorised == {"Bearer x"}


def test_a_receiver_that_is_away_is_told_once(named_by: Callable[..., None]) -> None:
    """In one line of the log, without a traceback; a wrong variable is told without its value, which may be secret."""
    named_by(
        EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        EXPORTER_OTLP_HEADERS=f"authorization:{SECRET}",
    )
    out = io.StringIO()
    spans = spans_to(None, out)
    with spans.request("GET", None) as request:
        request.answered("/", 200)
    spans.close()
    lines = out.getvalue().splitlines()
    assert len(lines) == len(set(lines))
    assert any("host='127.0.0.1'" in line for line in lines)
    assert SECRET not in out.getvalue()
    assert "Traceback" not in out.getvalue()


@pytest.mark.parametrize(
    ("title", "variables", "are_made"),
    [
        ("none", {}, False),
        ("an endpoint", {"EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ("one of traces", {"EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, True),
        ("the exporter's default endpoint", {"TRACES_EXPORTER": "otlp"}, True),
        ("turned off", {"EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "SDK_DISABLED": "true"}, False),
        ("no traces", {"EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "TRACES_EXPORTER": "none"}, False),
    ],
)
def test_which_variables_turn_spans_on(
    title: str, variables: dict[str, str], are_made: bool, named_by: Callable[..., None]
) -> None:
    """The standard ones, as every user of OpenTelemetry knows them."""
    named_by(**variables)
    with spans_of("serve", Settings(), make_logger("serve")) as spans:
        assert (spans is not None) == are_made, title


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"EXPORTER_OTLP_PROTOCOL": "grpc"}, "EXPORTER_OTLP_PROTOCOL is grpc"),
        ({"BSP_SCHEDULE_DELAY": "-1"}, "OpenTelemetry refuses its settings"),
    ],
)
def test_a_variable_that_is_wrong_is_told(variables: dict[str, str], words: str, named_by: Callable[..., None]) -> None:
    """At the start, with what to do."""
    named_by(EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", **variables)
    with pytest.raises(UsageError, match=words), spans_of("serve", Settings(), make_logger("serve")):
        pass
