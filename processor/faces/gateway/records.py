"""Messages of sockets as records: what a client said stays as it is, inside of `payload`."""

from hashlib import sha1
from typing import Any, Final
from uuid import UUID

from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time
from processor.faces.gateway.frames import AckId, encode
from processor.faces.requests.finding import Place

SOURCE: Final = "gateway"
_NAMESPACE: Final = UUID("0f0f6e1c-5b0e-5c58-9f2e-6f3c3f0f7a53").bytes  # Ours; any fixed UUID does.


def record_id_of(session_id: str, ack_id: AckId) -> str:
    """Return the record id of what is said in a session with an `ackId`: a UUID of version 5, always the same."""
    digest = sha1(_NAMESPACE + session_id.encode() + b"\0" + encode(ack_id), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def message_of(
    place: Place,
    *,
    record_id: str,
    timestamp_ms: int,
    performer_id: str,
    command: str,
    payload: bytes,
    ack_id: AckId | None,
    context: dict[str, Any],
) -> bytes:
    """Return the record of a message for the session at `place`; `payload` is JSON, `context` the session's own."""
    spine = encode({
        "schema_version": SCHEMA_VERSION,
        "record_id": record_id,
        "user_id": place.user_id,
        "session_id": place.session_id,
        "timestamp": format_time(timestamp_ms),
        "source": SOURCE,
        "performer_id": performer_id,
    })  # fmt: skip
    ack = b"" if ack_id is None else b',"ackId":' + encode(ack_id)
    held = b',"context":' + encode(context) if context else b""
    return b'%b,"payload":{"command":%b,"payload":%b%b}%b}' % (spine[:-1], encode(command), payload, ack, held)
