"""What must not be kept anywhere: raw media and partial transcripts. Hash and size stand in their place."""

import re
from typing import Final

_MEDIA: Final = re.compile(rb'"(?:frame_data|audio_payload)"|data:(?:image|audio|video)/|\bdata\\u003aimage')
_PARTIAL: Final = re.compile(rb'"is_partial"\s*:\s*true')


def why_withheld(value: bytes) -> str | None:
    """Return why the record `value` must not be kept, in a few words; None when it may be."""
    if _MEDIA.search(value):
        return "raw media"
    if _PARTIAL.search(value):
        return "partial transcript"
    return None
