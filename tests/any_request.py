"""Requests that schemathesis makes of an OpenAPI document, and what each of their answers must be."""

from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from processor.faces.problems import DETAIL_ONLY, KINDS, MEDIA_TYPE

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
TEXT_CHARS_MAX = 300


def with_short_texts(schema: Any) -> Any:
    """Return a JSON schema whose texts are not so long that to make one takes a second."""
    if isinstance(schema, dict):
        short = {key: with_short_texts(value) for key, value in schema.items()}
        return {**short, "maxLength": TEXT_CHARS_MAX} if short.get("maxLength", 0) > TEXT_CHARS_MAX else short
    return [with_short_texts(each) for each in schema] if isinstance(schema, list) else schema


def is_live(operation: Any) -> bool:
    """Whether the answer of an operation does not end."""
    return bool(operation.path.endswith("/live"))


def cases(operations: Iterable[Any]) -> list[tuple[Any, GenerationMode]]:
    """Return each operation with requests that the document allows, and such as it does not."""
    return [
        (operation, mode)
        for operation in operations
        if not is_live(operation)
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or operation.body or operation.query  # Else nothing can be wrong about it.
    ]


def answer_all(operation: Any, mode: GenerationMode, *, examples: int, **how: Any) -> None:
    """Send requests, as `how` says: none is answered with a 500, each as documented, a refusal with a known problem."""

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )
    def answered(case: Any) -> None:
        response = case.call_and_validate(checks=CHECKS, **how)
        assert response.status_code != 500  # A 503 is the service's own word, such as that there is no store.
        if response.status_code < 400:
            return
        if case.path.startswith(DETAIL_ONLY):
            assert "detail" in response.json()
        else:
            assert response.headers["content-type"] == [MEDIA_TYPE]
            assert KINDS[response.json()["code"]].status == response.status_code

    answered()
