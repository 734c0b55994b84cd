"""A timeline as people read it: silences are told, a recording is one line, and lines that are alike become one.

Terminal and timeline.csv use it; the page's script does the same, since its reader can unfold.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from processor.codec.isotime import parse_time
from processor.sessions.shapes import Entry
from processor.upstream.vocabulary import QUIET
from processor.upstream.words import Said, filled

IDLE_MS: Final = 120_000  # a longer silence is told as one
FOLD_MIN: Final = 3  # lines alike from which on they are one
_RECORDING: Final = frozenset({"camera_starts", "camera_picture", "camera_stops", "movement_ready"})


class Line(NamedTuple):
    """One line: an entry, or the first of those that it stands for; or a silence."""

    entry: Entry | None  # None for a silence
    words: str
    last: Entry | None = None  # of lines that are alike the last one


def folded(entries: Iterable[Entry]) -> Iterator[Line]:
    """Yield the lines for `entries`, which are in order of time."""
    before_ms: int | None = None
    run: list[Entry] = []
    run_key: tuple[str, str] | None = None
    for entry in entries:
        at_ms = parse_time(entry.at)
        is_idle = before_ms is not None and at_ms - before_ms > IDLE_MS
        key = _alike(entry)
        if is_idle or key is None or key != run_key:
            yield from _lines(run)
            run = []
        if is_idle and before_ms is not None:
            yield Line(None, filled(Said("silence", {"length": at_ms - before_ms})))
        run.append(entry)
        run_key = key
        before_ms = max(at_ms, before_ms or 0)
    yield from _lines(run)


def words_of(entry: Entry) -> str:
    """Return the words of an entry with its detail."""
    return f"{entry.words}: {entry.detail}" if entry.detail else entry.words


def marks_of(entry: Entry) -> list[str]:
    """Return the flags that a line shows."""
    return [word for word in entry.notices if word not in QUIET]


def _alike(entry: Entry) -> tuple[str, str] | None:
    """Return what entries that may become one line have in common. Returns None if it is a line of its own."""
    if marks_of(entry) or entry.kind not in ("message", "unchanged"):
        return None
    capture_id = entry.record.get("capture_id")
    if entry.phrase in _RECORDING and isinstance(capture_id, str):
        return "recording", capture_id
    return f"{entry.expressed_by} {entry.source}", re.sub(r" \d+$", "", words_of(entry))


def _lines(run: list[Entry]) -> Iterator[Line]:
    key = _alike(run[0]) if run else None
    if key is not None and key[0] == "recording" and len(run) > 1:
        yield Line(run[0], _recording(run))
    elif key is not None and len(run) >= FOLD_MIN:
        yield Line(run[0], filled(Said("alike", {"count": len(run), "words": key[1]})), run[-1])
    else:
        yield from (Line(entry, words_of(entry)) for entry in run)


def _recording(run: list[Entry]) -> str:
    pictures = sum(entry.phrase == "camera_picture" for entry in run)
    length_ms = parse_time(run[-1].at) - parse_time(run[0].at)
    values = {
        "length": length_ms or None,
        "pictures": pictures or None,
        "label": run[0].values.get("label"),
    }
    return filled(Said("recording", values))
