"""Records as plain values, for those who want all of a text: by the same measure of what is valid as a message's.

What JSON cannot say has one text, wherever a record is shown or kept:

    bytes                          base64:AP8=
    infinite, or no number         Infinity, -Infinity, NaN
    a number beyond every float    its own text, such as 1e400; whole numbers stay, up to 4,300 digits
"""

import json
import math
import re
from base64 import b64encode
from typing import Any, Final

import msgspec

DEPTH_MAX: Final = 256  # levels of objects and arrays; fixed, so that no run's own stack decides what is valid
DIGITS_MAX: Final = 4_300  # of a whole number that stays one, sign included: as many as Python and msgspec read
BYTES_MARK: Final = "base64:"  # before the text of bytes

_STRING_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # Never backtracks, open end or not.
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ROUND_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")


def is_too_deep(value: bytes) -> bool:
    """Return whether JSON `value` is more than DEPTH_MAX levels deep."""
    if value.count(b"{") + value.count(b"[") <= DEPTH_MAX:
        return False
    brackets = _STRING_TEXT.sub(b"", value).translate(_ROUND_TO_SQUARE, _NOT_BRACKETS)
    for levels in range(DEPTH_MAX):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            return levels + brackets.count(b"[") > DEPTH_MAX  # Those that are left were never closed.
        brackets = inner
    return bool(brackets)


def plain_object(text: bytes | str) -> dict[str, Any]:
    """Return the object in JSON `text` as plain values.

    Raises:
        ValueError: it is no valid JSON object, by the same measure as a message.
    """
    result = plain_value(text)
    if not isinstance(result, dict):
        raise ValueError("no JSON object")
    return result


def plain_value(text: bytes | str) -> Any:
    """Return the value of the JSON in `text`, of any kind. See `plain_object`."""
    if isinstance(text, bytes):
        text = text.decode()
    if text.count("{") + text.count("[") > DEPTH_MAX and is_too_deep(text.encode()):
        raise ValueError(f"JSON is more than {DEPTH_MAX} levels deep")
    try:
        return msgspec.json.decode(text)  # Three times as quick as `_decode`; where it has a value, it is the same.
    except msgspec.DecodeError:  # No JSON, or a number that no float holds.
        _check(text)
        return _decode(text)


def _check(text: str) -> None:
    """Raise ValueError if `text` is no JSON, or has a lone surrogate, which no store and no file could hold."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise ValueError(f"no JSON: {error}") from error


def as_json(value: Any) -> Any:
    """Return `value`, as an Avro reader has it, with the texts of what JSON cannot say."""
    match value:
        case str():
            return value
        case bytes():
            return BYTES_MARK + b64encode(value).decode()
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {key: as_json(inner) for key, inner in value.items()}
        case list():
            return [as_json(inner) for inner in value]
    return value


def _int_of(digits: str) -> int | str:
    return int(digits) if len(digits) <= DIGITS_MAX else digits


def _float_of(text: str) -> float | str:
    return number if math.isfinite(number := float(text)) else text


_decode: Final = json.JSONDecoder(parse_int=_int_of, parse_float=_float_of).decode  # Of what `_check` lets pass
