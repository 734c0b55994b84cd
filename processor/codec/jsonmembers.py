"""The members of a JSON object's text: which there are, whether one came twice, and where they are."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from processor.codec.jsonfaults import no_json, no_utf_8
from processor.codec.jsonvalue import DEPTH_MAX, is_too_deep
from processor.codec.spine import ARGUMENT_KEYS, POLICY_KEY, SPINE_KEYS
from processor.codec.wire import JSON_SPACE
from processor.errors import DecodeError

_DECIDING: Final = frozenset((*SPINE_KEYS, *ARGUMENT_KEYS, POLICY_KEY))
members_of: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def checked_members(value: bytes) -> dict[str, msgspec.Raw]:
    """Return the members of the object in `value`, each with its text.

    Raises:
        DecodeError: it is no valid JSON object, too deep, or holds a spine field twice.
    """
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise no_utf_8(value, error.start) from error
    if is_too_deep(value):
        raise DecodeError(f"JSON is more than {DEPTH_MAX} levels deep", remedy="send it flatter")
    try:
        members = members_of(value)
    except msgspec.DecodeError as error:
        raise no_json(value, str(error)) from error
    if not is_filled(value, members):
        seen = set()
        for member in scan(value):
            key = member.key(value)
            if key in _DECIDING and key in seen:
                raise DecodeError(f"JSON has the field {key} twice", remedy="send each field once")
            seen.add(key)
    return members


def is_filled(value: bytes, members: dict[str, msgspec.Raw]) -> bool:
    """Return whether the distinct `members` fill `value`, white space left out. Then none came twice.

    White space counts nowhere, in strings neither. A key written with escapes is longer than it is here.
    """
    content = b"".join(members.values()) + "".join(members).encode()
    # `{`, `}`, and for each member two quotes, a colon and a comma, but for the last.
    marks = 4 * len(members) + 1
    return len(value.translate(None, JSON_SPACE)) == len(content.translate(None, JSON_SPACE)) + marks


class Member(NamedTuple):
    """One member of an object: where its key and its value are."""

    key_start: int  # at the quote
    key_end: int  # after the quote
    start: int
    end: int

    def key(self, value: bytes) -> str:
        """Return the key, escapes resolved."""
        text = value[self.key_start : self.key_end]
        return str(msgspec.json.decode(text)) if b"\\" in text else text[1:-1].decode()


_KEY: Final = re.compile(rb'[ \t\r\n,]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_FLAT_VALUE: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^"\[\]{},\s]+', re.DOTALL)
_TO_BRACKET: Final = re.compile(rb'[^"\[\]{}]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"\[\]{}]*)*', re.DOTALL)


def scan(value: bytes) -> Iterator[Member]:
    """Yield the members of the object in `value`, which is valid JSON, in the order of the text."""
    pos = value.index(b"{") + 1
    while key := _KEY.match(value, pos):
        start = key.end()
        if value[start] in b"[{":
            level, end = 1, start + 1
            while level:
                bracket = _end_of(_TO_BRACKET, value, end)
                level += 1 if value[bracket] in b"[{" else -1
                end = bracket + 1
        else:
            end = _end_of(_FLAT_VALUE, value, start)
        yield Member(key.start(1), key.end(1), start, end)
        pos = end


def _end_of(form: re.Pattern[bytes], value: bytes, pos: int) -> int:
    match = form.match(value, pos)
    assert match is not None  # Valid JSON was promised.
    return match.end()
