"""What a receiver may answer: a note, context, tags, a score. It becomes commands, or a message of an ended session."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID, uuid5

from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time
from processor.errors import WebhookFailed
from processor.hooks.due import SOURCE

PERFORMER: Final = "system"
REMEDY: Final = "docs/hooks.md says what a receiver may answer"


class Answer(NamedTuple):
    """What a receiver has to say of a session."""

    note: str | None = None
    kind: str | None = None  # of the note
    context: Mapping[str, Any] = {}
    tags: tuple[str, ...] = ()
    score: float | None = None

    def commands(self) -> Iterator[tuple[Literal["note", "context", "tag"], dict[str, Any]]]:
        """Yield the commands that say it while the session is open."""
        if self.note is not None:
            yield "note", {"note": self.note, "kind": self.kind}
        if told := self._context():
            yield "context", {"context": told}
        if self.tags:
            yield "tag", {"tags": {"add": self.tags}}

    def without(self, word: Literal["note", "context", "tag"]) -> "Answer":
        """Return what is left once that command has said its part."""
        match word:
            case "note":
                return self._replace(note=None, kind=None)
            case "context":
                return self._replace(context={}, score=None)
            case "tag":
                return self._replace(tags=())

    def message(self, delivery_id: str, user_id: str, session_id: str, at_ms: int) -> dict[str, Any]:
        """Return the message that says it of a session that ended at `at_ms`."""
        told = {"note": self.note, "kind": self.kind, "context": self.context or None, "tags": self.tags or None}
        return {
            "schema_version": SCHEMA_VERSION,
            "record_id": record_id(delivery_id, "message"),
            "user_id": user_id,
            "session_id": session_id,
            "timestamp": format_time(at_ms),
            "source": SOURCE,
            "performer_id": PERFORMER,
            **{name: value for name, value in told.items() if value is not None},
            **({} if self.score is None else {"overall_score": self.score}),
        }

    def _context(self) -> dict[str, Any]:
        return {**self.context, **({} if self.score is None else {"overall_score": self.score})}


def answer_of(told: object) -> Answer:
    """Return what the JSON `told` says. Names that are none of ours are left out.

    Raises:
        WebhookFailed: one of ours says something that it cannot.
    """
    if not isinstance(told, dict):
        return Answer()
    context, told_note = told.get("context") or {}, told.get("note")
    note, kind = (told_note.get("text"), told_note.get("kind")) if isinstance(told_note, dict) else (told_note, None)
    tags, score = told.get("tags") or (), told.get("score")
    if not (note is None or _is_text(note)) or not (kind is None or _is_text(kind)):
        raise WebhookFailed("the answer's note is no text", remedy=REMEDY)
    if not isinstance(context, dict):
        raise WebhookFailed("the answer's context is no object", remedy=REMEDY)
    if not (isinstance(tags, list | tuple) and all(map(_is_text, tags))):
        raise WebhookFailed("the answer's tags are no list of words", remedy=REMEDY)
    is_number = isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
    if not (score is None or is_number):
        raise WebhookFailed("the answer's score is no number", remedy=REMEDY)
    return Answer(note, kind, context, tuple(tags), score)


def record_id(delivery_id: str, part: str) -> str:
    """Return the id of the record that says a part of the answer: however often it is sent, it counts once."""
    return str(uuid5(UUID(delivery_id), part))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
