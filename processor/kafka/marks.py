"""What a worker leaves in the text beside each offset that it commits, after whose work it is (origin.py).

Whoever else sets an offset leaves no such text, or another one. So what was lost is remembered as long as the offset.
"""

import re
from typing import Final

_OURS: Final = re.compile(r"a3cp( |$)")
_LOST: Final = re.compile(r" lost=(\d+)-(\d+)$")


def is_ours(text: str | None) -> bool:
    """Return whether a processor wrote `text`."""
    return _OURS.match(text or "") is not None


def lost_in(text: str | None) -> tuple[int, int] | None:
    """Return the offsets, first and next, that were removed before they were read: the latest that `text` tells."""
    match = _LOST.search(text or "") if is_ours(text) else None
    return None if match is None else (int(match[1]), int(match[2]))


def with_lost(text: str, lost: tuple[int, int] | None) -> str:
    """Return a processor's `text` with what was lost."""
    return text if lost is None else f"{text} lost={lost[0]}-{lost[1]}"
