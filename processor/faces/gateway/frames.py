"""The frames: what a client says as we read it, and what we say, as bytes of JSON."""

from typing import Any, Final, TypeAlias

import msgspec

from processor.codec.jsonmembers import checked_members
from processor.errors import DecodeError
from processor.faces.gateway.codes import INVALID_SESSION
from processor.faces.problems import Problem

PROTOCOL: Final = "a3cp.v1"
ACK_ID_CHARS_MAX: Final = 64
_ACK_ID_END: Final = 1 << 53  # Beyond it a JavaScript client does not count.

AckId: TypeAlias = int | str
"""A client's own name for a frame; with it the frame is acknowledged, and may be sent again."""

encode: Final = msgspec.json.Encoder().encode


class Frame(msgspec.Struct, rename="camel"):
    """A frame of a client. Without `type` it is a message as the document has it: `sessionId`, `command`, `payload`."""

    type: Any = None
    session_id: Any = None
    command: Any = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    ack_id: Any = None
    timestamp: Any = None
    performer_id: Any = None
    user_id: Any = None


class Ack(dict[str, Any]):
    """What an acknowledgement says; its position is that of the moment when it is sent."""


_decode: Final = msgspec.json.Decoder(Frame).decode
_members: Final = msgspec.json.Decoder(dict[str, Any]).decode


def frame_in(data: str | bytes) -> Frame:
    """Return the frame in `data`.

    Raises:
        Problem: invalid_request, since it is no JSON object; it says what it is.
    """
    try:
        return _decode(data)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors; the latter is nested too deeply.
        raise _no_frame(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")) from None


def _no_frame(value: bytes) -> Problem:
    try:
        checked_members(value)
    except DecodeError as error:
        return Problem("invalid_request", f"the frame: {error.what}; {error.remedy}")
    return Problem("invalid_request", "the frame is no JSON object")


def ack_id_in(frame: Frame) -> AckId | None:
    """Return the frame's `ackId`; None if it has none.

    Raises:
        Problem: invalid_request, since it is neither a whole number nor a short text.
    """
    ack_id = frame.ack_id
    if ack_id is None or (type(ack_id) is int and abs(ack_id) < _ACK_ID_END):
        return ack_id
    if type(ack_id) is str and 0 < len(ack_id) <= ACK_ID_CHARS_MAX and ack_id.isprintable():
        return ack_id
    raise Problem("invalid_request", f"ackId is a whole number, or a text of 1 to {ACK_ID_CHARS_MAX} characters")


def payload_in(frame: Frame) -> dict[str, Any]:
    """Return the members of the frame's payload; none if it has no payload.

    Raises:
        Problem: invalid_request, since it is no object.
    """
    if bytes(frame.payload) == b"null":
        return {}
    try:
        return _members(frame.payload)
    except (ValueError, RecursionError):
        raise Problem("invalid_request", f"the payload of {frame.type} is an object") from None


def told(kind: str, payload: object) -> bytes:
    """Return a frame to the client."""
    return encode({"type": kind, "payload": payload})


def error(problem: Problem, ack_id: AckId | None = None) -> bytes:
    """Return the frame that tells a client what is wrong."""
    frame = {"type": "error", "payload": problem.detail, "code": problem.code}
    return encode(frame if ack_id is None else {**frame, "ackId": ack_id})


INVALID: Final = told("error", INVALID_SESSION)
"""The document's own words for a session that there is not, or no longer."""
