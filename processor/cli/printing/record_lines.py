"""One record of any topic as a line for people, or as an object for programs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from processor.cli.printing.text import plain, when
from processor.codec import Codec
from processor.codec.events import EventView
from processor.codec.isotime import format_time
from processor.errors import RecordError
from processor.kafka.deadletters.letter import letter_of
from processor.runtime.ports import TopicRecord
from processor.runtime.withholding import why_withheld
from processor.sessions.forms.jsonforms import event_fields
from processor.upstream.words import event_words, message_words
from processor.upstream.words.ids import plain_id


class Said(NamedTuple):
    """What a record says."""

    user_id: str
    session: str  # the session's id and the message's number in it; "" if there is none
    words: str  # for people
    fields: Mapping[str, Any]  # for programs


def line_of(record: TopicRecord, said: Said) -> str:
    """Return a record as one line for people: when it was appended, where it is, whose it is, and what it says."""
    parts = (when(record.timestamp_ms), record.position, plain_id(said.user_id), plain(said.session), plain(said.words))
    return "  ".join(part for part in parts if part)


def fields_of(record: TopicRecord, said: Said) -> dict[str, Any]:
    """Return a record for programs."""
    appended = format_time(record.timestamp_ms)
    return {"position": record.position, "append_time": appended, "user_id": said.user_id, **said.fields}


def said_by(word: str, record: TopicRecord, codec: Codec) -> Said:
    """Return what `record` says, of the topic that `word` means. If it cannot be read, say why.

    Raises:
        RegistryUnavailable: its schema is in the registry, which does not answer.
    """
    user_id = (record.key or b"").decode(errors="replace")
    try:
        if word == "dlq":
            return _dead_letter(user_id, record)
        if not record.value:
            return Said(user_id, "", "it has no value", {"value": None})
        if word == "sessions":
            return _event(codec.decode_event(record.value))
        return _tagged(record.value, codec) if word == "tagged" else _raw(user_id, record.value, codec)
    except RecordError as error:
        return Said(user_id, "", f"it cannot be read: {error.what}", {"unreadable": error.what})


def _tagged(value: bytes, codec: Codec) -> Said:
    view, source = codec.untag(value)
    fields, words = _shown(source, view.fields)
    session = f"{view.session_id} #{view.session_seq}" if view.session_id else "in no session"
    flags = f"  ({', '.join(view.flags)})" if view.flags else ""
    tag = {"session_id": view.session_id, "session_seq": view.session_seq, "flags": list(view.flags)}
    return Said(view.user_id, session, words + flags, {**tag, "message": fields})


def _event(event: EventView) -> Said:
    return Said(event.user_id, event.session_id or "", event_words(event), {"event": event_fields(event)})


def _raw(user_id: str, value: bytes, codec: Codec) -> Said:
    fields, words = _shown(value, codec.fields_of(value))
    if "command" in fields:
        words = f"command {fields['command']}"
    return Said(user_id, "", words, {"message": fields})


def _shown(value: bytes, fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the message as it may be shown, and in words: without raw media and partial transcripts."""
    if why := why_withheld(value, fields):
        return {"withheld": why}, f"withheld: {why}"
    return fields, message_words(fields)


def _dead_letter(user_id: str, record: TopicRecord) -> Said:
    letter = letter_of(record)
    if letter is None:
        return Said(user_id, "", "a dead letter was put back", {"retried": True})
    told = {"source": letter.source, "stage": letter.stage, "error": letter.error, "why": letter.why}
    return Said(user_id, letter.source, f"{letter.stage}: {letter.why}", told)
