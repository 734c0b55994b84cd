"""How raw media are recognised: by the names of fields, and by what texts and bytes hold, however they are spelt."""

import re
from collections.abc import Mapping
from typing import Final

CODED_CHARS_MIN: Final = 512  # from here on a text that is nothing but base64 or hex counts as media
_VARIETY_MIN: Final = 10  # different characters among them: a row of the same one is no media

_THINGS: Final = (
    r"audio|camera|frame|gif|image|img|jpe?g|media|mic|microphone|mp[34]|ogg|opus|pcm|photo|pic|picture|png|screenshot"
    r"|snapshot|sound|thumbnail|video|voice|wav|webcam|web[mp]"
)
_BETWEEN: Final = r"channel|chunk|clip|content|file|input|output|segment|stream|track"
_FORMS: Final = r"b64|base64|binary|blob|buffer|bytes?|data|datauri|dataurl|encoded|payload|pixels?|raw|samples?"
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME: Final = re.compile(
    rf"(?:(?:{_THINGS})s?)+(?:(?:{_BETWEEN})s?)*(?:{_FORMS})+|(?:raw|base64|b64|encoded)(?:{_THINGS})s?|waveform(?:data)?|pixels"
).fullmatch
_KNOWN: Final = frozenset({"framedata", "audiopayload"})  # what upstream's recorder refuses, whatever it holds

_URI: Final = re.compile(
    rb"data\s*(?::|%(?:25)*3a)\s*(?:(?:image|audio|video)\s*(?:/|%(?:25)*2f)|application(?:/|%(?:25)*2f)octet-stream"
    rb"|[^,:\"'\s]{0,256}?(?:;|%(?:25)*3b)\s*base64)"
)
# What PNG, JPEG, GIF, RIFF, Ogg, FLAC, MP3, Matroska and MP4 begin with, in base64 and in hex.
_ENCODED_FORM: Final = (
    r"(?:(?:iVBORw0KGgo|[/_]9j[/_]|R0lGOD[dl]h|UklGR|T2dnUw|ZkxhQ|SUQz[AB]|GkXfo|AAAA[\w+/-][GWm2]Z0eXA)"
    r"[A-Za-z0-9+/=_\s-]{16}"
    r"|(?i:89504e470d0a|ffd8ff[c-f]|52494646[0-9a-f]{8}(?:57415645|57454250|41564920)|47494638|4f676753|664c6143|1a45dfa3)"
    r"[0-9a-fA-F]{16})"
)
_ENCODED: Final = re.compile(rf"\s*(?:base64:)?{_ENCODED_FORM}").match
_ENCODED_INSIDE: Final = re.compile(rf"(?<![A-Za-z0-9+/_-]){_ENCODED_FORM}".encode()).search
ENCODED_STARTS: Final = frozenset(
    ("iV", "/9", "_9", "R0", "Uk", "T2", "Zk", "SU", "Gk", "AA", "ba", "89", "ff", "fF", "Ff", "FF", "52", "47", "4f",
     "4F", "66", "1a", "1A")
)  # fmt: skip
"""What all these begin with, two characters each; a text that does not is none of them, nor one after white space."""
_MARKS: Final = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff[\xc0-\xfe]|RIFF.{4}(?:WAVE|WEBP|AVI )|OggS\0|fLaC\0|GIF8[79]a|ID3[\2-\4]\0"
    rb"|\x1aE\xdf\xa3|\0\0\0.ftyp",
    re.DOTALL,
)
_LONG_RUN: Final = re.compile(rb"[A-Za-z0-9+/=_-]{%d,}+" % CODED_CHARS_MIN)
_PLACEHOLDER: Final = re.compile(r"null|none|true|false|-?[\d.]*", re.IGNORECASE).fullmatch


def is_media_name(name: str) -> bool:
    """Return whether a field called `name` holds media: it ends in a thing such as image and a form such as bytes."""
    words = [word.lower() for word in _WORD.findall(name)]
    return any(_NAME("".join(words[first:])) for first in range(len(words)))


def is_content(name: str, value: object) -> bool:
    """Return whether the value of a field with a media name can be media: encoded text or numbers, not prose."""
    if isinstance(value, str):
        is_prose = " " in value.strip() and value.isprintable() and squeezed(name) not in _KNOWN
        return not _PLACEHOLDER(value) and not is_prose
    if isinstance(value, list):
        return bool(value) and not isinstance(value[0], Mapping)
    return False


def squeezed(name: str) -> str:
    """Return `name` in the one spelling that camelCase, snake_case, kebab-case and the like have in common."""
    return "".join(_WORD.findall(name)).lower()


def is_media_text(text: str) -> bool:
    """Return whether `text` is media in base64 or hex, or has a long run of such characters."""
    return _ENCODED(text) is not None or (len(text) >= CODED_CHARS_MIN and _has_long_code(text.encode()))


def _has_long_code(value: bytes) -> bool:
    return any(len(set(run[0])) >= _VARIETY_MIN and not run[0].isdigit() for run in _LONG_RUN.finditer(value))


def has_data_uri(value: bytes) -> bool:
    """Return whether the text `value`, escapes resolved, has a data URI of media."""
    lower = value.lower()
    return b"data" in lower and _URI.search(lower) is not None


def is_media_inside(value: bytes) -> bool:
    """Return whether bytes of an unknown form hold media: as bytes, as encoded text or as a data URI."""
    found = _MARKS.search(value) or _ENCODED_INSIDE(value)
    return found is not None or has_data_uri(value) or _has_long_code(value)
