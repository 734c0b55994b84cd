"""What a worker leaves in the text beside each offset that it commits, after whose work it is (origin.py).

Whoever else sets an offset leaves no such text, or another one. So what was lost is remembered as long as the offset.
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
    """Return the offsets, first and next, that were removed before they were read: the latest that `text` tells."""
    match = _LOST.search(text or "") if is_ours(text) else None
    return None if match is None else (int(match[1]), int(match[2]))


def late_in(text: str | None) -> int | None:
    """Return where the log began when its group came to it for the first time, if its beginning was gone by then."""
    match = _LATE.search(text or "") if is_ours(text) else None
    return None if match is None else int(match[1])


def with_gone(text: str, late: int | None, lost: tuple[int, int] | None) -> str:
    """Return a processor's `text` with what was gone before it was read."""
    late_text = "" if late is None else f" late={late}"
    return text + late_text + ("" if lost is None else f" lost={lost[0]}-{lost[1]}")
