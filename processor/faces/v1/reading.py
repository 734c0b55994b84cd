"""Reads one session on behalf of a caller, and says how much of the log the answer reflects."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import anyio
import msgspec
from fastapi import Depends, Query, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from processor.codec.isotime import parse_time
from processor.faces.auth.doors import Asking, Caller
from processor.faces.headers import header
from processor.faces.problems import Problem
from processor.faces.replica.context import Context, Given
from processor.faces.requests.finding import can_be_one, is_to_look_again, not_found, unknown
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import position_headers, position_in
from processor.faces.v1.filters import Parameters, Text
from processor.sessions.model import EventRow
from processor.view.held import Held
from processor.view.memory import Version
from processor.view.position import AsOf, Position

CHUNK_BYTES: Final = 1 << 16
JSON: Final = "application/json"
INCOMPLETE: Final = "A3CP-Incomplete"
encode: Final = msgspec.json.Encoder().encode

T = TypeVar("T")


async def in_thread(call: Callable[..., T], *arguments: Any) -> T:
    """Return what `call` returns, which may read the store, so not in the event loop."""
    return await anyio.to_thread.run_sync(partial(call, *arguments))


class Moment(Parameters):
    """As of when a session is shown."""

    as_of: Annotated[
        Text | None,
        Field(description="As it was known then: an `A3CP-Position`, or a time; by the time at which records arrived."),
    ] = None


async def held_of(context: Context, who: Caller, session_id: str, as_of: AsOf | None = None) -> Held:
    """Return the session, as it is now or as it was known then.

    Raises:
        Problem: session_not_found, also for a session that `who` does not see; session_removed; not_caught_up.
        StoreUnavailable: the store does not answer, and memory does not know the session.
    """
    read = partial(_read, context, session_id, as_of)
    held = await in_thread(read)
    if held is None and as_of is None and await is_to_look_again(context, session_id):
        held = await in_thread(read)
    if held is None:
        raise await unknown(context, session_id)
    if not who.sees(held.row.owner):
        raise not_found(session_id)
    return held


def _read(context: Context, session_id: str, as_of: AsOf | None) -> Held | None:
    if not can_be_one(session_id):
        return None
    held = context.view.session(session_id, as_of=as_of)
    if as_of is None and context.meanwhile is not None:
        return context.meanwhile.session(session_id, held)
    return held


def is_logged(context: Context, session_id: str) -> bool:
    """Return whether nothing of a session waits in the outbox."""
    return context.meanwhile is None or not context.meanwhile.concerns(session_id)


def version_of(context: Context, session_id: str) -> Version | None:
    """Return the session's version; None if it has none, or the log does not tell all of it."""
    return context.view.memory.version(session_id) if is_logged(context, session_id) else None


async def wanted(session_id: SessionId, who: Asking, context: Given, asked: Annotated[Moment, Query()]) -> Held:
    """Return the session that a request is about, as it wants to see it; a dependency. Raises as `held_of`."""
    return await held_of(context, who, session_id, as_of_in(asked.as_of, context))


Wanted = Annotated[Held, Depends(wanted)]
"""The type of a route's parameter that is the session, as it is now or `as_of`."""


def as_of_in(text: str | None, context: Context) -> AsOf | None:
    """Return the position or the time in `text`.

    Raises:
        Problem: invalid_request, since it is neither.
    """
    if text is None:
        return None
    here = context.view.progress.positions()
    if ":p" in text:
        position = position_in(text, partitions=len(here))
        if position.cluster != here[0].cluster:
            raise Problem("invalid_request", "as_of is a position of another cluster")
        return AsOf(position=position)
    try:
        return AsOf(at_ms=parse_time(text))
    except ValueError:
        raise Problem("invalid_request", "as_of is neither a position nor an ISO 8601 time") from None


def etag_of(held: Held, events: Sequence[EventRow]) -> str:
    """Return the ETag of a session whose events are `events`: it changes with each message and event."""
    offset = events[-1].offset if events else 0
    return f'"{held.row.revision or 0}.{held.row.held_count}.{offset}"'


def is_there(request: Request, etag: str) -> bool:
    """Whether the sender of `request` has what `etag` stands for."""
    given = header(request.scope, b"if-none-match")
    return given is not None and (given.strip() == "*" or etag in {each.strip() for each in given.split(",")})


def headers_of(request: Request, held: Held) -> dict[str, str]:
    """Return the headers that say what an answer about one session reflects."""
    return told(request, [held.position], is_whole=held.is_whole)


def told(
    request: Request, positions: Sequence[Position], *, is_whole: bool = True, is_all: bool = True
) -> dict[str, str]:
    """Return the headers that say what an answer reflects, and whether something may be missing.

    Args:
        is_whole: no record is missing between the store and memory.
        is_all: all texts were looked into that hold the words which are asked for.
    """
    headers = position_headers(request, positions)
    if not is_whole:
        headers[INCOMPLETE] = "records are missing between what the store holds and what is in memory"
    elif not is_all:
        headers[INCOMPLETE] = "the words are in more texts than are looked into, which are the latest ones"
    return headers


def answer(value: object, headers: dict[str, str]) -> Response:
    """Return `value` as JSON."""
    return Response(encode(value), headers=headers, media_type=JSON)


def listed(name: str, items: Iterable[bytes], headers: dict[str, str], **more: object) -> Response:
    """Return a JSON object whose `name` is a list of what is JSON already, read as it is sent; `more` go before it."""
    return StreamingResponse(_chunks(name, items, more), headers=headers, media_type=JSON)


def _chunks(name: str, items: Iterable[bytes], more: dict[str, object]) -> Iterator[bytes]:
    parts = [encode(more)[:-1], b"," if more else b"", encode(name), b":["]
    size, between = 0, b""
    for item in items:
        parts += (between, item)
        between = b","
        size += len(item)
        if size >= CHUNK_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    parts.append(b"]}")
    yield b"".join(parts)
