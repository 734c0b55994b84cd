"""From the fields of a record to a `Message` or `Command`: rule R16, alike for every encoding.

The readers of each encoding take the common case on a fast path of their own; whatever is odd comes here, to be decided
and explained.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeGuard, cast

import msgspec

from processor.codec.isotime import TIME_MS_MAX, parse_time
from processor.codec.jsonvalue import plain_value
from processor.codec.oddities import explained, oddities
from processor.core.model import Command, CommandName, Erase, Flag, Message, Odd, Policy
from processor.errors import InvalidMessage

USER_ID_BYTES_MAX: Final = 256
TEMPLATE_BYTES_MAX: Final = 256  # of its name, which states keep
POLICY_SOURCE: Final = "user_profile_store"
POLICY_KEY: Final = "session_policy"
# The fields that decide, and that a record may therefore hold only once.
SPINE_KEYS: Final = (
    "schema_version",
    "record_id",
    "user_id",
    "timestamp",
    "performer_id",
    "modality",
    "source",
    "capture_id",
    "session_id",
)
ARGUMENT_KEYS: Final = (
    "command",
    "force_new",
    "template",
    "is_training_data",
    "session_notes",
    "training_intent_label",
)
REQUEST_KEY: Final = "request"  # of a command: the request that it is for, as its sender calls it
ERASE: Final = "erase"
"""The command of `a3cp erase` alone: it is no session's, and nothing answers it (rule R14)."""
STEP_KEYS: Final = ("name", "status", "duration_ms", "data")
TAGS_KEYS: Final = ("add", "remove")

TAG_CHARS_MAX: Final = 64
_is_word: Final = re.compile(r"(?!\s)[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+(?<!\s)").fullmatch

COMMAND_BY_WORD: Final = {name.value: name for name in CommandName}


# Making a tuple directly takes a third of the time of calling `Message`, which does just this.
new_message: Final = cast("Callable[[type[Message], tuple[object, ...]], Message]", tuple.__new__)


class Envelope(NamedTuple):
    """What is known of a record without reading its fields."""

    append_ms: int
    content_hash: bytes
    encoding: int
    strict: bool
    odd: int = 0  # about its schema


def message_of(fields: Mapping[str, object], envelope: Envelope) -> Message:
    """Return the message that `fields` tell; text where a conforming record has text, `timestamp` as text or ms.

    Raises:
        InvalidMessage: `user_id` or `timestamp` is missing or unusable, or anything is odd and `envelope.strict`.
    """
    user_id = _user_id(fields)
    timestamp_ms = _timestamp_ms(fields)
    odd = oddities(fields) | envelope.odd
    source = _text(fields, "source")
    policy = None
    if source == POLICY_SOURCE and fields.get(POLICY_KEY) is not None:
        try:
            policy = policy_of(fields[POLICY_KEY])
        except ValueError:
            odd |= Odd.SESSION_POLICY_WRONG
    _refuse_if_strict(odd, envelope)
    return Message(
        user_id,
        _text(fields, "record_id") or "",
        timestamp_ms,
        envelope.append_ms,
        envelope.content_hash,
        source,
        claim_of(_text(fields, "session_id")),
        Flag.NONCONFORMING if odd else 0,
        envelope.encoding,
        policy,
        odd,
    )


