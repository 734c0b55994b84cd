"""Takes messages in: of one session, or of anybody, and puts them into the log.

All of a request's messages are checked before the first is sent, so that one that is wrong holds back the others.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import APIRouter, Request, Response

from processor.client.sending import Sender
from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time
from processor.codec.jsonmembers import checked_members
from processor.core.ids import owner_of
from processor.core.model import Flag, Message, flag_words
from processor.errors import DecodeError, RecordError, RegistryUnavailable
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.faces.requests import ids
from processor.faces.requests.delivering import Delivery
from processor.faces.requests.finding import Place
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import position_headers, user_position, wait_s
from processor.faces.v1.commands.asked import Ask, Asked
from processor.faces.v1.commands.commanding import PARTICIPANTS
from processor.faces.v1.reading import answer, in_thread
from processor.runtime.withholding import MEDIA, why_withheld
from processor.sessions.model import MessageRow
from processor.view.standing import Standing
from processor.view.watching import Watch

router: Final = APIRouter(tags=["Messages"])

LINES_MAX: Final = 500
MESSAGE_BYTES_MAX: Final = 1_000_000  # The topic takes 1 MiB, with the key and what belongs to a record.
TAGGED_WAIT_S_MAX: Final = 60.0
_WATCHED_MAX: Final = 4 * LINES_MAX  # What else happens in the session meanwhile comes along.
_TAG_BITS: Final = (1 << len(Flag.WORDS)) - 1
_JSON: Final = frozenset({"application/json", "text/json"})
_LINES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_AS_LINES: Final = "Send them with the header `Content-Type: application/x-ndjson`."
_BINARY: Final = frozenset({
    "application/octet-stream", "application/avro", "application/vnd.apache.avro+binary", "avro/binary",
    "application/vnd.kafka.avro.v2+binary",
})  # fmt: skip
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object", "description": "An A3CPMessage."}},
            "application/x-ndjson": {
                "schema": {"type": "string", "description": f"An A3CPMessage a line, at most {LINES_MAX}."}
            },
        },
    }
}
TAKEN: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "They are tagged: `Prefer: wait=N` was sent, and it took no longer."},
    202: {"description": "The log has them."},
}

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


class Incoming(NamedTuple):
    """A message that is to be sent."""

    value: bytes
    user_id: str
    record_id: str | None


@router.post(
    "/sessions/{session_id}/messages",
    status_code=202,
    openapi_extra=_BODY,
    responses=TAKEN,
    dependencies=[PARTICIPANTS],
)
async def say(session_id: SessionId, ask: Ask) -> Response:
    """Add messages to a session: one as JSON, or several as lines of JSON.

    What a message does not say itself is filled in: whose it is, its session, `record_id`, `timestamp` and
    `schema_version`. With `Prefer: wait=N` the answer waits until they are tagged, and says how.
    """
    place = await ask.place_of(session_id)
    if place.standing is Standing.CLOSED:
        raise Problem("session_closed", "a closed session takes no messages", session_id=session_id)
    lines = _lines_of(ask.request, body=await ask.request.body(), takes_binary=False)
    filled = []
    for number, line in enumerate(lines, 1):
        spine = {
            "schema_version": SCHEMA_VERSION,
            "record_id": ask.new_record_id(f"message {number}"),
            "timestamp": format_time(ask.context.now_ms()),
        }
        filled.append(_filled(line, number, place, spine))
    return await ask.once(lambda: said(ask, place, filled))


@router.post("/messages", status_code=202, openapi_extra=_BODY, responses=TAKEN, dependencies=[PARTICIPANTS])
async def take(ask: Ask) -> Response:
    """Take messages as they are: one as JSON or Avro, or several as lines of JSON. Not a byte of them is changed."""
    lines = _lines_of(ask.request, body=await ask.request.body(), takes_binary=True)

    async def taken() -> Response:
        return (await _taken(ask, await _checked_of(ask, lines)))[0]

    return await ask.once(taken)


async def said(ask: Asked, place: Place, values: Sequence[bytes]) -> Response:
    """Send a session's messages, and wait as long as the request wants to know how they are tagged."""
    incoming = await _checked_of(ask, values)
    patience_s = wait_s(ask.request, 0.0, TAGGED_WAIT_S_MAX)
    if not patience_s:
        return (await _taken(ask, incoming))[0]
    watching = ask.context.view.watch(session_id=place.session_id, takes_moved=True, queue_max=_WATCHED_MAX)
    with closing(watching) as watch:
        taken, is_kept = await _taken(ask, incoming)
        rows = None if is_kept else await _tagged(watch, incoming, patience_s)
    if rows is None:
        return taken
    headers = {
        **user_position(ask.request, ask.context, place.user_id),
        "Server-Timing": taken.headers["Server-Timing"],
    }
    return answer({"messages": list(map(_tag_fields, rows))}, headers)


