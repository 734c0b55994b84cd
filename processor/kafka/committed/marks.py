"""The end of the text beside each committed offset: what became of its partition.

The text begins with the ids of the topics (origin.py). Others who set an offset leave no such text. So these marks are
remembered as long as the offset.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from processor.runtime.adopting import Adopted
from processor.runtime.growing import Grown

_OURS: Final = re.compile(r"a3cp( |$)")
_LATE: Final = re.compile(r" late=(\d+)( |$)")
_GROWN: Final = re.compile(r" grown=([\d@,]+)( |$)")
_ADOPTED: Final = re.compile(r" adopted=(\d+)-(\d+)-(\d+)( |$)")
_LOST: Final = re.compile(r" lost=(\d+)-(\d+)$")


class Marks(NamedTuple):
    """What became of a partition of the raw topic."""

    late: int | None = None  # where it began when the group first read it, if something was gone by then
    grown: Sequence[Grown] = ()  # how many partitions there were before
    adopted: Adopted | None = None  # up to where a mirror filled it
    lost: tuple[int, int] | None = None  # the latest offsets, first and next, that were removed before they were read


def is_ours(text: str | None) -> bool:
    """Return whether a processor wrote `text`."""
    return _OURS.match(text or "") is not None


def marks_in(text: str | None) -> Marks:
    """Return the marks in a text; none if no processor wrote it."""
    if text is None or not is_ours(text):
        return Marks()
    late, grown, adopted, lost = (each.search(text) for each in (_LATE, _GROWN, _ADOPTED, _LOST))
    return Marks(
        None if late is None else int(late[1]),
        () if grown is None else [Grown(*map(int, each.split("@"))) for each in grown[1].split(",")],
        None if adopted is None else Adopted(int(adopted[1]), int(adopted[2]), int(adopted[3])),
        None if lost is None else (int(lost[1]), int(lost[2])),
    )


def with_marks(text: str, marks: Marks) -> str:
    """Return a processor's `text`, which has none, with `marks` behind it."""
    if marks.late is not None:
        text += f" late={marks.late}"
    if marks.grown:
        text += " grown=" + ",".join(f"{partitions}@{offset}" for partitions, offset in marks.grown)
    if marks.adopted is not None:
        text += " adopted=" + "-".join(map(str, marks.adopted))
    if marks.lost is not None:
        text += f" lost={marks.lost[0]}-{marks.lost[1]}"
    return text
