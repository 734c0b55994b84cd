"""A session for the eyes of others: some fields of its records are hidden, and whatever was made of those fields."""

import hmac
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from processor.codec.events import EventView, from_json
from processor.codec.jsonvalue import plain_object
from processor.core.ids import owner_of
from processor.sessions.forms.timeline import Line, event_line
from processor.sessions.model import EventRow, SessionRow, SessionView
from processor.upstream.words import filled, said_in_message

HIDDEN: Final = "[hidden]"
_IDS: Final = frozenset({"user_id", "performer_id"})
KEPT: Final = frozenset(EventView._fields) - _IDS - {"session_notes", "training_intent_label"}
"""What cannot be hidden, since a session event is made of it."""

_SYSTEM: Final = "system"  # It names nobody.
_NOTES: Final = frozenset({"notes", "session_notes", "annotation_context"})
_SALT: Final = re.compile("(.*_)?record_id").fullmatch
_ID_DIGITS: Final = 6


class Redaction:
    """Hides the fields with some names, wherever they stand in a record.

    An id of a person becomes another one, alike for the same person, and is hidden wherever else it stands as a word.
    `notes` means all fields that hold some. Record ids are always hidden with the others: they are random, so nobody
    can guess a hidden word and see by the message's hash that the guess is right. Traces are hidden too: other systems
    say who is behind one.
    """

    def __init__(self, names: Collection[str], key: bytes, view: SessionView) -> None:
        """Hide `names` in a session; `key` makes the other ids."""
        self._names = {*names, *(_NOTES if "notes" in names else ())}
        self._key = key
        ids: set[str | None] = {view.session.user_id, view.session.owner} if "user_id" in names else set()
        if "performer_id" in names:
            ids.update(row.performer_id for row in view.messages())
            ids.update(from_json(row.value).performer_id for row in view.events())
        self._ids = _words(ids - {None, "", _SYSTEM})

    def session(self, row: SessionRow) -> SessionRow:
        """Return the session's row without what is hidden."""
        return row._replace(
            user_id=self._value("user_id", row.user_id),
            performer_id=self._value("performer_id", row.performer_id),
            session_notes=self._value("session_notes", row.session_notes),
            training_intent_label=self._value("training_intent_label", row.training_intent_label),
        )

    def message(self, line: Line) -> Line:
        """Return the line of a message without what is hidden, said anew."""
        entry = line.entry
        record = self._record(entry.record)
        more: dict[str, Any] = {"record": record, "trace_id": None}
        if "withheld" not in entry.notices:
            said = said_in_message(record)
            more |= {"words": filled(said), "phrase": said.phrase, "values": dict(said.values)}
        more["modality"] = self._value("modality", entry.modality)
        return line._replace(entry=msgspec.structs.replace(entry, **more))

    def event(self, row: EventRow, number: int) -> Line:
        """Return the line of a session event without what is hidden."""
        value = json.dumps(self._record(plain_object(row.value))).encode()
        return event_line(row._replace(value=value, trace_id=None), from_json(value), number)

    def _record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._value(name, value) for name, value in record.items()}

    def _value(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in self._names or _SALT(name):
            return self._other_id(value) if name in _IDS else HIDDEN
        if isinstance(value, dict):
            return self._record(value)
        if isinstance(value, list):
            return [self._value("", each) for each in value]
        if not isinstance(value, str):
            return value
        if name == "details":  # Of an event: JSON in a text.
            try:
                return json.dumps(self._record(plain_object(value)))
            except ValueError:
                return HIDDEN
        return value if self._ids is None else self._ids.sub(lambda found: self._other_id(found[0]), value)

    def _other_id(self, given: Any) -> str:
        if given == _SYSTEM:
            return _SYSTEM
        return "id-" + hmac.digest(self._key, owner_of(str(given)).encode(), "sha256").hex()[:_ID_DIGITS]


def _words(ids: Collection[str | None]) -> re.Pattern[str] | None:
    known = sorted(filter(None, ids), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)") if known else None
