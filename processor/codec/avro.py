"""Avro messages: read what is needed, copy the bytes, append the tag.

The shipped layout has a path of its own, unrolled by hand: a quarter of the time of the readers of avroschema.py
(docs/schemas.md). It only takes what is certainly in order; the readers decide the rest, so the two never disagree.
"""

import re
from hashlib import sha256
from typing import Final

from processor.codec.spine import MODALITIES, POLICY_SOURCE, new_message
from processor.core.model import Message, Tagged, flag_words

SOURCES_MAX: Final = 1_024  # names of sources that are remembered
ID_CACHE_MAX: Final = 32_768  # session ids whose tag is remembered, about 300 bytes each

_POLICY_SOURCE: Final = POLICY_SOURCE.encode()
_NULL: Final = b"\x00"
# A six-byte varint holds the sum of its bytes, each shifted by seven, less their five marks "more follows".
SIX_BYTE_MARKS: Final = sum(128 << 7 * index for index in range(5))

_TEXT: Final = rb"([\x00-\x7e][ -~]*)"  # A length of one byte, then printable ASCII, at least up to the next length.
_OPTIONAL: Final = rb"(?:\x00|\x02" + _TEXT + rb")"
_VERSION: Final = rb"(?:\x0a\d\.\d\.\d|\x0c(?:\d\d\.\d\.\d|\d\.\d\d\.\d|\d\.\d\.\d\d))"
_UUID: Final = rb"\x48([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
_TIME: Final = rb"([\x80-\xff]{5}[\x00-\x7f])"
_MODALITY: Final = (
    rb"(?:\x00|\x02(?:" + b"|".join(re.escape(bytes((2 * len(m),)) + m.encode()) for m in MODALITIES) + rb"))"
)
_CAPTURE: Final = rb"(?:\x00|\x02\x48[ -~]{36})"
# All fields but `extra`. What follows a text is no printable ASCII, so where a text ends is unambiguous; that its
# length says the same is checked afterwards.
_spine: Final = re.compile(
    _VERSION + _UUID + rb"([\x02-\x7e][!-~][ -~]*)" + _TIME + _OPTIONAL + _MODALITY + _OPTIONAL + _CAPTURE + _OPTIONAL,
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
        ),
    )


# Varints are put together from tables of 14 bits, two bytes, in a third of the time that it takes byte by byte.
_LOW: Final = (1 << 14) - 1
_MORE: Final = tuple(bytes((rest & 127 | 128, rest >> 7 | 128)) for rest in range(1 << 14))  # more bytes follow
_LAST: Final = tuple(
    bytes((rest,)) if rest < 1 << 7 else bytes((rest & 127 | 128, rest >> 7)) for rest in range(1 << 14)
)


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
    """Writes tags; remembers those parts that stay the same within a session."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[int, bytes, bytes]] = {}
        self._flags: dict[int, bytes] = {}
        self._numbers = tuple(b"\x02" + write_long(number) for number in range(4096))

    def tag(self, tagged: Tagged) -> bytes:
        """Return the tag's fields: session_id, session_seq, session_start, session_flags."""
        session_id, seq, start_ms, flags, _, _, _ = tagged
        if session_id is None:
            return b"\x00\x00\x00" + self._flag_bytes(flags)
        known = self._sessions.get(session_id)
        if known is None or known[0] != start_ms:
            if len(self._sessions) >= ID_CACHE_MAX:
                self._sessions.clear()
            known = (start_ms, optional_text(session_id), b"\x02" + write_long(start_ms))
            self._sessions[session_id] = known
        number = self._numbers[seq] if seq < 4096 else b"\x02" + write_long(seq)
        return known[1] + number + known[2] + (self._flag_bytes(flags) if flags else _NULL)

    def _flag_bytes(self, flags: int) -> bytes:
        written = self._flags.get(flags)
        if written is None:
            words = flag_words(flags)
            items = b"".join(map(write_text, words))
            written = self._flags[flags] = (write_long(len(words)) + items if words else b"") + _NULL
        return written
