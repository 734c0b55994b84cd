"""The commands, as applications say them and as records."""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict
from uuid import uuid4

from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time, wall_ms
from processor.codec.jsonfaults import HALF_A_CHARACTER, HALVES
from processor.codec.oddities import fault_of_id
from processor.core.ids import owner_of
from processor.errors import UsageError

CommandWord: TypeAlias = Literal["start", "end", "pause", "resume", "touch", "note", "context", "step", "status", "tag"]

KINDS: Final[Mapping[str, str]] = {
    "start": "started",
    "end": "ended",
    "pause": "paused",
    "resume": "resumed",
    "touch": "unchanged",
    "note": "note",
    "context": "context",
    "step": "step",
    "status": "status",
    "tag": "tag",
}
"""The kind of event that a command causes when it is carried out."""

ANOTHER_ID: Final = "take one that is not the system's, without hidden characters and outer blanks"
"""What to do about hidden characters in an id."""

_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "start": ("force_new", "template", "is_training_data", "session_notes", "training_intent_label", "owner"),
    "note": ("session_notes", "note", "kind"),
    "context": ("context",),
    "step": ("step",),
    "status": ("status",),
    "tag": ("tags",),
}


class Arguments(TypedDict, total=False):
    """What commands can be told; docs/producing.md says which takes what. None is the same as to leave it out.

    All take `request`: with the same record id and request a command is carried out once, however often it is sent.
    """

    force_new: bool
    template: str | None
    is_training_data: bool
    session_notes: str | None
    training_intent_label: str | None
    owner: str | None
    note: str
    kind: str | None
    context: Mapping[str, Any]
    step: Mapping[str, Any]
    status: str
    tags: Mapping[Literal["add", "remove"], Sequence[str]]
    request: str


class CommandRecord(NamedTuple):
    """A command, ready to be sent."""

    record_id: str
    key: bytes
    value: bytes
    kind: str  # of the event that it causes when it is carried out


def command_record(
    user_id: str,
    name: str,
    *,
    performer_id: str | None,
    session_id: str | None,
    source: str,
    arguments: Mapping[str, Any],
    record_id: str | None = None,
    timestamp_ms: int | None = None,
) -> CommandRecord:
    """Return the record of a command. The codec refuses an unknown one.

    Args:
        user_id: whose session is meant; name: the command; performer_id: who asks; session_id: which session.
        source: the module that asks; arguments: the command's own.
        record_id: a new one when None; who repeats a command with the same one, time and arguments repeats the bytes.
        timestamp_ms: when it is meant to be; now when None.

    Raises:
        UsageError: it takes no such argument, an id has outer blanks or invisible characters, or is the system's; or
            the session is not the owner's that is given.
    """
    _refuse_unknown(name, arguments)
    record_id = record_id or str(uuid4())
    fields = {
        "schema_version": SCHEMA_VERSION,
        "record_id": record_id,
        "user_id": user_id,
        "timestamp": format_time(wall_ms() if timestamp_ms is None else timestamp_ms),
        "performer_id": performer_id,
        "source": source,
        "session_id": session_id,
        "command": name,
        **arguments,
    }
    value = as_json({key: field for key, field in fields.items() if field is not None})
    for key, typed in (("user_id", user_id), ("performer_id", performer_id), ("session_id", session_id)):
        if typed and not typed.isspace() and (fault := fault_of_id(typed)):
            raise UsageError(f"{key} {fault}", remedy=ANOTHER_ID)
    owner = arguments.get("owner")
    if owner is not None and owner != owner_of(user_id):
        raise UsageError("user_id is no lane of the owner", remedy="put ~ and 8 hex digits behind the owner's id")
    return CommandRecord(record_id, user_id.encode(), value, KINDS.get(name, ""))


def _refuse_unknown(name: str, arguments: Iterable[str]) -> None:
    """Refuse arguments that the command `name` does not take."""
    known = _ARGUMENTS.get(name, ())
    unknown = [argument for argument in arguments if argument not in known and argument != "request"]
    if unknown and name in KINDS:
        near = get_close_matches(unknown[0], known, 1)
        remedy = f"do you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'no arguments of its own'}"
        raise UsageError(f"the command {name} takes no {unknown[0]}", remedy=remedy)


def as_json(fields: Mapping[str, Any]) -> bytes:
    """Return a message's fields as JSON.

    Raises:
        UsageError: they cannot be written so.
    """
    try:
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise UsageError(f"the message holds {HALF_A_CHARACTER}", remedy=HALVES) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the message cannot be written as JSON ({type(error).__name__})",
            remedy="use text, numbers other than NaN, lists and objects; times as ISO 8601 text",
        ) from None