async def _checked_of(ask: Asked, values: Sequence[bytes]) -> Sequence[Incoming]:
    """Return `values` as messages that the caller may send.

    Raises:
        Problem: one of them is none, may not be in the log, or is of a user whom the token does not cover.
    """
    incoming = await in_thread(_checked, ask.context.sender, values)  # A schema registry may be asked.
    if not all(ask.who.sees(owner_of(each.user_id)) for each in incoming):
        raise Problem("forbidden", "the token does not cover the user of a message")
    return incoming


async def _taken(ask: Asked, incoming: Sequence[Incoming]) -> tuple[Response, bool]:
    """Send messages, say that the log has them, and return whether some wait in the outbox. Raises as `_send` does."""
    log_s, is_kept = await _send(ask.context, incoming)
    position_of = ask.context.view.progress.position_of
    positions = {str(position): position for position in (position_of(each.user_id) for each in incoming)}
    headers = {
        **position_headers(ask.request, list(positions.values())),
        "Server-Timing": f"log;dur={log_s * 1000:.1f}",
    }
    kept = {"backend": "fallback"} if is_kept else {}
    told = answer({"accepted": len(incoming), "record_ids": [each.record_id for each in incoming], **kept}, headers)
    told.status_code = 202
    return told, is_kept


async def _send(context: Context, incoming: Sequence[Incoming]) -> tuple[float, bool]:
    """Send all, in their order; return how long the log took to have them, s, and whether some wait in the outbox.

    Raises:
        BrokerUnavailable, OutboxFull: of those sent, the log may have some.
    """
    delivery, kept = Delivery(len(incoming)), list[Incoming]()

    def keep(one: Incoming) -> None:
        kept.append(one)
        delivery.on_kept()

    begun_s = time.perf_counter()
    for each in incoming:
        context.sender.message(
            each.value,
            user_id=each.user_id,
            strict=False,
            record_id=each.record_id,
            on_done=delivery.on_done,
            on_kept=partial(keep, each),
        )
    await delivery()
    if context.meanwhile is not None:
        for each in kept:
            await in_thread(context.meanwhile.take, each.value, each.user_id.encode())
    return time.perf_counter() - begun_s, delivery.is_kept


async def _tagged(watch: Watch, incoming: Sequence[Incoming], patience_s: float) -> list[MessageRow] | None:
    """Return the tagged messages in the order of `incoming`; None if that takes too long, or too much happens."""
    found: dict[bytes, MessageRow] = {}
    hashes = [sha256(each.value).digest() for each in incoming]
    missing = set(hashes)
    try:
        async with asyncio.timeout(patience_s):
            async for live in watch:
                row = live.message
                if row is not None and row.content_hash in missing:
                    found[row.content_hash] = row
                    missing.discard(row.content_hash)
                    if not missing:
                        return [found[each] for each in hashes]
    except TimeoutError:
        pass
    return None


def _tag_fields(row: MessageRow) -> dict[str, Any]:
    return {
        "record_id": row.record_id,
        "session_id": row.session_id,
        "seq": row.seq,
        "flags": flag_words(row.notices & _TAG_BITS),
    }


def _checked(sender: Sender, values: Sequence[bytes]) -> list[Incoming]:
    """Return `values` as messages.

    Raises:
        Problem: one of them is none, or may not be in the log.
    """
    return [_check(sender, value, number) for number, value in enumerate(values, 1)]


