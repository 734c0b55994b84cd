"""What is odd about a message that can be tagged all the same (rule R16): found here, and put into words."""

import re
from collections.abc import Mapping
from typing import Final

from processor.codec.events import SOURCE
from processor.codec.isotime import is_without_zone
from processor.core.ids import owner_of
from processor.core.model import CANARY_USERS, Odd, odd_words

MODALITIES: Final = ("gesture", "audio", "speech", "image", "multimodal")
# The fields of the tag: a record that already has one was tagged before, or wants to be mistaken for it.
TAG_KEYS: Final = ("session_seq", "session_start", "session_flags", "claimed_session_id")
SEMVER: Final = re.compile(r"\d+\.\d+\.\d+", re.ASCII).fullmatch
UUID_FORM: Final = re.compile(  # What upstream's model takes for a UUID.
    r"(?:urn:uuid:)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}|[0-9a-f]{32}",
    re.ASCII | re.IGNORECASE,
).fullmatch
# Controls, spaces other than the usual one, joiners, marks of direction, fillers, variation selectors: Unicode's
# "default ignorable" and blank characters. Listed, since Python's versions know different Unicodes, and tags must not.
_invisible: Final = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
).search

_TEXTS: Final = (
    ("performer_id", Odd.PERFORMER_ID_NOT_TEXT),
    ("source", Odd.SOURCE_NOT_TEXT),
    ("capture_id", Odd.CAPTURE_ID_NOT_TEXT),
    ("session_id", Odd.SESSION_ID_NOT_TEXT),
)
_BLANKS: Final = "begins or ends with a blank"
_INVISIBLE: Final = "holds characters that cannot be seen"
_OWN: Final = "is this system's own"
_SENTENCES: Final = {
    "schema_version_missing": "schema_version is missing",
    "schema_version_not_semver": "schema_version is not three numbers",
    "record_id_missing": "record_id is missing",
    "record_id_not_uuid": "record_id is not a UUID",
    "user_id_blanks": f"user_id {_BLANKS}",
    "user_id_invisible": f"user_id {_INVISIBLE}",
    "timestamp_without_zone": "timestamp has no time zone, and counts as UTC",
    "performer_id_not_text": "performer_id is not text",
    "modality_unknown": f"modality is none of {', '.join(MODALITIES)}",
    "source_not_text": "source is not text",
    "capture_id_not_text": "capture_id is not text",
    "session_id_not_text": "session_id is not text",
    "tag_fields": f"it holds a field of the tag ({', '.join(TAG_KEYS)})",
    "session_policy_wrong": "session_policy is not as it should be, and does not count",
}


def oddities(fields: Mapping[str, object]) -> int:
    """Return the bits for what upstream's spine would refuse in `fields`, beyond what tagging needs."""
    odd = 0
    version, record_id = fields.get("schema_version"), fields.get("record_id")
    if version is None:
        odd |= Odd.SCHEMA_VERSION_MISSING
    elif not isinstance(version, str) or not SEMVER(version):
        odd |= Odd.SCHEMA_VERSION_NOT_SEMVER
    if record_id is None:
        odd |= Odd.RECORD_ID_MISSING
    elif not isinstance(record_id, str) or not UUID_FORM(record_id):
        odd |= Odd.RECORD_ID_NOT_UUID
    odd |= user_id_oddities(str(fields.get("user_id")))  # It is text, or nothing could be tagged.
    if isinstance(timestamp := fields.get("timestamp"), str) and is_without_zone(timestamp):
        odd |= Odd.TIMESTAMP_WITHOUT_ZONE
    if (modality := fields.get("modality")) is not None and modality not in MODALITIES:
        odd |= Odd.MODALITY_UNKNOWN
    for key, bit in _TEXTS:
        if not isinstance(fields.get(key), str | None):
            odd |= bit
    return odd if fields.keys().isdisjoint(TAG_KEYS) else odd | Odd.TAG_FIELDS


def user_id_oddities(user_id: str) -> int:
    """Return the bits for what makes an id look like another one that it is not."""
    shown = user_id.strip()
    odd = 0 if shown == user_id else Odd.USER_ID_BLANKS
    return odd | Odd.USER_ID_INVISIBLE if _invisible(shown) else odd


def fault_of_id(identifier: str) -> str | None:
    """Return in words why no program should name anybody so; None if nothing is wrong with it.

    It looks like another one that it is not, or it is what this system calls itself, or users of its own.
    """
    odd = user_id_oddities(identifier)
    if odd:
        return _BLANKS if odd & Odd.USER_ID_BLANKS else _INVISIBLE
    owner = owner_of(identifier)
    return _OWN if owner == SOURCE or owner.startswith(CANARY_USERS) else None


def explained(odd: int) -> str:
    """Return the bits in `odd` as sentences, each with its word."""
    return "; ".join(f"{_SENTENCES[word]} ({word})" for word in odd_words(odd))
