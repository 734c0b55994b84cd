"""What the files of a bundle tell of one message, one session event or the session, made so that it can be compared.

Two texts of one record are equal when they hold the same, however their members are ordered and their numbers written.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from processor.codec.jsonvalue import plain_object
from processor.codec.oddities import TAG_KEYS
from processor.sessions.shapes import RecordLine

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_TAG: Final = ("session_id", *TAG_KEYS)  # A message as it came has none of them, or another's.
# What a session's start says of it: names in the metadata, and in the event.
_STARTED: Final = {
    "start_reason": "reason",
    **{name: name for name in ("previous_session_id", "performer_id", "template", "is_training_data")},
    **{name: name for name in ("user_id", "session_notes", "training_intent_label")},
}


class EntryText(msgspec.Struct):
    """The record of an entry of a timeline, as its text."""

    record: msgspec.Raw


class AuditText(msgspec.Struct):
    """The record in a line of timeline.jsonl, likewise."""

    event: msgspec.Raw


def record_form(line: RecordLine) -> bytes | None:
    """Return the form of a message that came as JSON; None for others, which need their schema or are not held.

    Raises:
        ValueError: it is no JSON object.
    """
    return None if line.text is None else message_form(line.text.encode(), line.appended_at)


def message_form(text: msgspec.Raw | bytes, recorded_at: str) -> bytes:
    """Return what is equal for equal messages, recorded at one time, whatever their tags say.

    Raises:
        ValueError: `text` is no JSON object.
    """
    fields = plain_object(bytes(text))
    for name in _TAG:
        fields.pop(name, None)
    return sha256(recorded_at.encode() + _encode(fields)).digest()


def event_form(text: msgspec.Raw | bytes) -> bytes:
    """Return what is equal for equal session events.

    Raises:
        ValueError: `text` is no JSON object.
    """
    return sha256(_encode(plain_object(bytes(text)))).digest()


class Boundaries:
    """What a session's events say of it, one after the other."""

    def __init__(self) -> None:
        self._facts: dict[str, object] = {}
        self.starts = 0
        self.end: Mapping[str, object] = {}  # empty while the session is open
        self.last_end: Mapping[str, object] = {}  # told last, also when the session goes on since

    def add(self, event: Mapping[str, object]) -> None:
        """Take the next event."""
        match event.get("kind"):
            case "started":
                self.starts += 1
                start = event.get("start_time", event.get("timestamp"))
                said = {name: event.get(key) for name, key in _STARTED.items()}
                self._facts = {"created_at": start, "start_time": start, **said}
            case "ended":
                self.end = self.last_end = event
            case "reopened":
                self.end = {}

    def facts(self) -> dict[str, object]:
        """Return what the metadata has to say then, by the names that it has there."""
        facts = {**self._facts, "end_time": self.end.get("end_time"), "end_reason": self.end.get("reason")}
        # As stores hold texts: without NUL.
        return {name: fact.replace("\0", "\ufffd") if isinstance(fact, str) else fact for name, fact in facts.items()}
