"""The two short ways through Avro of the shipped layout: to read a message, and to untag one that has no flags.

They take a third of the time of the readers, and only what is certainly in order; the readers decide the rest.
`test_the_unrolled_path_agrees_with_the_readers` and tests/codec/test_tagged.py hold them together. See docs/adr/0013.
"""

import re
from hashlib import sha256
from typing import Any, Final, NamedTuple

from processor.codec.isotime import TIME_MS_MAX
from processor.codec.oddities import MODALITIES
from processor.codec.spine import POLICY_SOURCE, new_message
from processor.codec.tagged import Tag
from processor.core.model import Message

SOURCES_MAX: Final = 1_024  # names of sources that are remembered

_POLICY_SOURCE: Final = POLICY_SOURCE.encode()
# A six-byte varint holds the sum of its bytes, each shifted by seven, less their five marks "more follows".
SIX_BYTE_MARKS: Final = sum(128 << 7 * index for index in range(5))

_TEXT: Final = rb"([\x00-\x7e][ -~]*)"  # A length of one byte, then printable ASCII, at least up to the next length.
_OPTIONAL: Final = rb"(?:\x00|\x02" + _TEXT + rb")"
_VERSION: Final = rb"(?:\x0a\d\.\d\.\d|\x0c(?:\d\d\.\d\.\d|\d\.\d\d\.\d|\d\.\d\.\d\d))"
_UUID: Final = rb"\x48([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
_USER_ID: Final = rb"([\x02-\x7e][!-~][ -~]*)(?<! )"  # without outer blanks
_TIME: Final = rb"([\x80-\xff]{5}[\x00-\x7f])"  # Six bytes of varint: all times from 1970-07 to 2039.
_MODALITY: Final = (
    rb"(?:\x00|\x02(?:" + b"|".join(re.escape(bytes((2 * len(m),)) + m.encode()) for m in MODALITIES) + rb"))"
)
_CAPTURE: Final = rb"(?:\x00|\x02\x48[ -~]{36})"
# All fields but `extra`. What follows a text is no printable ASCII, so where a text ends is unambiguous; that its
# length says the same is checked afterwards.
_spine: Final = re.compile(
    _VERSION + _UUID + _USER_ID + _TIME + _OPTIONAL + _MODALITY + _OPTIONAL + _CAPTURE + _OPTIONAL,
    re.DOTALL,
).match


_sources: Final[dict[bytes, str]] = {}  # as read, of the few that there are


def _read_source(source: bytes) -> str | None:
    if source[0] != 2 * len(source) - 2 or source[1:] == _POLICY_SOURCE:
        return None
    text = source[1:].decode()
    if len(_sources) < SOURCES_MAX:
        _sources[source] = text
    return text


def read_conforming(value: bytes, pos: int, append_ms: int, encoding: int) -> Message | None:
    """Return the message that starts at `pos` in the shipped layout. Returns None if it may not conform.

    Sure are texts of printable ASCII below 64 bytes, times from 1970-07 to 2039, and an `extra` below 8 KiB.
    """
    match = _spine(value, pos)
    if match is None:
        return None
    record_id, user, time, performer, source, claim = match.groups()
    at = match.end()
    try:
        end = at + 1
        if value[at]:
            size = value[end]
            end += 1
            if size > 127:
                size += (value[end] - 1) << 7
                if value[end] > 127:
                    return None
                end += 1
            if size & 1 or value[at] != 2:
                return None
            start = end
            end += size >> 1
            value[start:end].decode()
    except (IndexError, UnicodeDecodeError):  # It ends early, or is no UTF-8.
        return None
    b0, b1, b2, b3, b4, b5 = time
    role: str | None = None
    if (
        end != len(value)
        or b0 & 1
        or user[0] != 2 * len(user) - 2
        or (performer and performer[0] != 2 * len(performer) - 2)
        or (source is not None and (role := _sources.get(source) or _read_source(source)) is None)
        or (claim and claim[0] != 2 * len(claim) - 2)
    ):
        return None
    return new_message(
        Message,
        (
            user[1:].decode(),
            record_id.decode(),
            (b0 + (b1 << 7) + (b2 << 14) + (b3 << 21) + (b4 << 28) + (b5 << 35) - SIX_BYTE_MARKS) >> 1,
            append_ms,
            sha256(value).digest(),
            role,
            (claim and claim[1:].strip() and claim[1:].decode()) or None,
            0,
            encoding,
            None,
            0,
        ),
    )


# schema_version, record_id, user_id, timestamp, performer_id, modality, source, capture_id, session_id. What follows a
# text is no printable ASCII, so where it ends is unambiguous; that its length says the same is checked afterwards.
# But the length of a text of 16 to 63 is, so the version and the record's id have lengths of their own.
_tagged_spine: Final = re.compile(
    rb"(\x0a[ -~]{5}|\x0c[ -~]{6})(\x48[ -~]{36})" + _TEXT + _TIME + _OPTIONAL * 5, re.DOTALL
).match
_tag: Final = re.compile(
    rb"\x02" + _TEXT + rb"\x02([\x80-\xff]{0,6}[\x00-\x7f])\x02" + _TIME + rb"\x00", re.DOTALL
).fullmatch
_NAMES: Final = (
    "schema_version", "record_id", "user_id", "timestamp", "performer_id", "modality", "source", "capture_id",
    "session_id",
)  # fmt: skip


class Parts(NamedTuple):
    """A tagged message: its own fields without absent ones, and its tag."""

    fields: dict[str, Any]  # `timestamp` in ms since the epoch
    extra: str | None
    end: int  # where the message ends and the tag begins
    tag: Tag


def read_plain(value: bytes, pos: int) -> Parts | None:
    """Return the parts of the tagged message that starts at `pos`. Returns None if a part may be odd.

    Sure are texts of printable ASCII below 64 bytes, record ids of 36, times from 1970-07 to 2039, and no flags.
    """
    match = _tagged_spine(value, pos)
    if match is None:
        return None
    fields: dict[str, Any] = {}
    for name, part in zip(_NAMES, match.groups(), strict=True):
        if part is None:
            continue
        if name == "timestamp":
            fields[name] = _long(part)
        elif part[0] != 2 * len(part) - 2:
            return None
        else:
            fields[name] = part[1:].decode()
    found = _extra(value, match.end())
    if found is None:
        return None
    extra, at = found
    tag = _tag(value, at)
    if tag is None:
        return None
    session_id, seq, start_time = tag.groups()
    if session_id[0] != 2 * len(session_id) - 2 or not 0 <= fields["timestamp"] <= TIME_MS_MAX:
        return None
    return Parts(fields, extra, at, Tag(session_id[1:].decode(), _long(seq), _long(start_time), ()))


def _extra(value: bytes, at: int) -> tuple[str | None, int] | None:
    """Return the optional text of up to 8 KiB at `at`, and where it ends. Returns None if it may be none."""
    try:
        if value[at] != 2:
            return (None, at + 1) if value[at] == 0 else None
        size, start = value[at + 1], at + 2
        if size > 127:
            size, start = (size & 127) + (value[start] << 7), start + 1
        if size & 1 or size >= 1 << 14:
            return None
        end = start + (size >> 1)
        return value[start:end].decode(), end
    except (IndexError, UnicodeDecodeError):  # It ends early, or is no UTF-8.
        return None


def _long(part: bytes) -> int:
    """Return the number in a zigzag varint."""
    rest = 0
    for byte in reversed(part):
        rest = rest << 7 | byte & 127
    return rest >> 1 ^ -(rest & 1)
