"""How everything stands, for operators."""

from typing import Final

from fastapi import APIRouter, Request, Response
from msgspec.structs import replace

from processor.faces.operations import readiness
from processor.faces.problems import Problem
from processor.faces.replica.context import Given
from processor.faces.replica.standing import Standing
from processor.faces.requests.roles import needs
from processor.faces.v1.reading import answer, in_thread
from processor.faces.v1.shapes import answers

router: Final = APIRouter(tags=["Operations"])


@router.get("/operations", dependencies=[needs("operator")], responses=answers(Standing))
async def show_operations(request: Request, context: Given) -> Response:
    """Tell what the service, the processor and the exporter have still to read, why records were set aside and how they
    are put back, what waits in the outbox, and which versions run. It is at most 5 s old, and holds no content.
    """
    if context.corner is None:
        raise Problem("not_found", "this service does not look at its Kafka")
    standing = await in_thread(context.corner.now)
    reasons, warnings = readiness(request)
    return answer(replace(standing, ready=not reasons, reasons=reasons, warnings=warnings), {})
