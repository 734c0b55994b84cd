"""Writes Avro: numbers, texts, and the tag behind a message."""

from typing import Final

from processor.core.model import Tagged, flag_words

_NULL: Final = b"\x00"

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