def command_of(fields: Mapping[str, object], details: dict[str, bytes], envelope: Envelope) -> Command | Erase:
    """Return the command that `fields` tell; `details` are the further fields, each as JSON text.

    Raises:
        InvalidMessage: as for a message, or the command or one of its arguments is not as rule R7 has it.
    """
    user_id = _user_id(fields)
    timestamp_ms = _timestamp_ms(fields)
    word = fields.get("command")
    name = COMMAND_BY_WORD.get(word) if isinstance(word, str) else None
    if name is None and word != ERASE:
        raise InvalidMessage("the command is unknown", remedy=f"known are {', '.join(COMMAND_BY_WORD)}")
    odd = oddities(fields) | envelope.odd
    _refuse_if_strict(odd, envelope)
    record_id = _text(fields, "record_id") or ""
    if name is None:
        return Erase(
            user_id, record_id, timestamp_ms, envelope.append_ms, envelope.content_hash, envelope.encoding, odd
        )
    notes = _argument(fields, "session_notes", name)
    if name is CommandName.NOTE and not notes:
        notes = _text_detail(details, "note", name)
        del details["note"]
    elif name is CommandName.CONTEXT:
        if not isinstance(plain(details.get("context")), dict):
            raise _bad_argument(name, "context", "an object")
    elif name is CommandName.STEP:
        details = _step(details, name)
    elif name is CommandName.TAG:
        details = _tags(details, name)
    elif name is CommandName.STATUS:
        _text_detail(details, "status", name)
    return Command(
        user_id,
        record_id,
        timestamp_ms,
        envelope.append_ms,
        _request_hash(record_id, details.get(REQUEST_KEY)) or envelope.content_hash,
        name,
        claim_of(_text(fields, "session_id")),
        _text(fields, "performer_id"),
        envelope.encoding,
        _switch(fields, "force_new", name),
        _template(fields, name),
        _switch(fields, "is_training_data", name),
        notes,
        _argument(fields, "training_intent_label", name),
        object_text(details),
        odd,
    )


def policy_of(value: object) -> Policy:
    """Return the limits in a profile update's `session_policy`.

    Raises:
        ValueError: one of them is not as it should be; then none counts.
    """
    if not isinstance(value, Mapping):
        raise ValueError("session_policy is not an object")
    limits: list[int | None] = []
    for key in ("gap_ms", "max_session_ms", "pause_ms"):
        limit = value.get(key)
        if limit is not None and (type(limit) is not int or not 0 < limit <= TIME_MS_MAX):
            raise ValueError(f"session_policy.{key} is not a whole number of ms above 0")
        limits.append(limit)
    template = value.get("template")
    if template is not None and not (isinstance(template, str) and template.strip()):
        raise ValueError("session_policy.template is not a name")
    if template is not None and len(template.encode()) > TEMPLATE_BYTES_MAX:
        raise ValueError(f"session_policy.template has more than {TEMPLATE_BYTES_MAX} bytes")
    return Policy(limits[0], limits[1], limits[2], template)


def claim_of(text: str | None) -> str | None:
    """Return `text` unless it is blank."""
    return text if text and not text.isspace() else None


def is_tag(word: object) -> TypeGuard[str]:
    """Whether `word` may be a tag: text of at most `TAG_CHARS_MAX` characters, without outer blanks and controls."""
    return isinstance(word, str) and len(word) <= TAG_CHARS_MAX and is_word(word)


def is_word(text: str) -> bool:
    """Whether `text` is one line without outer blanks and control characters, and not empty."""
    return _is_word(text) is not None


def plain(raw: bytes | None) -> object:
    """Return the value of valid JSON text; None for none."""
    return None if raw is None else plain_value(raw)


def object_text(members: Mapping[str, bytes]) -> str | None:
    """Return `members` as one JSON object's text, each value as it came; None when there are none."""
    if not members:
        return None
    return (b"{" + b",".join(msgspec.json.encode(key) + b":" + raw for key, raw in members.items()) + b"}").decode()


def _text(fields: Mapping[str, object], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) else None


def _user_id(fields: Mapping[str, object]) -> str:
    user_id = fields.get("user_id")
    remedy = "send the user's pseudonym as user_id"
    if user_id is None:
        raise InvalidMessage("user_id is missing", remedy=remedy)
    if not isinstance(user_id, str):
        raise InvalidMessage("user_id is not text", remedy=remedy)
    if not user_id.strip():
        raise InvalidMessage("user_id is blank", remedy=remedy)
    if (size := len(user_id.encode())) > USER_ID_BYTES_MAX:
        raise InvalidMessage(f"user_id has {size} bytes, at most {USER_ID_BYTES_MAX} are allowed", remedy=remedy)
    return user_id


