"""One session: what it is, what was said in it, what happened, why, and what proves it."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from processor.codec.codec import Codec
from processor.codec.events import EventView, from_json
from processor.codec.isotime import format_time
from processor.core.model import Flag, flag_words
from processor.faces.context import Context, Given
from processor.faces.doors import Asking, Caller
from processor.faces.paths import SessionId
from processor.faces.positions import CaughtUp
from processor.faces.v1.filters import Parameters, Text, Time
from processor.faces.v1.reading import (
    JSON,
    answer,
    as_of_in,
    encode,
    etag_of,
    headers_of,
    held_of,
    in_thread,
    is_there,
    listed,
    told,
)
from processor.faces.v1.shapes import (
    SessionAudit,
    SessionEvents,
    SessionExplanation,
    SessionMessages,
    SessionProof,
    SessionTimeline,
    answers,
)
from processor.sessions import jsonforms
from processor.sessions.explain import Known, explain, limits_for
from processor.sessions.jsonforms import resource_of
from processor.sessions.metadata import MetadataFold
from processor.sessions.model import EventRow, MessageRow, Status
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.shapes import Proof, Resource
from processor.sessions.timeline import message_line, spooled
from processor.targets.paths import bundle_path
from processor.view.held import Held

MESSAGES: Final = 20
MESSAGES_MAX: Final = 500
_TAG_BITS: Final = (1 << len(Flag.WORDS)) - 1

router = APIRouter(tags=["One session"], dependencies=[CaughtUp])


class AsOf(Parameters):
    """As what a session is shown."""

    as_of: Annotated[
        Text | None,
        Field(description="As it was known then: an `A3CP-Position`, or a time; by the time at which records arrived."),
    ] = None


class Messages(AsOf):
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


@router.get("/sessions/{session_id}", responses=answers(Resource))
async def show_session(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[AsOf, Query()]
) -> Response:
    """Show a session as it is now, or as it was known at a time or position (`as_of`).

    It does not count as activity. The answer has an `ETag`; with `If-None-Match` an unchanged session is a 304.
    """
    if asked.as_of is None and (known := shown(request, context, who, session_id)) is not None:
        return known
    version = context.view.version(session_id)  # Before it is read: what comes meanwhile changes it.
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    etag, body = await in_thread(_encoded, held)
    if asked.as_of is None and held.is_whole:
        row = held.row
        context.encoded.put(session_id, version, user_id=row.user_id, owner=row.owner, etag=etag, body=body)
    return _if_changed(request, etag, body, headers_of(request, held))


def shown(request: Request, context: Context, who: Caller, session_id: str) -> Response | None:
    """Return what `show_session` answers if the session is as it was encoded last; else None."""
    known = context.encoded.get(context.view, session_id)
    if known is None or not who.sees(known[0].owner):
        return None
    encoded, position = known
    return _if_changed(request, encoded.etag, encoded.body, told(request, [position]))


@router.get("/sessions/{session_id}/messages", responses=answers(SessionMessages))
async def show_messages(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[Messages, Query()]
) -> Response:
    """Show messages of a session, oldest first.

    Each has its own fields, and `session_id`, `session_seq`, `session_flags` and `expressed_by`.

    With `since`, `until` or `after_seq` they are the first `limit` of those meant; else the last.
    """
    if asked.are_latest and (known := _latest(request, context, who, session_id, asked.limit)) is not None:
        return known
    version = context.view.version(session_id)  # Before they are read: what comes meanwhile changes it.
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    found = await in_thread(_messages, held, context.view.codec, asked)
    messages = [message for _, message in found]
    if asked.are_latest and held.is_whole and found:
        context.histories.put(session_id, version, held.row.owner, found[-1][0], messages)
    return _list_of(messages, headers_of(request, held))


def _latest(request: Request, context: Context, who: Caller, session_id: str, limit: int) -> Response | None:
    """Return the last messages of an open session from memory; None if they are not there."""
    view = context.view

    def encoded(row: MessageRow) -> bytes:
        return encode(message_fields(row, view.codec, view.owner_of(row.user_id)))

    known = context.histories.get(view, session_id, encoded)
    if known is None or not who.sees(known[0].owner) or (messages := known[0].latest(limit)) is None:
        return None
    return _list_of(messages, told(request, [known[1]]))


def _list_of(messages: Iterable[bytes], headers: dict[str, str]) -> Response:
    return Response(b'{"messages":[%b]}' % b",".join(messages), headers=headers, media_type=JSON)


@router.get("/sessions/{session_id}/events", responses=answers(SessionEvents))
async def show_events(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[AsOf, Query()]
) -> Response:
    """Show the session's events, in the order of the log: start, pauses, notes, steps, refusals, ends."""
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    events = (encode(event_fields(from_json(row.value), held.row.owner)) for row in held.events())
    return listed("events", events, headers_of(request, held), session_id=session_id)


@router.get("/sessions/{session_id}/timeline", responses=answers(SessionTimeline))
async def show_timeline(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[AsOf, Query()]
) -> Response:
    """Show messages and events in order of time, each with a line in plain words, as a bundle has them."""
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    spool = await in_thread(spooled, held.view, context.view.codec)

    def entries() -> Iterator[bytes]:
        with closing(spool):
            yield from spool if held.row.user_id == held.row.owner else map(of_owner, spool)

    def of_owner(entry: bytes) -> bytes:
        fields = msgspec.json.decode(entry)
        fields["record"]["user_id"] = held.row.owner
        return encode(fields)

    return listed("timeline", entries(), headers_of(request, held), session_id=session_id)


