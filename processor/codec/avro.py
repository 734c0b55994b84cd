"""Avro messages: read what is needed, copy the bytes, append the tag.

The shipped layout has a path of its own, unrolled by hand: a quarter of the time of the readers of avroschema.py
(docs/schemas.md). It only takes what is certainly in order; the readers decide the rest, so the two never disagree.
"""

import re
from hashlib import sha256
from typing import Final

from processor.codec.spine import MODALITIES, POLICY_SOURCE
from processor.core.model import Message, Tagged, flag_words

ID_CACHE_MAX: Final = 32_768  # session ids whose tag is remembered, about 300 bytes each

_NULL: Final = b"\x00"
_MODALITIES: Final = frozenset(word.encode() for word in MODALITIES)
_SEMVER: Final = re.compile(rb"\d+\.\d+\.\d+").fullmatch
_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}").fullmatch
# A six-byte varint holds the sum of its bytes, each shifted by seven, less their five marks "more follows".
_MARKS: Final = sum(128 << 7 * index for index in range(5))


def read_conforming(  # noqa: PLR0912, PLR0915  # Unrolled: a call for each field would double its time.
    value: bytes, pos: int, append_ms: int, encoding: int
) -> Message | None:
    """Return the message that starts at `pos` in the shipped layout; None unless it is surely conforming.

    Sure are lengths below 64 (one byte, and ASCII), times from 1970-07 to 2039 (six bytes), an `extra` below 8 KiB.
    """
    try:
        size = value[pos]
        record_start = pos + 2 + (size >> 1)
        odd = size
        size = value[record_start - 1]
        user_start = record_start + 1 + (size >> 1)
        odd |= size
        size = value[user_start - 1]
        time_start = user_start + (size >> 1)
        odd |= size
        b0, b1, b2, b3, b4, b5 = value[time_start : time_start + 6]
        after_time = at = time_start + 6
        branches = value[at]
        if branches:  # performer_id
            size = value[at + 1]
            odd |= size
            at += 2 + (size >> 1)
        else:
            at += 1
        branch = value[at]
        branches |= branch
        if branch:
            size = value[at + 1]
            odd |= size
            end = at + 2 + (size >> 1)
            if value[at + 2 : end] not in _MODALITIES:
                return None
            at = end
        else:
            at += 1
        branch = value[at]
        branches |= branch
        source = claim = None
        if branch:
            size = value[at + 1]
            odd |= size
            end = at + 2 + (size >> 1)
            source = value[at + 2 : end].decode()
            if source == POLICY_SOURCE:
                return None
            at = end
        else:
            at += 1
        branch = value[at]
        branches |= branch
        if branch:  # capture_id
            size = value[at + 1]
            odd |= size
            at += 2 + (size >> 1)
        else:
            at += 1
        branch = value[at]
        branches |= branch
        if branch:
            size = value[at + 1]
            odd |= size
            end = at + 2 + (size >> 1)
            claim = value[at + 2 : end].decode()
            if not claim.strip():
                claim = None
            at = end
        else:
            at += 1
        branch = value[at]
        branches |= branch
        end = at + 1
        if branch:
            size = value[end]
            odd |= size
            end += 1
            if size > 127:
                more = value[end]
                if more > 127:
                    return None
                size += (more - 1) << 7
                end += 1
            start = end
            end += size >> 1
            value[start:end].decode()
        user_id = value[user_start:time_start].decode()
    except (IndexError, ValueError):  # It ends early, or is no UTF-8.
        return None
    if (
        end != len(value)
        or odd & 1
        or branches & 253
        or b5 > 127
        or not b0 & b1 & b2 & b3 & b4 & 128
        or b0 & 1
        or not value[pos:time_start].isascii()
        or not value[after_time:at].isascii()
        or not user_id.strip()
        or "\0" in user_id
        or not _SEMVER(value, pos + 1, record_start - 1)
        or not _UUID(value, record_start, user_start - 1)
    ):
        return None
    return Message(
        user_id,
        value[record_start : user_start - 1].decode(),
        (b0 + (b1 << 7) + (b2 << 14) + (b3 << 21) + (b4 << 28) + (b5 << 35) - _MARKS) >> 1,
        append_ms,
        sha256(value).digest(),
        source,
        claim,
        0,
        encoding,
    )


def write_long(number: int) -> bytes:
    """Return `number`, 64 bits with sign, as a zigzag varint."""
    rest = (number << 1) ^ (number >> 63)
    if rest < 1 << 7:
        return bytes((rest,))
    if rest < 1 << 14:
        return bytes((rest & 127 | 128, rest >> 7))
    if rest < 1 << 28:
        if rest < 1 << 21:
            return bytes((rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14))
        return bytes((rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14 & 127 | 128, rest >> 21))
    assert rest >> 64 == 0
    return bytes((rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14 & 127 | 128, rest >> 21 & 127 | 128)) + _rest(
        rest >> 28
    )


def _rest(rest: int) -> bytes:
    if rest < 1 << 7:
        return bytes((rest,))
    if rest < 1 << 14:  # All times from 1970-07 to 2039.
        return bytes((rest & 127 | 128, rest >> 7))
    return bytes((rest & 127 | 128,)) + _rest(rest >> 7)


def write_text(text: str) -> bytes:
    """Return `text` as an Avro string."""
    content = text.encode()
    return write_long(len(content)) + content


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
        session_id, seq, start_ms, flags, *_ = tagged
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