def _check(sender: Sender, value: bytes, number: int) -> Incoming:
    if len(value) > MESSAGE_BYTES_MAX:
        raise Problem("too_large", f"message {number} has {len(value)} bytes, at most {MESSAGE_BYTES_MAX} are taken")
    try:
        message = sender.read(value)
        if not isinstance(message, Message):
            raise _not_valid(number, "it is a command", remedy="send it to the route of the command")
        ids.user_id(message.user_id)
        why = why_withheld(value, sender.codec.fields_of(value))
    except RecordError as error:
        raise _not_valid(number, error.what, remedy=error.remedy) from error
    except ValueError as error:
        raise _not_valid(number, f"user_id: {error}") from error
    except RegistryUnavailable as error:
        raise Problem("broker_unavailable", error.what, remedy=error.remedy) from error
    if why == MEDIA:
        raise Problem("media_not_allowed", f"message {number} holds raw video, audio or images")
    return Incoming(value, message.user_id, message.record_id)


def _filled(line: bytes, number: int, place: Place, spine: Mapping[str, str]) -> bytes:
    """Return a message of a session with what it does not say itself; what it says stays as it is, byte for byte.

    Raises:
        Problem: invalid_request, since it is no JSON object, or says that it is another user's or session's.
    """
    try:
        members = _members(line)
        told: dict[str, object] = {
            key: msgspec.json.decode(members[key]) for key in ("user_id", "session_id") if key in members
        }
    except (ValueError, RecursionError):  # msgspec's errors, and text that is no UTF-8; the latter is too deep.
        raise _no_object(line, number) from None
    if told.get("user_id") not in (None, place.user_id, place.owner):
        raise _not_valid(number, "user_id is another user's", remedy="leave user_id out: it is filled in")
    if told.get("session_id") not in (None, "", place.session_id):
        raise _not_valid(number, "session_id is another session's", remedy="leave session_id out: it is filled in")
    wanted = {"user_id": place.user_id, "session_id": place.session_id}
    added: dict[str, str] = {key: value for key, value in wanted.items() if told.get(key) != value}
    added |= {key: value for key, value in spine.items() if key not in members}
    return _encode({**members, **added}) if added else line


def _no_object(line: bytes, number: int) -> Problem:
    try:
        checked_members(line)
    except DecodeError as error:
        return _not_valid(number, error.what, remedy=error.remedy)
    return _not_valid(number, "it is no JSON object")


def _lines_of(request: Request, *, body: bytes, takes_binary: bool) -> list[bytes]:
    """Return the messages in the body of a request.

    Raises:
        Problem: unsupported_media_type; too_large; invalid_request, since there are none.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind in _LINES:
        lines = [line for line in body.splitlines() if line.strip()]
    elif kind in _JSON or (kind in _BINARY and takes_binary):
        lines = [body] if body.strip() else []
        if kind in _JSON and _are_several(body):
            raise Problem("invalid_request", "the body is several lines of JSON", remedy=_AS_LINES)
        if kind in _JSON and _is_list(body):
            raise Problem(
                "invalid_request", "the body is a list of messages", remedy=f"One message a line. {_AS_LINES}"
            )
    else:
        words = ", ".join(sorted({*_JSON, *_LINES, *(_BINARY if takes_binary else ())}))
        raise Problem("unsupported_media_type", f"messages come as one of these: {words}")
    if not lines:
        raise Problem("invalid_request", "there is no message in the body")
    if len(lines) > LINES_MAX:
        raise Problem("too_large", f"there are {len(lines)} messages, at most {LINES_MAX} are taken at a time")
    return lines


def _are_several(body: bytes) -> bool:
    """Whether a body looks like a message on each of several lines."""
    lines = [line for line in map(bytes.strip, body.splitlines()) if line]
    return len(lines) > 1 and all(line.startswith(b"{") and line.endswith(b"}") for line in lines)


def _is_list(body: bytes) -> bool:
    """Whether a body is a list, or has one as its only member `messages`, as other services take it."""
    if body.lstrip()[:1] not in (b"[", b"{"):
        return False
    try:
        members = _members(body)
    except (ValueError, RecursionError):
        return body.lstrip().startswith(b"[")
    return members.keys() == {"messages"} and bytes(members["messages"]).lstrip().startswith(b"[")


def _not_valid(number: int, what: str, *, remedy: str = "") -> Problem:
    errors = [{"loc": ["body", number - 1], "msg": what, "type": "value_error"}]
    return Problem("invalid_request", f"message {number}: {what}", remedy=remedy, errors=errors)
