"""The service's own pages: whether it lives, whether it is ready, how it does; its description."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import choose_encoder

from processor.faces.middleware.shell import Shell
from processor.faces.pages import documents, problem_page
from processor.faces.problems import KINDS, Problem
from processor.faces.replica.context import NOT_YET, Context

router = APIRouter(tags=["Operations"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez")
async def livez() -> Response:
    """Say that the process lives; a restart would help with nothing that it does not mend by itself."""
    return _standing((), ())


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Say whether the service can answer everything now, and if not, why; what is missing in answers is a warning."""
    return _standing(*readiness(request))


def readiness(request: Request) -> tuple[Sequence[str], Sequence[str]]:
    """Return why the service is not ready, and what is missing in its answers."""
    shell: Shell = request.app.state.shell
    context: Context | None = request.app.state.context
    reasons = list(shell.troubles())
    if context is not None and (why := context.view.progress.why_not_ready()) is not None:
        reasons.append(why)
    elif context is None and not reasons:
        reasons.append(NOT_YET)
    return reasons, shell.incomplete()


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"application/openmetrics-text": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Return the metrics, as Prometheus reads them."""
    shell: Shell = request.app.state.shell
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(shell.metrics.registry), media_type=kind)


@router.get("/problems/{code}")
async def problem(code: str, request: Request) -> Response:
    """Explain a problem by its code; the `type` of each problem leads here."""
    if code not in KINDS:
        raise Problem("not_found", "there is no such problem", remedy=f"The codes are {', '.join(KINDS)}.")
    kind = KINDS[code]
    if "text/html" in request.headers.get("accept", ""):
        return problem_page(code, kind)
    return JSONResponse({"code": code, "status": kind.status, "title": kind.title, "meaning": kind.meaning})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show the OpenAPI document to people."""
    return documents(request.app.openapi())


def _standing(reasons: Sequence[str], warnings: Sequence[str]) -> Response:
    body: dict[str, Any] = {"status": "failing" if reasons else "ok", "reasons": list(reasons)}
    if warnings:
        body["warnings"] = list(warnings)
    headers = {"Retry-After": "1"} if reasons else {}
    return Response(json.dumps(body), 503 if reasons else 200, headers, "application/json")
