"""A few requests of each kind to `a3cp serve` on a real Kafka: each is answered as its OpenAPI document tells."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis

from tests.any_request import answer_all, cases, with_short_texts
from tests.served import served_on_kafka

pytestmark = [pytest.mark.broker, pytest.mark.long]
EXAMPLES = 2
TIMEOUT_S = 120.0  # longer than a request may wait for its outcome, 60 s


def test_requests_are_answered_on_kafka(kafka: str, topics: str, tmp_path: Path) -> None:
    """Whatever is sent, the service neither fails nor stops."""
    with served_on_kafka(kafka, topics, tmp_path) as service:
        document = httpx.get(f"{service.url}/openapi.json", timeout=TIMEOUT_S).json()
        schema = schemathesis.openapi.from_dict(with_short_texts(document))
        operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
        for operation, mode in cases(operations):
            answer_all(operation, mode, examples=EXAMPLES, base_url=service.url, timeout=TIMEOUT_S)
        assert httpx.get(f"{service.url}/readyz", timeout=TIMEOUT_S).status_code == 200
