"""Avro messages: read what is needed, copy the bytes, append the tag.

The shipped layout has a path of its own, unrolled by hand: a quarter of the time of the readers of avroschema.py
(docs/schemas.md). It only takes what is certainly in order; the readers decide the rest, so the two never disagree.
"""

import re
from hashlib import sha256
from typing import Final

from processor.codec.oddities import MODALITIES
from processor.codec.spine import POLICY_SOURCE, new_message
from processor.core.model import Message, Tagged, flag_words

SOURCES_MAX: Final = 1_024  # names of sources that are remembered

_POLICY_SOURCE: Final = POLICY_SOURCE.encode()
_NULL: Final = b"\x00"
# A six-byte varint holds the sum of its bytes, each shifted by seven, less their five marks "more follows".
SIX_BYTE_MARKS: Final = sum(128 << 7 * index for index in range(5))

_TEXT: Final = rb"([\x00-\x7e][ -~]*)"  # A length of one byte, then printable ASCII, at least up to the next length.
_OPTIONAL: Final = rb"(?:\x00|\x02" + _TEXT + rb")"
_VERSION: Final = rb"(?:\x0a\d\.\d\.\d|\x0c(?:\d\d\.\d\.\d|\d\.\d\d\.\d|\d\.\d\.\d\d))"
_UUID: Final = rb"\x48([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
_USER_ID: Final = rb"([\x02-\x7e][!-~][ -~]*)(?<! )"  # without outer blanks
_TIME: Final = rb"([\x80-\xff]{5}[\x00-\x7f])"
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
    """Return the message that starts at `pos` in the shipped layout; None unless it is surely conforming.

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


# Varints are put together from tables of 14 bits, two bytes, in a third of the time that it takes byte by byte.
_LOW: Final = (1 << 14) - 1
_MORE: Final = tuple(bytes((rest & 127 | 128, rest >> 7 | 128)) for rest in range(1 << 14))  # more bytes follow
_LAST: Final = tuple(
    bytes((rest,)) if rest < 1 << 7 else bytes((rest & 127 | 128, rest >> 7)) for rest in range(1 << 14)
)
_MORE_TEXT: Final = tuple(two.decode("latin-1") for two in _MORE)
_LAST_TEXT: Final = tuple(last.decode("latin-1") for last in _LAST)


def write_long(number: int) -> bytes:
    """Return `number`, 64 bits with sign, as a zigzag varint."""
    rest = (number << 1) ^ (number >> 63)
    if rest < 1 << 14:
        return _LAST[rest]
    if rest < 1 << 28:
        return _MORE[rest & _LOW] + _LAST[rest >> 14]
    if rest < 1 << 42:  # All times up to 2039.
        return _MORE[rest & _LOW] + _MORE[rest >> 14 & _LOW] + _LAST[rest >> 28]
    assert rest >> 64 == 0
    return _rest(rest)


def _rest(rest: int) -> bytes:
    return _LAST[rest] if rest < 1 << 14 else _MORE[rest & _LOW] + _rest(rest >> 14)


def write_text(text: str) -> bytes:
    """Return `text` as an Avro string."""
    content = text.encode()
    size = len(content)
    return (_LAST[size << 1] if size < 1 << 13 else write_long(size)) + content


def optional_text(text: str | None) -> bytes:
    """Return `text` as the union of null and string."""
    return _NULL if text is None else b"\x02" + write_text(text)


class Tagger:
    """Writes tags. Remembers nothing of sessions: that would help only as long as few are open."""

    def __init__(self) -> None:
        self._flags: dict[int, str] = {0: _LAST_TEXT[0]}

    def tag(self, tagged: Tagged) -> bytes:
        """Return the tag's fields: session_id, session_seq, session_start, session_flags.

        They are put together as one text, in which each character is a byte: half of the time of joining bytes.
        """
        session_id, seq, start_ms, flags, _, _, _ = tagged
        flags_text = self._flags.get(flags) or self._flags_text(flags)
        if session_id is None:
            return f"\0\0\0{flags_text}".encode("latin-1")
        size, start = len(session_id), start_ms << 1
        if size < 1 << 13 and seq < 1 << 13 and 1 << 28 <= start < 1 << 42 and session_id.isascii():
            return (
                f"\x02{_LAST_TEXT[size << 1]}{session_id}\x02{_LAST_TEXT[seq << 1]}"
                f"\x02{_MORE_TEXT[start & _LOW]}{_MORE_TEXT[start >> 14 & _LOW]}{_LAST_TEXT[start >> 28]}{flags_text}"
            ).encode("latin-1")
        numbers = b"\x02" + write_long(seq) + b"\x02" + write_long(start_ms)
        return optional_text(session_id) + numbers + flags_text.encode("latin-1")

    def _flags_text(self, flags: int) -> str:
        words = flag_words(flags)
        written = write_long(len(words)) + b"".join(map(write_text, words)) + _NULL
        self._flags[flags] = text = written.decode("latin-1")
        return text
