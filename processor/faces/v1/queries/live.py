"""What happens, as it happens: server-sent events of one session, or of all that a filter means.

Each has as `id` the position behind it. Sent back as `Last-Event-ID`, to any replica, it makes the stream go on there.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from processor.bundles.contents import in_order_of_log
from processor.codec.codec import Codec
from processor.codec.events import from_json
from processor.core.ids import owner_of
from processor.errors import A3CPError
from processor.faces.auth.doors import Asking
from processor.faces.replica.context import Context, Given
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import CaughtUp, position_in
from processor.faces.v1.filters import Filter, Listing, Parameters, Text
from processor.faces.v1.queries.listing import page_of
from processor.faces.v1.reading import CHUNK_BYTES, encode, held_of, in_thread
from processor.faces.v1.telling import event_fields, message_fields, session_resource
from processor.sessions.forms.jsonforms import resource_of
from processor.sessions.model import MessageRow
from processor.sessions.ports import SESSIONS, TAGGED
from processor.view.held import Held
from processor.view.position import Position
from processor.view.view import View
from processor.view.watching import Live, Watch

SILENCE_S: Final = 15.0  # after which a comment is sent, so that nobody takes the line for a broken one
ENCODED_MAX: Final = 256  # of the latest things that happened, each encoded once for all who watch
_COMMENT: Final = b":\n\n"
_HEADERS: Final = {"X-Accel-Buffering": "no"}  # Else a proxy may wait for more before it passes on what is there.

router = APIRouter(tags=["Live"], dependencies=[CaughtUp])


class StreamStart(Parameters):
    """Where a stream of one session begins."""

    after: Annotated[
        Text | None, Field(description="The position behind which to begin, where no `Last-Event-ID` can be sent.")
    ] = None


class FollowingMany(Filter):
    """Which sessions a stream is of, and where it begins."""

    after: Annotated[
        Text | None, Field(description="The positions behind which to begin, where no `Last-Event-ID` can be sent.")
    ] = None


class Stream(StreamingResponse):
    """A stream of events and the watch that it comes from, which ends with it."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], watch: Watch, context: Context) -> None:
        super().__init__(content, headers=_HEADERS)
        self._watch = watch
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it until its reader goes, or is too slow."""
        try:
            with self._context.metrics.live_stream():
                await super().__call__(scope, receive, send)
        finally:
            self._watch.close()


@router.get("/sessions/{session_id}/live", response_class=Stream, status_code=200)
async def follow_session(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[StreamStart, Query()]
) -> Stream:
    """Follow a session: its messages (`event: message`) and its events (`event: event`) as server-sent events.

    Each has an `id`. With `Last-Event-ID` the stream goes on behind it, on any replica, and misses nothing. If that is
    not possible, `event: reset` comes first, with the session as it is. A comment comes every 15 s. Whoever reads too
    slowly is let go, and may come back.
    """
    after = _after(request, asked.after, context.view)
    watch = context.view.watch(session_id=session_id)  # From now on; what is read below is older, or comes twice.
    try:
        held = await held_of(context, who, session_id)
    except BaseException:
        watch.close()
        raise
    return Stream(_of_session(context.view.codec, held, watch, after), watch, context)


@router.get("/live", response_class=Stream, status_code=200)
async def follow_sessions(
    request: Request, who: Asking, context: Given, asked: Annotated[FollowingMany, Query()]
) -> Stream:
    """Follow all sessions that the filter means: whenever one has changed, it comes as it is then (`event: session`).

    `data.event` is what has happened; what changed before the stream began comes without it. What begins, ends, is
    noted and the like counts as a change, a message does not.
    Otherwise it is as for one session; `event: reset` has the first page of their list.
    """
    view, wanted = context.view, asked.wanted(who)
    after = _after(request, asked.after, view)
    watch = view.watch(wanted=wanted)

    def missed() -> Iterator[bytes]:
        """Yield what has changed since `after`, or the list anew."""
        at = _vector(view.progress.positions())
        ends = {position.partition: position.sessions for position in (after or {}).values()}
        changed = view.changed(wanted, ends) if len(ends) == len(view.progress.positions()) else None
        if changed is None:
            body, _ = page_of(context, who, Listing(**asked.model_dump(exclude={"after"})))
            yield _frame("reset", at, encode(body))
        for row in changed or ():
            yield _frame("session", at, encode(resource_of(row)))

    return Stream(_of_many(view, watch, () if after is None else missed()), watch, context)


def _after(request: Request, asked: str | None, view: View) -> Mapping[int, Position] | None:
    """Return the positions behind which to begin, by partition; those of another cluster are left out.

    Returns None if none is asked for.

    Raises:
        Problem: invalid_request, since one is none that a service has told.
    """
    text = request.headers.get("last-event-id") or asked
    if not text:
        return None
    here = view.progress.positions()
    told = [position_in(each.strip(), partitions=len(here)) for each in text.split(",")]
    return {each.partition: each for each in told if each.cluster == here[0].cluster}


async def _of_session(
    codec: Codec, held: Held, watch: Watch, after: Mapping[int, Position] | None
) -> AsyncIterator[bytes]:
    here = held.position
    begin = here if after is None else after.get(here.partition)
    if begin is None or (after is not None and not held.is_whole):
        yield _frame("reset", here, await in_thread(lambda: encode(session_resource(held, held.events()))))
        begin = here
    else:
        yield _begun(begin)
    replay = _Replay(held, begin, codec)
    if begin != here:  # Else nothing has happened since, and the watch has what does.
        async for chunk in iterate_in_threadpool(replay.chunks()):
            yield chunk
    async for live in _until_slow(watch):
        if live is None:
            yield _COMMENT
        elif replay.is_behind(live):
            yield _encoded(live, codec)


class _Replay:
    """What has happened in a session since a position, in the order of the log. Then a watch goes on behind it."""

    def __init__(self, held: Held, begin: Position, codec: Codec) -> None:
        self._held = held
        self._at = begin
        self._codec = codec

    def chunks(self) -> Iterator[bytes]:
        """Yield what is to be sent of it, some at a time."""
        frames: list[bytes] = []
        size, owner = 0, self._held.row.owner
        begin = self._at
        for row, _ in in_order_of_log(self._held.view):
            if isinstance(row, MessageRow):
                if begin.has(TAGGED, row.partition, row.offset):
                    continue
                self._at = self._at._replace(tagged=row.offset + 1)
                frames.append(_frame("message", self._at, encode(message_fields(row, self._codec, owner))))
            else:
                if begin.has(SESSIONS, row.partition, row.offset):
                    continue
                self._at = self._at._replace(sessions=row.offset + 1)
                frames.append(_frame("event", self._at, encode(event_fields(from_json(row.value), owner))))
            size += len(frames[-1])
            if size >= CHUNK_BYTES:
                yield b"".join(frames)
                frames, size = [], 0
        if frames:
            yield b"".join(frames)

    def is_behind(self, live: Live) -> bool:
        """Whether it came after what was replayed."""
        if live.event is not None:
            return live.position.sessions > self._at.sessions
        return live.position.tagged > self._at.tagged


async def _of_many(view: View, watch: Watch, missed: Iterable[bytes]) -> AsyncIterator[bytes]:
    at = list(view.progress.positions())
    async for frame in iterate_in_threadpool(missed):
        yield frame
    yield _begun(_vector(at))
    async for live in _until_slow(watch):
        if live is None:
            yield _COMMENT
            continue
        partition = live.position.partition
        at[partition] = max(at[partition], live.position)
        yield _frame("session", _vector(at), await asyncio.shield(_summary(view, live)))


@lru_cache(maxsize=ENCODED_MAX)
def _encoded(live: Live, codec: Codec) -> bytes:
    """Return what is sent of a session's event or message; made once for all who watch."""
    owner = owner_of(live.user_id)
    if live.event is not None:
        return _frame("event", live.position, encode(event_fields(live.event, owner)))
    assert live.message is not None
    return _frame("message", live.position, encode(message_fields(live.message, codec, owner)))


