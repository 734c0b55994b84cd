"""Whatever a client can send gets an answer of the service's own, never a 500.

schemathesis makes requests from the service's own OpenAPI document: such as it allows, and such as it does not.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode

from processor.faces.app import make_app
from processor.in_memory import MemoryDeployment
from tests.any_request import answer_all, cases, with_short_texts

EXAMPLES = 8
HERE = {"Host": "localhost"}
APP = make_app(None)
APP.openapi_schema = with_short_texts(APP.openapi())
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP, headers=HERE)
OPERATIONS: list[Any] = [result.ok() for result in SCHEMA.get_all_operations()]  # type: ignore[union-attr]


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
    answer_all(operation, mode, examples=EXAMPLES, headers=HERE)
