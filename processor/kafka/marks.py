"""The end of the text beside each committed offset: which raw records were gone before they were read.

The text begins with the ids of the topics (origin.py). Others who set an offset leave no such text. So what was lost is
remembered as long as the offset.
"""

import re
from typing import Final

_OURS: Final = re.compile(r"a3cp( |$)")
_LATE: Final = re.compile(r" late=(\d+)( |$)")
_LOST: Final = re.compile(r" lost=(\d+)-(\d+)$")


def is_ours(text: str | None) -> bool:
    """Return whether a processor wrote `text`."""
    return _OURS.match(text or "") is not None


def lost_in(text: str | None) -> tuple[int, int] | None:
    """Return the offsets, first and next, that were removed before they were read. Returns None if there are none."""
    match = _LOST.search(text or "") if is_ours(text) else None
    return None if match is None else (int(match[1]), int(match[2]))


def late_in(text: str | None) -> int | None:
    """Return where the log began when the group first read it. Returns None if nothing was gone by then."""
    match = _LATE.search(text or "") if is_ours(text) else None
    return None if match is None else int(match[1])


def with_gone(text: str, late: int | None, lost: tuple[int, int] | None) -> str:
    """Return a processor's `text`, and after it which offsets were gone before they were read."""
    late_text = "" if late is None else f" late={late}"
    return text + late_text + ("" if lost is None else f" lost={lost[0]}-{lost[1]}")
