"""What must not be kept anywhere: raw media and partial transcripts. Hash and size stand in their place."""

import re
from collections.abc import Mapping
from typing import Final

_MEDIA: Final = re.compile(rb'"(?:frame_data|audio_payload)"|data:(?:image|audio|video)/')
_MEDIA_MARKS: Final = (b'"frame_data"', b'"audio_payload"', b"data:")
_PARTIAL: Final = re.compile(rb'"is_partial"\s*:\s*true')
_MEDIA_KEYS: Final = frozenset({"frame_data", "audio_payload"})
_MEDIA_TEXT: Final = re.compile(r"data:(?:image|audio|video)/").match
_DEPTH_MAX: Final = 64
_ESCAPE: Final = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|/)")  # of a printable character in JSON


def why_withheld(value: bytes) -> str | None:
    """Return why the record `value` must not be kept, in a few words; None when it may be.

    JSON may write any character as an escape, and some writers do so with each slash.
    """
    if b"\\" in value:
        value = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"/", value)
    # Asking for plain bytes first takes a tenth of the time, and nearly no message has them.
    if any(mark in value for mark in _MEDIA_MARKS) and _MEDIA.search(value):
        return "raw media"
    if b'"is_partial"' in value and _PARTIAL.search(value):
        return "partial transcript"
    return None


def why_fields_are_withheld(fields: Mapping[str, object]) -> str | None:
    """Return what `why_withheld` would of a record with `fields`, did its bytes show their names: Avro's do not."""
    if fields.get("is_partial") is True:
        return "partial transcript"
    return "raw media" if _has_media(fields, 0) else None


def _has_media(value: object, depth: int) -> bool:
    if isinstance(value, str):
        return _MEDIA_TEXT(value) is not None
    if depth > _DEPTH_MAX:
        return True  # What cannot be looked into is not kept.
    if isinstance(value, Mapping):
        return not _MEDIA_KEYS.isdisjoint(value) or any(_has_media(inner, depth + 1) for inner in value.values())
    return isinstance(value, list) and any(_has_media(inner, depth + 1) for inner in value)
