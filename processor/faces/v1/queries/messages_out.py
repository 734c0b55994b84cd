"""The messages of one session, or some of them."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from processor.codec.codec import Codec
from processor.core.ids import owner_of
from processor.faces.auth.doors import Asking, Caller
from processor.faces.replica.context import Context, Given
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.filters import Text, Time
from processor.faces.v1.reading import (
    JSON,
    Moment,
    as_of_in,
    encode,
    headers_of,
    held_of,
    in_thread,
    is_logged,
    told,
    version_of,
)
from processor.faces.v1.shapes import SessionMessages, answers
from processor.faces.v1.telling import message_fields
from processor.sessions.model import MessageRow
from processor.view.held import Held

MESSAGES: Final = 20
MESSAGES_MAX: Final = 500

router = APIRouter(tags=["One session"], dependencies=[CaughtUp])


class Messages(Moment):
    """Which messages of a session are meant."""

    limit: Annotated[int, Field(ge=1, le=MESSAGES_MAX, description="How many at most.")] = MESSAGES
    before_seq: Annotated[int | None, Field(ge=1, le=1 << 53, description="Those with a smaller number.")] = None
    after_seq: Annotated[int | None, Field(ge=0, le=1 << 53, description="Those with a greater number.")] = None
    since: Annotated[Time | None, Field(description="Of this time or later.")] = None
    until: Annotated[Time | None, Field(description="Of an earlier time.")] = None
    role: Annotated[Text | None, Field(description="Of a conversation: whose messages, `user` or `assistant`.")] = None
    expressed_by: Annotated[
        Literal["user", "carer", "system"] | None, Field(description="Whose expression they are.")
    ] = None

    @property
    def is_forward(self) -> bool:
        """Whether the first of those meant are wanted, not the last."""
        return (self.after_seq, self.since, self.until) != (None, None, None)

    @property
    def are_latest(self) -> bool:
        """Whether they are the last of all."""
        return not self.model_fields_set - {"limit"}

    def means(self, row: MessageRow) -> bool:
        """Whether it is meant, as far as its row tells."""
        seq = row.seq or 0
        return (
            (self.before_seq is None or seq < self.before_seq)
            and (self.after_seq is None or seq > self.after_seq)
            and (self.since is None or row.timestamp_ms >= self.since)
            and (self.until is None or row.timestamp_ms < self.until)
            and self.expressed_by in (None, row.expressed_by)
        )


@router.get("/sessions/{session_id}/messages", responses=answers(SessionMessages))
async def show_messages(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[Messages, Query()]
) -> Response:
    """Show messages of a session, oldest first.

    Each has its own fields, and `session_id`, `session_seq`, `session_flags` and `expressed_by`.

    With `since`, `until` or `after_seq` they are the first `limit` of those meant; else the last.
    """
    if asked.are_latest and (known := latest(request, context, who, session_id, asked.limit)) is not None:
        return known
    version = version_of(context, session_id)  # Before they are read: what comes meanwhile changes it.
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    found = await in_thread(_messages, held, context.view.codec, asked)
    messages = [message for _, message in found]
    if asked.are_latest and held.is_whole and found:
        context.histories.put(session_id, version, held.row.owner, found[-1][0], messages)
    return _list_of(messages, headers_of(request, held))


def latest(request: Request, context: Context, who: Caller, session_id: str, limit: int) -> Response | None:
    """Return the last messages of an open session from memory; None if they are not there."""
    view = context.view

    def encoded(row: MessageRow) -> bytes:
        return encode(message_fields(row, view.codec, owner_of(row.user_id)))

    known = context.histories.get(view, session_id, encoded) if is_logged(context, session_id) else None
    if known is None or not who.sees(known[0].owner) or (messages := known[0].latest(limit)) is None:
        return None
    return _list_of(messages, told(request, [known[1]]))


def _list_of(messages: Iterable[bytes], headers: dict[str, str]) -> Response:
    return Response(b'{"messages":[%b]}' % b",".join(messages), headers=headers, media_type=JSON)


def _messages(held: Held, codec: Codec, asked: Messages) -> Sequence[tuple[MessageRow, bytes]]:
    """Return the messages that are meant, and each as it is sent."""
    meant = (row for row in held.messages_after(_begin(held, asked)) if asked.means(row))
    owner = held.row.owner
    if asked.role is None:
        rows = islice(meant, asked.limit) if asked.is_forward else deque(meant, asked.limit)
        return [(row, encode(message_fields(row, codec, owner))) for row in rows]
    fields_of = ((row, message_fields(row, codec, owner)) for row in meant)
    spoken = ((row, encode(fields)) for row, fields in fields_of if fields.get("role") == asked.role)
    return list(islice(spoken, asked.limit) if asked.is_forward else deque(spoken, asked.limit))


def _begin(held: Held, asked: Messages) -> int:
    """Return a number behind which all the messages are that are wanted: what is before need not be read."""
    if asked.after_seq is not None:
        return asked.after_seq
    is_part = (asked.role, asked.expressed_by) != (None, None)
    if asked.is_forward or is_part or held.row.held_digest is None:  # None: some are missing.
        return 0
    last = held.row.held_count if asked.before_seq is None else min(asked.before_seq - 1, held.row.held_count)
    return max(0, last - asked.limit)
