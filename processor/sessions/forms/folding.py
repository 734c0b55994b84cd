"""A timeline as people read it: silences are told, a recording is one line, and lines that are alike become one.

Terminal and timeline.csv use it; the page's script does the same, since its reader can unfold.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from processor.codec.isotime import parse_time
from processor.sessions.forms.shapes import Entry
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


class _Run:
    """Entries that follow each other and may become one line; few of them are kept, however many they are."""

    def __init__(self, entry: Entry) -> None:
        self._first = [entry]
        self._last = entry
        self._count = 1
        self._pictures = int(entry.phrase == "camera_picture")
        self.key = _alike(entry)

    def add(self, entry: Entry) -> None:
        if len(self._first) < FOLD_MIN - 1:
            self._first.append(entry)
        self._last = entry
        self._count += 1
        self._pictures += entry.phrase == "camera_picture"

    def lines(self) -> Iterator[Line]:
        first = self._first[0]
        if self.key is not None and self.key[0] == "recording" and self._count > 1:
            yield Line(first, self._recording())
        elif self.key is not None and self._count >= FOLD_MIN:
            yield Line(first, filled(Said("alike", {"count": self._count, "words": self.key[1]})), self._last)
        else:
            yield from (Line(entry, words_of(entry)) for entry in self._first)

    def _recording(self) -> str:
        first = self._first[0]
        length_ms = parse_time(self._last.at) - parse_time(first.at)
        values = {"length": length_ms, "pictures": self._pictures, "label": first.values.get("label")}
        return filled(Said("recording", {name: value for name, value in values.items() if value}))


def folded(entries: Iterable[Entry]) -> Iterator[Line]:
    """Yield the lines for `entries`, which are in order of time."""
    run: _Run | None = None
    before_ms: int | None = None
    for entry in entries:
        at_ms = parse_time(entry.at)
        is_idle = before_ms is not None and at_ms - before_ms > IDLE_MS
        if run is not None and run.key is not None and not is_idle and _alike(entry) == run.key:
            run.add(entry)
        else:
            if run is not None:
                yield from run.lines()
            if is_idle and before_ms is not None:
                yield Line(None, filled(Said("silence", {"length": at_ms - before_ms})))
            run = _Run(entry)
        before_ms = max(at_ms, before_ms or 0)
    if run is not None:
        yield from run.lines()


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
    is_picture = entry.phrase == "camera_picture"  # Each has a number of its own.
    return f"{entry.expressed_by} {entry.source}", filled(Said(entry.phrase)) if is_picture else words_of(entry)
