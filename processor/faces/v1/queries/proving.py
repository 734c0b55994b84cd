"""What a session went through, and what proves it."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from processor.codec.events import from_json
from processor.codec.isotime import format_time
from processor.faces.replica.context import Given
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.reading import Wanted, answer, encode, headers_of, in_thread, listed
from processor.faces.v1.shapes import SessionAudit, SessionProof, answers
from processor.sessions.forms.metadata import MetadataFold
from processor.sessions.forms.shapes import Proof
from processor.sessions.model import EventRow, Status
from processor.targets.paths import bundle_path
from processor.upstream.words.counting import counted
from processor.view.held import Held
from processor.view.position import Position

router = APIRouter(tags=["One session"], dependencies=[CaughtUp])


@router.get("/sessions/{session_id}/audit", responses=answers(SessionAudit))
async def show_audit(request: Request, held: Wanted, context: Given) -> Response:
    """Show which steps the session went through, and what the log proves of it.

    `proof.status` is `complete` when the messages that are held are those that the session's end tells of, by their
    number and by the digest over all of them. `ends` has each end that was told, with its revision; its `position`
    shows as `as_of` the session as that end left it.
    """
    return answer(await in_thread(_audit_of, held, context.bundles_root), headers_of(request, held))


@router.get("/sessions/{session_id}/proof", responses=answers(SessionProof))
async def show_proof(request: Request, held: Wanted) -> Response:
    """Show what anybody can compute again to see that nothing is missing and nothing was changed.

    The digest begins as SHA-256 of the session's id (UTF-8). Each message, in order, makes it SHA-256 of the digest so
    far and the message's hash, 32 bytes each. After the last one it must be `expected_digest`.
    """
    hashes = await in_thread(lambda: [encode(row.content_hash.hex()) for row in held.messages()])
    more = {"session_id": held.row.session_id, "algorithm": "sha-256", "position": str(held.position)}
    return listed("hashes", hashes, headers_of(request, held), **more, **msgspec.to_builtins(_proof_of(held)))


def _proof_of(held: Held) -> Proof:
    """Return what the session's end says of its messages, and what is held."""
    row = held.row
    return Proof(
        row.status.value, row.expected_count, row.expected_digest, row.held_count, row.held_digest or "", row.revision
    )


def _audit_of(held: Held, bundles_root: str | None) -> dict[str, Any]:
    """Return the session's steps, what the log proves of it, and where its bundle is below the root."""
    row = held.row
    fold = MetadataFold()
    ends = []
    for each in held.events():
        event = from_json(each.value)
        fold.add(event)
        if event.kind == "ended":
            ends.append({
                "position": str(_position_at(held, each, event.message_count or 0)),
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
        "proof": _proof_of(held),
        "ends": ends,
        "position": str(held.position),
    }


def _position_at(held: Held, end: EventRow, count: int) -> Position:
    """Return the position at which an end was the latest thing that was known, with the first `count` messages."""
    tagged = next((row.offset + (row.seq == count) for row in held.messages_after(max(0, count - 1))), 0)
    return held.position._replace(sessions=end.offset + 1, tagged=tagged if count else 0)


def _proof_words(held: Held) -> str:
    row = held.row
    if row.status is Status.OPEN:
        return (
            f"open: {counted(row.held_count, 'message')} so far; its end will tell how many there are, and their digest"
        )
    count = f"{row.held_count} of {counted(row.expected_count or 0, 'message')}"
    if row.status is Status.COMPLETE:
        return f"complete: {count}, and the digest over them is equal"
    return f"partial: {count}; count or digest are not those that the end tells of"
