"""Says what is wrong with a text that is no JSON: what, at which byte, and what to do."""

import re
from typing import Final

from processor.errors import DecodeError

_RFC: Final = "send one JSON object, RFC 8259, in UTF-8"
_LIBRARY: Final = "write it with a JSON library"
_PLACE: Final = re.compile(r" \(byte (\d+)\)")
_UNIT: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_NUMBER: Final = "a number stands as JSON writes none"
_LIKE: Final = f"{_LIBRARY}: 0.5, not .5, 05 or +5"
# What the parser says, what stands where it says it, and what that is.
_RULES: Final = tuple(
    (said, re.compile(form).match, what, remedy)
    for said, form, what, remedy in (
        ("trailing characters", rb"\s*\{", "a second object begins", "send each object as a record of its own"),
        ("trailing characters", rb"", "it has ended, and something follows", _RFC),
        ("trailing comma", rb"", "a comma stands before a bracket", "leave it out"),
        (
            "",
            rb"-?(?:NaN|nan|Infinity|inf\b)",
            "it has {}, which is no JSON,",
            "send null instead, or leave the field out",
        ),
        ("", rb"None|True|False|undefined", "it has {}, which is no JSON,", f"{_LIBRARY}: null, true, false"),
        ("", rb"'", "text stands in single quotes", f"{_LIBRARY}, which writes double ones"),
        ("", rb"/", "a comment stands", "leave comments out"),
        ("invalid character", rb"[\0-\x1f]", "a control character stands as it is", f"{_LIBRARY}, which escapes it"),
        ("invalid character", rb"[],}]", "a value is missing", _LIBRARY),
        ("object keys", rb"", "a name stands without quotes", _LIBRARY),
        ("", rb"[+.]", _NUMBER, _LIKE),
        ("number", rb"", _NUMBER, _LIKE),
    )
)


def no_utf_8(value: bytes, at: int) -> DecodeError:
    """Return what is wrong with `value`, which is no UTF-8 at byte `at`."""
    if value[at] == 0xED:
        return DecodeError(f"JSON holds {HALF_A_CHARACTER} at byte {at}", remedy=HALVES)
    return DecodeError(
        f"JSON is not UTF-8 at byte {at}", remedy="encode it as UTF-8, not as Latin-1 or Windows-1252 or the like"
    )


HALF_A_CHARACTER: Final = "half a character (one surrogate of a pair)"
HALVES: Final = "cut and join texts by characters, not by UTF-16 units"


def no_json(value: bytes, said: str) -> DecodeError:
    """Return what is wrong with `value`, of which the parser has `said` something."""
    what, remedy = _fault(value, said)
    return DecodeError(f"value is no JSON object: {what}", remedy=remedy)


def _fault(value: bytes, said: str) -> tuple[str, str]:
    if (half := _half_character(value)) is not None:
        return f"it holds {HALF_A_CHARACTER} at byte {half}", HALVES
    if "truncated" in said:
        return f"it is cut off after {len(value)} bytes", "send all of it"
    place = _PLACE.search(said)
    if place is None:  # It is valid, and no object.
        return said, _RFC
    at = int(place[1]) - ("trailing characters" in said)  # There it is the byte behind the first of them.
    for words, stands, what, remedy in _RULES:
        if words in said and (found := stands(value, at)):
            return f"{what.format(found[0].decode('latin-1'))} at byte {at}", remedy
    return said.removeprefix("JSON is malformed: "), _RFC


def _half_character(value: bytes) -> int | None:
    """Return the place of an escaped surrogate without a partner. Returns None if there is none."""
    high: int | None = None  # where one stands that waits for its partner
    end = 0
    for unit in _UNIT.finditer(value):
        code = int(unit[1] or b"0", 16)
        is_low = 0xDC00 <= code < 0xE000
        if high is not None and not (is_low and unit.start() == end):
            return high
        if is_low and high is None:
            return unit.start()
        high = unit.start() if 0xD800 <= code < 0xDC00 else None
        end = unit.end()
    return high
