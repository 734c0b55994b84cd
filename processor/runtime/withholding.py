"""What must not be kept anywhere: raw media and partial transcripts. Hash and size stand in their place."""

import re
from typing import Final

_MEDIA: Final = re.compile(rb'"(?:frame_data|audio_payload)"|data:(?:image|audio|video)/|\bdata\\u003aimage')
_MEDIA_MARKS: Final = (b'"frame_data"', b'"audio_payload"', b"data:", b"data\\u003a")
_PARTIAL: Final = re.compile(rb'"is_partial"\s*:\s*true')


def why_withheld(value: bytes) -> str | None:
    """Return why the record `value` must not be kept, in a few words; None when it may be."""
    # Asking for plain bytes first takes a tenth of the time, and nearly no message has them.
    if any(mark in value for mark in _MEDIA_MARKS) and _MEDIA.search(value):
        return "raw media"
    if b'"is_partial"' in value and _PARTIAL.search(value):
        return "partial transcript"
    return None
