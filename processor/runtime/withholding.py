"""What must not be kept anywhere: raw media and partial transcripts. Hash and size stand in their place.

A record that can be read is searched field by field, also inside texts that are JSON again. One that cannot be read is
searched as bytes; there a name is enough. How media and partial transcripts are recognised: media.py, partial.py.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

from processor.codec.formats import format_of
from processor.codec.jsonvalue import plain_value
from processor.runtime.media import (
    CODED_CHARS_MIN,
    ENCODED_STARTS,
    has_data_uri,
    is_content,
    is_media_inside,
    is_media_name,
    is_media_text,
)
from processor.runtime.partial import PartialNames, is_partial, partial_names

MEDIA: Final = "raw media"
PARTIAL: Final = "partial transcript"
_TEXT_CHARS_MIN: Final = 16  # of a text that is looked into: {"is_partial":1}
_SMALL_BYTES: Final = 8_192  # Names of records up to this size are remembered.
_ESCAPE: Final = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|/)")  # of a printable character in JSON
_PAIR: Final = re.compile(
    rb"(?<![\w.-])([A-Za-z][\w .-]{1,63}+)[\"'\\]*+\s*+[:=]\s*+[\"'\\]*+([^\"'\\,;&{}\]\r\n]{0,200}+)"
)


def why_withheld(value: bytes, fields: Mapping[str, Any]) -> str | None:
    """Return in a few words why a record must not be kept. Returns None if it may be.

    Args:
        value: its bytes.
        fields: what they say.
    """
    if b"\\" in value:  # JSON may write any character as an escape, and some writers do so with each slash.
        value = _ESCAPE.sub(_character, value)
    if has_data_uri(value):
        return MEDIA
    look = _Look(_known_names if len(value) <= _SMALL_BYTES else _names)
    look.into(fields)
    return look.why


def why_text_is_withheld(text: str) -> str | None:
    """Return why a text must not be kept. Returns None if it may be."""
    return why_withheld(text.encode(), {"": text})


def why_bytes_are_withheld(value: bytes) -> str | None:
    """Return why bytes that cannot be read must not be kept: what looks like a field counts as one.

    Returns None if they may be kept.
    """
    found = format_of(value) if value else None
    if (found is not None and found.is_media) or is_media_inside(value):
        return MEDIA
    text = _ESCAPE.sub(_character, value.replace(b"\0", b""))  # UTF-16 and UTF-32 have NULs between plain characters.
    if is_media_inside(text):
        return MEDIA
    look = _Look(_known_names)
    look.into_pairs(text)
    return look.why


def stand_in(why: str, content: bytes) -> str:
    """Return what stands in the place of `content`, which must not be kept: hash and size, as JSON."""
    return json.dumps({"withheld": why, "sha256": sha256(content).hexdigest(), "size": len(content)})


def _character(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode()) if found[1] else b"/"


class _Names(NamedTuple):
    """The names in a mapping that can be a reason to withhold."""

    media: tuple[str, ...]
    partial: PartialNames | None


def _names(parent: str, names: tuple[str, ...]) -> _Names | None:
    """Return the names that can be a reason to withhold. Returns None if there are none, which is usual."""
    partial = partial_names(names)
    media = tuple(name for name in names if is_media_name(name) or (parent and is_media_name(f"{parent}_{name}")))
    return _Names(media, partial if any(partial) else None) if media or any(partial) else None


_known_names: Final = lru_cache(maxsize=1_024)(_names)  # The messages of one module have the same fields.


class _Look:
    """A search through the fields of a record."""

    __slots__ = ("_has_marks", "_has_media", "_names", "_partial")

    def __init__(self, names: Callable[[str, tuple[str, ...]], _Names | None]) -> None:
        self._names = names
        self._has_media = False
        self._has_marks = False  # whether any name tells that something is partial
        self._partial: list[tuple[Mapping[str, Any], PartialNames]] = []

    @property
    def why(self) -> str | None:
        """Why the record must not be kept."""
        if self._has_marks and is_partial(self._partial):
            return PARTIAL
        return MEDIA if self._has_media else None

    def into(self, value: Mapping[str, Any] | list[Any], parent: str = "") -> None:
        """Search `value`, which stands in the field `parent`, however deep it is."""
        names_of = self._names
        todo = [(parent, value)]
        while todo:
            parent, outer = todo.pop()
            if isinstance(outer, list):
                if _NUMBERS.issuperset(map(type, outer)):
                    continue
                items: Iterable[tuple[str, Any]] = ((parent, inner) for inner in outer)
            else:
                names = names_of(parent, tuple(outer))
                if names is not None:
                    self._see(names, outer)
                items = outer.items()
            for name, inner in items:
                kind = type(inner)
                if kind is str:
                    size = len(inner)
                    if size >= _TEXT_CHARS_MIN and (
                        (inner[0] in _STARTS and (inner[0] in _INNER_STARTS or inner[:2] in ENCODED_STARTS))
                        or size >= CODED_CHARS_MIN
                    ):
                        self._into_text(name, inner, todo)
                elif kind is dict or kind is list:
                    todo.append((name, inner))

    def into_pairs(self, text: bytes) -> None:
        """Search what looks like names and values in `text`."""
        parent = ""
        for found in _PAIR.finditer(text):
            name, content = found[1].decode("latin-1"), found[2].decode("latin-1")
            names = self._names(parent, (name,))
            if names is not None:
                self._see(names, {name: content})
            if not content:  # An object follows, it seems.
                parent = name

    def _see(self, names: _Names, fields: Mapping[str, Any]) -> None:
        if names.media:
            self._has_media |= any(is_content(name, fields[name]) for name in names.media)
        if names.partial is not None:
            self._partial.append((fields, names.partial))
            self._has_marks |= bool(names.partial.marks)

    def _into_text(self, name: str, text: str, todo: list[tuple[str, Any]]) -> None:
        if is_media_text(text):
            self._has_media = True
        elif text.lstrip()[:1] in _INNER:
            try:
                todo.append((name, [plain_value(text)]))
            except ValueError:  # Such as JSON that was cut off, or what Python prints.
                self.into_pairs(text.encode())


_INNER: Final = frozenset('{["')  # what JSON begins with
_INNER_STARTS: Final = _INNER | frozenset(" \t\r\n")
_STARTS: Final = _INNER_STARTS | {start[0] for start in ENCODED_STARTS}  # Asked first, since it is quicker.
_NUMBERS: Final = frozenset((int, float))
