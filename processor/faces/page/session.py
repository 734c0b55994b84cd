"""One session for people: the timeline's page that bundles have, with lines from the service, and what one can add."""

from collections.abc import Iterator
from functools import cache, partial
from importlib.resources import files
from io import BytesIO
from typing import IO, Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from processor.bundles.page import PAGE_ENTRIES_MAX, Lines, checkable, served
from processor.codec.codec import Codec
from processor.codec.events import from_json
from processor.faces.auth.doors import Asking
from processor.faces.page.sending import PageFile
from processor.faces.replica.context import Given
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.queries.exporting import sent
from processor.faces.v1.reading import Moment, as_of_in, encode, headers_of, held_of, in_thread
from processor.sessions.forms.jsonforms import session_of
from processor.sessions.forms.shapes import Entry
from processor.sessions.forms.timeline import event_line, message_line
from processor.view.held import Held

router: Final = APIRouter(prefix="/page", include_in_schema=False, dependencies=[CaughtUp])
MESSAGES_A_TIME: Final = 2_000
_BYTES_A_TIME: Final = 4 << 20
_LINES: Final = "text/plain; charset=utf-8"
_SCRIPTS: Final = ("acting.js", "sharing.js", "bookmarks.js", "versions.js", "loading.js")


class Asked(Moment):
    """Which lines the page asks for: those that came behind what it has."""

    after_seq: Annotated[int, Field(ge=0, le=1 << 53)] = 0
    after_event: Annotated[int, Field(ge=0, le=1 << 53)] = 0


@router.get("/sessions/{session_id}")
async def lines_of_session(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[Asked, Query()]
) -> Response:
    """Return lines of a session, a line for each entry, some at a time; and at last what all of them need.

    A session as it was before is added up anew each time, so it comes at once.
    """
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    part = Part(held, context.view.codec, asked)
    headers = headers_of(request, held)
    if part.is_all:
        return await sent(partial(write, held, part), _LINES, headers)
    out = BytesIO()
    await in_thread(write, held, part, out)
    return Response(out.getvalue(), headers=headers, media_type=_LINES)


class Part:
    """What comes behind a place in the log: some messages, and the events that arrived no later than the last of them.

    So a page that reads part after part sees the session grow as it did grow.
    """

    def __init__(self, held: Held, codec: Codec, asked: Asked) -> None:
        # Of an id that was opened twice, numbers come twice, and say no place.
        self.is_all = asked.as_of is not None or held.row.is_opened_twice
        self._held = held
        self._codec = codec
        self._after = (0, 0) if self.is_all else (asked.after_seq, asked.after_event)
        self._seq, self._event = self._after
        self._is_more = False
        self._count = held.row.held_count + held.row.event_count
        self.shown = sum(self._after)  # by the parts before
        self.left_out = max(0, self._count - self.shown) if self.shown >= PAGE_ENTRIES_MAX else 0

    def lines(self) -> Iterator[tuple[Entry, bytes]]:
        """Yield the entries, in the order of the log, each with the message as it came, in JSON."""
        if self.left_out:
            return
        owner, arrived_ms = self._held.row.owner, 0
        count = size = 0
        for row in self._held.messages_after(self._seq):
            if not self.is_all and (count >= MESSAGES_A_TIME or size >= _BYTES_A_TIME):
                self._is_more = True
                break
            line, content = message_line(row, self._codec)
            self._seq, arrived_ms = row.seq or 0, row.append_ms
            count, size = count + 1, size + row.size_bytes
            yield _of_owner(line.entry, owner), encode(checkable(row, content))
        for number, event in enumerate(self._held.events(), 1):
            if number <= self._after[1]:
                continue
            if self._is_more and event.append_ms > arrived_ms:
                break
            self._event = number
            yield _of_owner(event_line(event, from_json(event.value), number).entry, owner), b""

    def told(self) -> dict[str, Any]:
        """Return where this part begins, where the next one does, and whether there is more."""
        return {
            "after": self._after,
            "next": (self._seq, self._event),
            "is_more": self._is_more,
            "lines": self._count,
            "status": session_of(self._held.row).status,
            "tags": self._held.row.tags,
        }


def write(held: Held, part: Part, out: IO[bytes]) -> None:
    """Write a part of a session: its lines, and what all of them need."""
    lines = Lines(held.row, part.lines())
    for line in lines:
        out.write(line + b"\n")
    lines.notices[:] = [notice for notice in lines.notices if notice[0] != "notice_open"]  # It is kept current.
    if part.left_out:
        lines.leave_out(part.shown, part.left_out)
    if not held.is_whole:
        lines.proof = None  # Else it would look as if somebody had taken messages away.
        lines.notices.append(("notice_lacking", {}))
    out.write(encode({**lines.data(), **part.told()}))


def _of_owner(entry: Entry, owner: str) -> Entry:
    """Return the entry as of the person, never of a lane."""
    entry.record["user_id"] = owner
    return entry


@cache
def page_of_a_session() -> PageFile:
    """Return the page itself; its script asks for the session that the address names."""
    folder = files("processor.faces.page").joinpath("session")
    script = "\n".join(folder.joinpath(name).read_text("utf-8") for name in _SCRIPTS)
    page, policy = served(script, folder.joinpath("acting.html").read_text("utf-8"))
    return PageFile.of(page.encode(), "text/html", f"{policy}; frame-ancestors 'none'")
