"""Forms in which the files of a bundle can be compared: of one message, one session event, the session.

Two texts of one record have the same form, however their members are ordered and their numbers written.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from processor.codec.jsonvalue import plain_object
from processor.codec.oddities import TAG_KEYS
from processor.sessions.forms.shapes import RecordLine

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
    """The record of a line in timeline.jsonl, as its text."""

    event: msgspec.Raw


def record_form(line: RecordLine) -> bytes | None:
    """Return the form of a message that came as JSON. Returns None for others: they need a schema, or are withheld.

    Raises:
        ValueError: it is no JSON object.
    """
    return None if line.text is None else message_form(line.text.encode(), line.appended_at)


def message_form(text: msgspec.Raw | bytes, recorded_at: str) -> bytes:
    """Return the form of a message and its time of recording. Its tag does not count.

    Raises:
        ValueError: `text` is no JSON object.
    """
    fields = plain_object(bytes(text))
    for name in _TAG:
        fields.pop(name, None)
    return sha256(recorded_at.encode() + _encode(fields)).digest()


def event_form(text: msgspec.Raw | bytes) -> bytes:
    """Return the form of a session event.

    Raises:
        ValueError: `text` is no JSON object.
    """
    return sha256(_encode(plain_object(bytes(text)))).digest()


class Boundaries:
    """What a session's events say of the session; takes them one after the other."""

    def __init__(self) -> None:
        self._facts: dict[str, object] = {}
        self.starts = 0
        self.end: Mapping[str, object] = {}  # empty while the session is open
        self.last_end: Mapping[str, object] = {}  # the latest, also if the session was reopened since

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
        """Return what the metadata must say, by the names of its fields."""
        facts = {**self._facts, "end_time": self.end.get("end_time"), "end_reason": self.end.get("reason")}
        # As stores hold texts: without NUL.
        return {name: fact.replace("\0", "\ufffd") if isinstance(fact, str) else fact for name, fact in facts.items()}
