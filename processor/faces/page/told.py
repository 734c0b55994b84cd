"""What a session tells of a person, in short: what was expressed, said and noted, without the machinery between it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import APIRouter, Request, Response

from processor.codec.codec import Codec
from processor.codec.events import from_json
from processor.codec.isotime import parse_time
from processor.faces.replica.context import Context, Given
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.reading import Wanted, answer, headers_of, in_thread
from processor.sessions.forms.shapes import Entry
from processor.sessions.forms.timeline import event_line, message_line
from processor.view.held import Held

router: Final = APIRouter(prefix="/page", include_in_schema=False, dependencies=[CaughtUp])

LINES_MAX: Final = 500  # of one session; the session's own page has all
EXPRESSED_MAX: Final = 200  # different things that are counted in one session
_EXPRESSED: Final = frozenset({"signed", "recognised", "spoken", "shown", "symbol", "heard", "wrote"})
_TELLING: Final = _EXPRESSED | {
    "asked_back", "confirmed", "corrected", "corrected_to", "rejected", "noted",
    "note", "context", "status", "tag", "paused", "resumed",
}  # fmt: skip
_ALWAYS: Final = frozenset({"requires_attention", "no_consent"})  # told whatever the line says
_UNSURE: Final = frozenset({"percent"})  # values that do not make another thing of what is expressed


class Told(msgspec.Struct, array_like=True):
    """One line, or several alike that followed each other."""

    at_ms: int
    voice: str | None
    phrase: str
    values: dict[str, Any]
    detail: str
    notices: list[str]
    place: str  # the fragment of the address of the session's page that leads to it
    marks: Sequence[str]  # what bookmarks say of it, "" for one without words
    count: int = 1

    def is_like(self, other: "Told") -> bool:
        """Whether it says the same as another line."""
        mine, theirs = ((each.detail, each.notices, each.marks) for each in (self, other))
        return _kind(self) == _kind(other) and mine == theirs


class Expressed(msgspec.Struct, array_like=True):
    """How often the user expressed something."""

    phrase: str
    values: dict[str, Any]
    count: int


class Telling(msgspec.Struct):
    """A session in short."""

    lines: list[Told]
    left_out: int
    expressed: list[Expressed]


@router.get("/sessions/{session_id}/told")
async def tell_session(request: Request, held: Wanted, context: Given) -> Response:
    """Return what was expressed, said, noted and marked in a session, and how often the user expressed what."""
    return answer(await in_thread(_telling, held, context), headers_of(request, held))


def _telling(held: Held, context: Context) -> Telling:
    marks: dict[str, list[str]] = {}
    if context.profiles is not None:
        for bookmark in context.profiles.bookmarks.of_session(held.row.session_id):
            marks.setdefault(bookmark.place, []).append(bookmark.text)
    return telling_of(held, context.view.codec, marks)


def telling_of(held: Held, codec: Codec, marks: Mapping[str, Sequence[str]]) -> Telling:
    """Return a session in short, with the places in `marks` whatever they say. Raises as `Codec.untag`."""
    lines: list[Told] = []
    counts: Counter[_Kind] = Counter()
    left_out = 0
    for line in _lines(held, codec, marks):
        if line.voice == "user" and line.phrase in _EXPRESSED:
            kind = _kind(line)
            if kind in counts or len(counts) < EXPRESSED_MAX:
                counts[kind] += 1
        if lines and lines[-1].is_like(line):
            lines[-1].count += 1
        elif len(lines) < LINES_MAX:
            lines.append(line)
        else:
            left_out += 1
    lines.sort(key=lambda line: line.at_ms)
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return Telling(lines, left_out, [Expressed(kind.phrase, dict(kind.values), count) for kind, count in most])


class _Kind(NamedTuple):
    """What two lines have in common that say the same."""

    phrase: str
    voice: str | None
    values: tuple[tuple[str, str], ...]


def _kind(line: Told) -> _Kind:
    values = ((name, str(value)) for name, value in line.values.items() if name not in _UNSURE)
    return _Kind(line.phrase, line.voice, tuple(values))


def _lines(held: Held, codec: Codec, marks: Mapping[str, Sequence[str]]) -> Iterator[Told]:
    """Yield the lines that tell something: events first, so that no notes are left out before messages are."""
    for number, row in enumerate(held.events(), 1):
        event = from_json(row.value)
        entry, place = event_line(row, event, number).entry, f"event={number}"
        if entry.phrase in _TELLING or place in marks:
            yield _told(entry, place, marks)
    for message in held.messages():
        entry, place = message_line(message, codec)[0].entry, f"seq={message.seq}"
        if entry.phrase in _TELLING or place in marks or not _ALWAYS.isdisjoint(entry.notices):
            yield _told(entry, place, marks)


def _told(entry: Entry, place: str, marks: Mapping[str, Sequence[str]]) -> Told:
    said = entry.phrase, entry.values, entry.detail, entry.notices
    return Told(parse_time(entry.at), entry.expressed_by, *said, place, marks.get(place, ()))
