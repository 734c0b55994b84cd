"""Whose expression a message or a session event is: decided here, and alike in every face.

What is said counts before who sent it. A sign that was recognised is the user's, whoever held the camera and whichever
module told of it; cameras and microphones are the system's; what a person confirms or notes is the carer's.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from processor.codec.events import EventView
from processor.core.ids import owner_of
from processor.upstream.words import Said, said_in_message


class Voice(Enum):
    """Whose expression it is."""

    USER = "user"  # the person who communicates
    CARER = "carer"  # a parent, carer, teacher or therapist
    SYSTEM = "system"  # a camera, a microphone, a module
    SESSION = "session"  # of an event only: the session itself


_ROLES: Final = {"communicator": Voice.USER, "caregiver": Voice.CARER, "system": Voice.SYSTEM}
_SPEAKERS: Final = {"user": Voice.USER, "assistant": Voice.SYSTEM, "system": Voice.SYSTEM}
_CARERS_MODULES: Final = frozenset(
    {"feedback_log", "landmark_visualizer", "partner_ui", "recorded_schemas", "sound_playback", "speech_transcriber"}
)
_USERS_MODULES: Final = frozenset({"gateway", "ui"})
_BY_PHRASE: Final = {
    **dict.fromkeys(("signed", "spoken", "shown", "symbol"), Voice.USER),
    **dict.fromkeys(
        ("confirmed", "corrected", "corrected_to", "rejected", "example", "looked_at", "played_back"), Voice.CARER
    ),
    **dict.fromkeys(
        (
            "camera_starts", "camera_picture", "camera_stops", "camera_broke_off", "movement_ready", "microphone",
            "no_doubt", "not_sure", "asked_back", "phrase", "weighed", "decided", "remembered", "place", "together",
            "trained", "training_due",
        ),
        Voice.SYSTEM,
    ),
}  # fmt: skip


def voice_of(fields: Mapping[str, Any], said: Said | None = None) -> Voice:
    """Return whose expression the message with `fields` is; `said` is what it says, if that is known."""
    phrase = (said or said_in_message(fields)).phrase
    voice = _BY_PHRASE.get(phrase)
    if voice is not None:
        return voice
    match phrase:
        case "recognised" | "not_recognised":
            is_speech = fields.get("source") == "caregiver" or fields.get("modality") == "speech"
            return Voice.CARER if is_speech and fields.get("source") != "communicator" else Voice.USER
        case "heard":
            is_users = fields.get("source") == "communicator" or _performer(fields) is Voice.USER
            return Voice.USER if is_users else Voice.CARER
        case "noted":
            return Voice.SYSTEM if _performer(fields) is Voice.SYSTEM else Voice.CARER
        case "wrote":
            role = fields.get("role")
            return _sender(fields) if role is None else _SPEAKERS.get(str(role), Voice.CARER)
    return _sender(fields)


def voice_of_event(event: EventView) -> Voice:
    """Return whose expression a session event is: a note is that of who wrote it, the others are the session's."""
    if event.kind != "note":
        return Voice.SESSION
    return _performer({"performer_id": event.performer_id, "user_id": event.user_id}) or Voice.CARER


def _sender(fields: Mapping[str, Any]) -> Voice:
    """Return who sent it: by the role in `source`, else by the performer, else by the module."""
    source = fields.get("source")
    module = source if isinstance(source, str) else ""
    known = _ROLES.get(module) or _performer(fields)
    if known is not None:
        return known
    if module in _USERS_MODULES:
        return Voice.USER
    return Voice.CARER if module in _CARERS_MODULES else Voice.SYSTEM


def _performer(fields: Mapping[str, Any]) -> Voice | None:
    """Return who performed it: `system`, the user, or anybody else. Returns None if that is not told."""
    performer_id = fields.get("performer_id")
    if not isinstance(performer_id, str) or not performer_id.strip():
        return None
    if performer_id == "system":
        return Voice.SYSTEM
    user_id = fields["user_id"]
    return Voice.USER if performer_id in (user_id, owner_of(user_id)) else Voice.CARER