@lru_cache(maxsize=ENCODED_MAX)
def _summary(view: View, live: Live) -> "asyncio.Task[bytes]":
    """Return what is sent of a session in which something has happened; made once for all who watch."""

    def read() -> bytes:
        assert live.event is not None
        owner = owner_of(live.user_id)
        told = {"session_id": live.session_id, "user_id": owner}
        try:
            held = None if live.session_id is None else view.session(live.session_id)
        except A3CPError:  # The store does not answer: what has happened is told all the same.
            held = None
        if held is not None:
            told = msgspec.to_builtins(resource_of(held.row, position=str(held.position)))
        return encode({**told, "event": event_fields(live.event, owner)})

    return asyncio.create_task(in_thread(read))


async def _until_slow(watch: Watch) -> AsyncIterator[Live | None]:
    """Yield what happens; None whenever nothing has happened for a while. It ends when the reader is too slow."""
    while True:
        try:
            yield await watch.within(SILENCE_S)
        except StopAsyncIteration:
            return


def _vector(positions: Iterable[Position]) -> str:
    return ",".join(map(str, positions))


def _begun(position: Position | str) -> bytes:
    """Return what gives a stream its position before anything has happened; readers see no event in it."""
    return b"id: %b\n\n" % str(position).encode()


def _frame(kind: str, position: Position | str, data: bytes) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(position).encode(), kind.encode(), data)
