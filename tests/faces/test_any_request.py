"""Whatever a client can send gets an answer of the service's own, never a 500.

schemathesis makes requests from the service's own OpenAPI document: such as it allows, and such as it does not.
"""

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from processor.faces.app import make_app
from processor.faces.problems import KINDS, MEDIA_TYPE
from processor.in_memory import MemoryDeployment
from tests.any_request import answer_all, cases, is_live, with_short_texts

FEW, MANY = 3, 8
HERE = {"Host": "localhost"}
APP = make_app(None)
APP.openapi_schema = with_short_texts(APP.openapi())
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP, headers=HERE)
OPERATIONS: list[Any] = [result.ok() for result in SCHEMA.get_all_operations()]  # type: ignore[union-attr]
LIVE = [operation for operation in OPERATIONS if is_live(operation)]


@pytest.fixture(scope="module", autouse=True)
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the service work, on a log in memory."""
    with MemoryDeployment(tmp_path_factory.mktemp("any")) as deployment:
        APP.state.context = deployment.context()
        yield


@pytest.mark.parametrize(
    ("operation", "mode"), cases(OPERATIONS), ids=lambda part: getattr(part, "label", None) or part.value
)
def test_every_request_is_answered(operation: Any, mode: GenerationMode) -> None:
    """With what the document tells of it."""
    answer_all(operation, mode, examples=FEW, headers=HERE)


@pytest.mark.long
def test_many_requests_are_answered() -> None:
    """So are more of each kind."""
    for operation, mode in cases(OPERATIONS):
        answer_all(operation, mode, examples=MANY, headers=HERE)


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", LIVE, ids=lambda operation: operation.label)
def test_every_live_stream_begins_or_is_refused(operation: Any, mode: GenerationMode) -> None:
    """Its answer does not end, so the client goes as soon as it has the head, and the stream ends with it."""

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=MANY, suppress_health_check=list(HealthCheck), database=None, deadline=None,
        phases=[Phase.generate],
    )  # fmt: skip
    def begins(case: Any) -> None:
        status, kind, body = asyncio.run(asyncio.wait_for(_begun(case), 20))
        if status == 200:
            assert kind.startswith("text/event-stream")
        else:
            assert kind == MEDIA_TYPE
            assert KINDS[json.loads(body)["code"]].status == status != 500

    begins()


async def _begun(case: Any) -> tuple[int, str, bytes]:
    """Return status, content type and body of the answer; of a stream, what came before the client had gone."""
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://localhost")).prepare()
    path, _, query = sent.path_url.partition("?")
    headers = {str(name): str(value) for name, value in {**sent.headers, **HERE}.items()}
    has_begun = asyncio.Event()
    head: MutableMapping[str, Any] = {}
    body = b""

    async def receive() -> dict[str, Any]:
        await has_begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            head.update(message)
        else:
            body += message.get("body", b"")
            has_begun.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": sent.method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "state": {},
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("localhost", 80),
    }  # fmt: skip
    await APP(scope, receive, send)
    kinds = [value.decode() for name, value in head["headers"] if name == b"content-type"]
    return head["status"], kinds[0], body
