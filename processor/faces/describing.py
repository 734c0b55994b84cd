"""The OpenAPI document: FastAPI's, with the problems that every route can answer with, and with who may come in."""

import json
from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from processor.faces.middleware.gate import WITHOUT_TOKEN, WITHOUT_TOKEN_BELOW
from processor.faces.problems import DETAIL_ONLY, KINDS, MEDIA_TYPE
from processor.faces.v1.shapes import COMPONENTS

_ABOUT: Final = (
    "Sessions over HTTP: they are started, looked at and ended here, and kept by a processor over one Kafka log. "
    "docs/api.md has recipes, /problems/CODE explains each problem."
)
_TEXT: Final = {"type": "string"}
_PROBLEM: Final = {
    "type": "object",
    "description": "Why a request was not answered as asked (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "remedy", "request_id"],
    "properties": {
        "type": {**_TEXT, "description": "Where the code is explained: `/problems/CODE`."},
        "title": {**_TEXT, "description": "What the code means."},
        "status": {"type": "integer", "description": "The status of the answer."},
        "detail": {**_TEXT, "description": "What happened in this request."},
        "code": {**_TEXT, "enum": list(KINDS), "description": "For programs."},
        "remedy": {**_TEXT, "description": "What to do."},
        "request_id": {**_TEXT, "description": "By which the service's log line is found."},
        "session_id": {**_TEXT, "description": "The session that it is about."},
        "errors": {
            "type": "array",
            "description": "Of `invalid_request`: what is wrong, and where.",
            "items": {"type": "object"},
        },
    },
}
_DETAIL: Final = {
    "type": "object",
    "required": ["detail"],
    "properties": {"detail": {"description": "What is wrong; a text unless a field is."}},
}


class Application(FastAPI):
    """FastAPI's application, with our description."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _completed(super().openapi())
        return self.openapi_schema


def openapi_text(app: FastAPI) -> str:
    """Return the OpenAPI document as docs/openapi.json has it."""
    return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    document["info"]["description"] = _ABOUT
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    components.setdefault("schemas", {}).update(COMPONENTS, Problem=_PROBLEM, Detail=_DETAIL)
    for path, operation in _operations(document):
        name, kind = ("Detail", "application/json") if path.startswith(DETAIL_ONLY) else ("Problem", MEDIA_TYPE)
        told = {"content": {kind: {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
        answers = operation["responses"]
        if "422" in answers and name == "Problem":
            answers["422"] = {"description": "The request is not valid.", **told}
        answers.setdefault("default", {"description": "Any other problem.", **told})
        if path not in WITHOUT_TOKEN and not path.startswith(WITHOUT_TOKEN_BELOW):
            operation.setdefault("security", [{"token": []}])
        summary, _, rest = operation.pop("description", "").partition("\n\n")
        operation["summary"] = " ".join(summary.split()).rstrip(".")
        roles = [role for each in operation.get("security", ()) for role in each["token"]]
        if words := "\n\n".join((*filter(None, [rest]), *([f"Roles: {', '.join(roles)}."] if roles else []))):
            operation["description"] = words
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation
