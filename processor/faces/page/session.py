"""One session for people: the timeline's page that bundles have, with lines from the service, and what one can add."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from processor.bundles.page import Lines, served
from processor.faces.context import Given
from processor.faces.page.sending import PageFile
from processor.faces.positions import CaughtUp
from processor.faces.v1.reading import CHUNK_BYTES, Wanted, headers_of, in_thread
from processor.faces.v1.telling import timeline_entries

router: Final = APIRouter(prefix="/page", include_in_schema=False, dependencies=[CaughtUp])
_SCRIPTS: Final = ("acting.js", "sharing.js", "loading.js")


@router.get("/sessions/{session_id}")
async def lines_of_session(request: Request, held: Wanted, context: Given) -> Response:
    """Return what the page shows of a session: a line for each entry, and at last what all of them need."""
    entries = await in_thread(timeline_entries, held, context.view.codec)
    lines = Lines(held.row, entries)
    lines.notices[:] = [notice for notice in lines.notices if notice[0] != "notice_open"]  # It is kept current.
    return StreamingResponse(_chunks(lines), headers=headers_of(request, held), media_type="text/plain; charset=utf-8")


def _chunks(lines: Lines) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for line in lines:
        parts += (line, b"\n")
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join((*parts, msgspec.json.encode(lines.data())))


@cache
def page_of_a_session() -> PageFile:
    """Return the page itself; its script asks for the session that the address names."""
    folder = files("processor.faces.page").joinpath("session")
    script = "\n".join(folder.joinpath(name).read_text("utf-8") for name in _SCRIPTS)
    page, policy = served(script, folder.joinpath("acting.html").read_text("utf-8"))
    return PageFile.of(page.encode(), "text/html", f"{policy}; frame-ancestors 'none'")
