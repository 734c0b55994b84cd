"""What a session tells of a person, in short: what was expressed, said and noted, without the machinery between it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import APIRouter, Request, Response

from processor.codec.codec import Codec
from processor.codec.events import from_json
from processor.codec.isotime import parse_time
from processor.faces.context import Given
from processor.faces.positions import CaughtUp
from processor.faces.v1.reading import Wanted, answer, headers_of, in_thread
from processor.sessions.shapes import Entry
from processor.sessions.timeline import event_line, message_line
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
    count: int = 1

    def is_like(self, other: "Told") -> bool:
        """Whether it says the same as another line."""
        return _kind(self) == _kind(other) and (self.detail, self.notices) == (other.detail, other.notices)


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
    """Return what was expressed, said and noted in a session, oldest first, and how often the user expressed what."""
    return answer(await in_thread(telling_of, held, context.view.codec), headers_of(request, held))


def telling_of(held: Held, codec: Codec) -> Telling:
    """Return a session in short. Raises as `Codec.untag`."""
    lines: list[Told] = []
    counts: Counter[_Kind] = Counter()
    left_out = 0
    for line in _lines(held, codec):
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


def _lines(held: Held, codec: Codec) -> Iterator[Told]:
    """Yield the lines that tell something: events first, so that no notes are left out before messages are."""
    for number, row in enumerate(held.events(), 1):
        event = from_json(row.value)
        entry = event_line(row, event, number).entry
        if entry.phrase in _TELLING:
            yield _told(entry, f"event={number}")
    for message in held.messages():
        entry = message_line(message, codec)[0].entry
        if entry.phrase in _TELLING or not _ALWAYS.isdisjoint(entry.notices):
            yield _told(entry, f"seq={entry.seq}")


def _told(entry: Entry, place: str) -> Told:
    at_ms = parse_time(entry.at)
    return Told(at_ms, entry.expressed_by, entry.phrase, entry.values, entry.detail, entry.notices, place)