@router.get("/sessions/{session_id}/audit", responses=answers(SessionAudit))
async def show_audit(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[AsOf, Query()]
) -> Response:
    """Show which steps the session went through, and what the log proves of it.

    `proof.status` is `complete` when the messages that are held are those that the session's end tells of, by their
    number and by the digest over all of them. `ends` has each end that was told, with its revision.
    """
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    return answer(await in_thread(audit_of, held, context.bundles_root), headers_of(request, held))


@router.get("/sessions/{session_id}/explain", responses=answers(SessionExplanation))
async def show_explanation(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[AsOf, Query()]
) -> Response:
    """Explain the session: for each boundary and each flagged message the rule, the numbers and the record."""
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    found = await in_thread(_explanations, held, context)
    return answer({"session_id": session_id, "explanations": found}, headers_of(request, held))


@router.get("/sessions/{session_id}/proof", responses=answers(SessionProof))
async def show_proof(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[AsOf, Query()]
) -> Response:
    """Show what anybody can compute again to see that nothing is missing and nothing was changed.

    The digest begins as SHA-256 of the session's id (UTF-8). Each message, in order, makes it SHA-256 of the digest so
    far and the message's hash, 32 bytes each. After the last one it must be `expected_digest`.
    """
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    hashes = await in_thread(lambda: [encode(row.content_hash.hex()) for row in held.messages()])
    more = {"session_id": session_id, "algorithm": "sha-256", "position": str(held.position)}
    return listed("hashes", hashes, headers_of(request, held), **more, **msgspec.to_builtins(proof_of(held)))


def _encoded(held: Held) -> tuple[str, bytes]:
    """Return the ETag of a session and its JSON."""
    events = list(held.events())
    return etag_of(held, events), encode(session_resource(held, events))


def _if_changed(request: Request, etag: str, body: bytes, headers: dict[str, str]) -> Response:
    headers["ETag"] = etag
    if is_there(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=JSON)


def session_resource(held: Held, events: Iterable[EventRow]) -> Any:
    """Return the session as the API tells it; `events` are its own."""
    fold = MetadataFold()
    for row in events:
        fold.add(from_json(row.value))
    return resource_of(
        held.row,
        steps_completed=fold.steps_completed,
        timing=fold.timing(held.row),
        context=fold.context,
        notes=fold.notes,
        position=str(held.position),
        backend=held.backend,
    )


def event_fields(event: EventView, owner: str) -> dict[str, Any]:
    """Return a session event as the API tells it: of a person, never of a lane."""
    return jsonforms.event_fields(event._replace(user_id=owner))


def message_fields(row: MessageRow, codec: Codec, owner: str) -> dict[str, Any]:
    """Return a message as the API tells it: its own fields, of a withheld one what may be kept; and its tag.

    Raises:
        DecodeError, RegistryUnavailable: as `Codec.untag`.
    """
    entry = message_line(row, codec)[0].entry
    tag = {"session_id": row.session_id, "session_seq": row.seq, "session_flags": flag_words(row.notices & _TAG_BITS)}
    return {**entry.record, "user_id": owner, **tag, "expressed_by": row.expressed_by}


def proof_of(held: Held) -> Proof:
    """Return what the session's end says of its messages, and what is held."""
    row = held.row
    return Proof(
        row.status.value, row.expected_count, row.expected_digest, row.held_count, row.held_digest or "", row.revision
    )


def audit_of(held: Held, bundles_root: str | None) -> dict[str, Any]:
    """Return the session's steps, what the log proves of it, and where its bundle is below the root."""
    row = held.row
    fold = MetadataFold()
    ends = []
    for each in held.events():
        event = from_json(each.value)
        fold.add(event)
        if event.kind == "ended":
            ends.append({
                "revision": event.revision, "told_at": format_time(each.append_ms), "reason": event.reason,
                "end_time": None if event.end_time is None else format_time(event.end_time),
                "message_count": event.message_count, "digest": event.digest,
            })  # fmt: skip
    metadata = fold.metadata(row)
    return {
        "session_id": row.session_id,
        "user_id": row.owner,
        "created_at": metadata.created_at,
        "status": metadata.status,
        "phase": row.phase,
        "steps_completed": metadata.steps_completed,
        "timing": fold.timing_of_steps,
        "data": metadata.data,
        "audit_path": bundles_root and f"{bundles_root.rstrip('/')}/{bundle_path(row.session_id, row.start_ms)}",
        "complete": row.status is Status.COMPLETE,
        "words": _proof_words(held),
        "proof": proof_of(held),
        "ends": ends,
        "position": str(held.position),
    }


def _proof_words(held: Held) -> str:
    row = held.row
    if row.status is Status.OPEN:
        return f"open: {row.held_count} messages so far; its end will tell how many there are, and their digest"
    count = f"{row.held_count} of {row.expected_count or 0} messages"
    if row.status is Status.COMPLETE:
        return f"complete: {count}, and the digest over them is equal"
    return f"partial: {count}; count or digest are not those that the end tells of"


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


def _explanations(held: Held, context: Context) -> list[Any]:
    topics, codec = context.settings.topics(), context.view.codec
    rules = context.settings.rules()

    def why_odd(row: MessageRow) -> Sequence[str]:
        return codec.reasons(codec.untag(row.value)[1]) if row.value is not None else ()

    limits = limits_for(held.row.template, context.view.policy_of(held.row.user_id), rules)
    known = Known(limits, rules.skew_ms, {TAGGED: topics.tagged, SESSIONS: topics.sessions}, why_odd)
    return list(explain(held.view, known))
