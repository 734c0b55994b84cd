"""The content type of bodies: a route whose body is JSON takes nothing else."""

import re
from typing import Final

from fastapi import Depends, Request

from processor.faces.problems import Problem

_is_json: Final = re.compile(r"application/([\w.-]+\+)?json", re.ASCII | re.IGNORECASE).fullmatch
_REMEDY: Final = "Send the header `Content-Type: application/json`."


async def _called_json(request: Request) -> None:
    """Refuse a body that is not called JSON.

    Raises:
        Problem: unsupported_media_type.
    """
    if request.scope["route"].body_field is None or not await request.body():
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if not _is_json(kind):
        raise Problem("unsupported_media_type", "the body of this route is JSON", remedy=_REMEDY)


CALLED_JSON: Final = Depends(_called_json)
"""A dependency of all routes of the session API."""
