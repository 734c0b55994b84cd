"""Whatever a client can send gets an answer of the service's own, never a 500.

schemathesis makes requests from the service's own OpenAPI document: such as it allows, and such as it does not.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from processor.faces.app import make_app
from processor.faces.problems import DETAIL_ONLY, KINDS, MEDIA_TYPE
from processor.in_memory import MemoryDeployment

EXAMPLES = 8
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
HERE = {"Host": "localhost"}
TEXT_CHARS_MAX = 300


def with_short_texts(schema: Any) -> Any:
    """Return a JSON schema whose texts are not so long that to make one takes a second."""
    if isinstance(schema, dict):
        short = {key: with_short_texts(value) for key, value in schema.items()}
        return {**short, "maxLength": TEXT_CHARS_MAX} if short.get("maxLength", 0) > TEXT_CHARS_MAX else short
    return [with_short_texts(each) for each in schema] if isinstance(schema, list) else schema


APP = make_app(None)
APP.openapi_schema = with_short_texts(APP.openapi())
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP, headers=HERE)
OPERATIONS: list[Any] = [result.ok() for result in SCHEMA.get_all_operations()]  # type: ignore[union-attr]
CASES = [
    (operation, mode)
    for operation in OPERATIONS
    if not operation.path.endswith("/live")  # Its answer does not end.
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or operation.body or operation.query  # Else nothing can be wrong about it.
]


@pytest.fixture(scope="module", autouse=True)
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the service work, on a log in memory."""
    with MemoryDeployment(tmp_path_factory.mktemp("any")) as deployment:
        APP.state.context = deployment.context()
        yield


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=lambda part: getattr(part, "label", None) or part.value)
def test_every_request_is_answered(operation: Any, mode: GenerationMode) -> None:
    """No request is answered with a 5xx; what is refused is a problem with a known code, or FastAPI's own body."""

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    def answered(case: Any) -> None:
        response = case.call_and_validate(checks=CHECKS, headers=HERE)
        if response.status_code < 400:
            return
        if case.path.startswith(DETAIL_ONLY):
            assert "detail" in response.json()
        else:
            assert response.headers["content-type"] == [MEDIA_TYPE]
            assert KINDS[response.json()["code"]].status == response.status_code

    answered()