def _timestamp_ms(fields: Mapping[str, object]) -> int:
    timestamp = fields.get("timestamp")
    remedy = "send the event's time as ISO 8601 text such as 2025-06-15T12:34:56.789Z"
    if timestamp is None:
        raise InvalidMessage("timestamp is missing", remedy=remedy)
    if isinstance(timestamp, str):
        try:
            timestamp = parse_time(timestamp)
        except ValueError as error:
            raise InvalidMessage("timestamp is no ISO 8601 time", remedy=remedy) from error
    elif type(timestamp) is not int:
        raise InvalidMessage("timestamp is not text", remedy=remedy)
    if not 0 <= timestamp <= TIME_MS_MAX:
        raise InvalidMessage(
            f"timestamp is {timestamp} ms, outside 1970-01-01 to 9999-12-31", remedy="set the producer's clock right"
        )
    return timestamp


def _refuse_if_strict(odd: int, envelope: Envelope) -> None:
    if odd and envelope.strict:
        raise InvalidMessage(
            f"message does not conform: {explained(odd)}", remedy="send it as upstream's model has it, or unset strict"
        )


def _bad_argument(name: CommandName, key: str, needed: str) -> InvalidMessage:
    return InvalidMessage(f"command {name.value} needs {key} as {needed}", remedy="correct it and send it again")


def _argument(fields: Mapping[str, object], key: str, name: CommandName) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise _bad_argument(name, key, "text")
    return value


def _template(fields: Mapping[str, object], name: CommandName) -> str | None:
    template = claim_of(_argument(fields, "template", name))
    if template is not None and (size := len(template.encode())) > TEMPLATE_BYTES_MAX:
        raise InvalidMessage(
            f"the name of the template has {size} bytes, at most {TEMPLATE_BYTES_MAX} are allowed",
            remedy="name one of A3CP_TEMPLATES, and put other text into session_notes",
        )
    return template


def _switch(fields: Mapping[str, object], key: str, name: CommandName) -> bool:
    value = fields.get(key)
    if value is not None and not isinstance(value, bool):
        raise _bad_argument(name, key, "true or false")
    return value is True


def _request_hash(record_id: str, request: bytes | None) -> bytes | None:
    """Return by what a command is known that says which request it is for: whenever it is sent, it is the same one."""
    return sha256(record_id.encode() + b"\0" + request).digest() if record_id and request is not None else None


def _text_detail(details: Mapping[str, bytes], key: str, name: CommandName) -> str:
    value = plain(details.get(key))
    if not isinstance(value, str) or not value.strip():
        raise _bad_argument(name, key, "text")
    return value


def _tags(details: dict[str, bytes], name: CommandName) -> dict[str, bytes]:
    """Return `details` with the change of tags under `tags`."""
    details, tags = _object_in(details, "tags", TAGS_KEYS, name)
    words: list[object] = []
    for key in TAGS_KEYS:
        listed = tags.get(key)
        if not isinstance(listed, list | None):
            raise _bad_argument(name, f"{key} in tags", "a list")
        words += listed or ()
    if not words or not all(map(is_tag, words)):
        raise _bad_argument(name, "tags to add or remove", f"texts of at most {TAG_CHARS_MAX} characters")
    return details


def _step(details: dict[str, bytes], name: CommandName) -> dict[str, bytes]:
    """Return `details` with the step under `step`."""
    details, step = _object_in(details, "step", STEP_KEYS, name)
    if not isinstance(step.get("name"), str) or not step["name"].strip():
        raise _bad_argument(name, "the step's name", "text")
    if not isinstance(step.get("status"), str | None):
        raise _bad_argument(name, "the step's status", "text")
    duration_ms = step.get("duration_ms")
    if duration_ms is not None and (type(duration_ms) not in (int, float) or duration_ms < 0):
        raise _bad_argument(name, "the step's duration_ms", "a number of ms")
    return details


def _object_in(
    details: dict[str, bytes], key: str, members: Sequence[str], name: CommandName
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return `details` with its `members` under `key`, whether they came so or flat, and what is there."""
    if key not in details:
        flat = {member: details[member] for member in members if member in details}
        text = object_text(flat)
        rest = {member: raw for member, raw in details.items() if member not in flat}
        details = {key: text.encode() if text else b"{}", **rest}
    found = plain(details[key])
    if not isinstance(found, dict):
        raise _bad_argument(name, key, "an object")
    return details, found
