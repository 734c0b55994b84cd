"""A session's timeline: its messages and events in order of time, each with one line in plain words, and as a page.

The page is one file that needs no network: a policy in it lets only its own script and style run, and the data stand
in a block in which no character can end it.
"""

import html
import re
from array import array
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, Final, NamedTuple

import msgspec

from processor.codec import Codec
from processor.codec.events import EventView, from_json
from processor.codec.isotime import format_time
from processor.codec.jsonvalue import plain_object, plain_value
from processor.core.errors import DecodeError, RecordError
from processor.exporter.bundles.shapes import Context, Entry, Note
from processor.exporter.model import EventRow, MessageRow, SessionRow, SessionView, Status
from processor.exporter.words import detail_words, event_words, message_words
from processor.runtime.withholding import why_withheld

PAGE_ENTRIES_MAX: Final = 50_000  # of a page; the rest is in the other files, as the page says
PAGE_BYTES_MAX: Final = 64 << 20
SPOOL_BYTES_MAX: Final = 8 << 20  # kept in memory; beyond it a temporary file takes over
_FIRST: Final = ("started",)
_LAST: Final = ("ended",)
SPINE: Final = ("record_id", "source", "modality", "performer_id", "capture_id")
_READ_AS_STORED: Final = "use the release and the SCHEMA_REGISTRY_URL that it was stored with, then export again"
_encode: Final = msgspec.json.Encoder().encode


class Line(NamedTuple):
    """An entry with its place in time."""

    at_ms: int
    rank: int  # among entries of the same ms
    entry: Entry


def message_line(row: MessageRow, codec: Codec) -> tuple[Line, bytes | None]:
    """Return the entry of a message, and the bytes that it came in as; None, and an entry without content, if withheld.

    Raises:
        DecodeError, RegistryUnavailable: as `Codec.untag`.
    """
    assert row.seq is not None
    content, why = None, row.withheld or "not held"
    record: dict[str, Any] = {}
    if row.withheld is None and row.value is not None:
        try:
            view, content = codec.untag(row.value)
        except DecodeError as error:
            place = f"message {row.seq} of {row.session_id}, tagged[{row.partition}]@{row.offset}"
            raise DecodeError(f"{place}, cannot be read: {error.what}", remedy=_READ_AS_STORED) from error
        record = view.fields
        found = why_withheld(content, record)  # The store should not have what must not be kept; this is the last gate.
        if found is not None:
            content, why = None, found
    if content is None:
        record = _without_content(row, why)
    notices = list(row.flags)
    if content is None and "withheld" not in notices:
        notices.append("withheld")
    at_ms = row.append_ms if "clock_skew" in notices else row.timestamp_ms
    words = f"{why.capitalize()}: its content is not kept" if content is None else message_words(record)
    reasons = _reasons(content, codec) if "nonconforming" in notices else []
    entry = Entry(
        "message", row.seq, None, format_time(at_ms), format_time(row.append_ms), _actor(row), row.source, row.modality,
        words, "", notices, row.content_hash.hex(), record, reasons,
    )  # fmt: skip
    return Line(at_ms, 1, entry), content


def _reasons(content: bytes | None, codec: Codec) -> list[str]:
    """Return why a message does not conform; nothing when its content is not kept, or is read otherwise by now."""
    with suppress(RecordError):
        return list(codec.reasons(content or b""))
    return []


def _without_content(row: MessageRow, why: str) -> dict[str, Any]:
    spine = {name: value for name in SPINE if (value := getattr(row, name))}
    told = {"withheld": why, "sha256": row.content_hash.hex(), "size": row.size_bytes}
    times = {"timestamp": format_time(row.timestamp_ms), "session_id": row.session_id}
    return {"user_id": row.user_id, **times, **spine, **told}


def _actor(row: MessageRow) -> Any:  # One of the words of `Entry.actor`.
    return row.actor


def event_line(row: EventRow, number: int) -> Line:
    """Return the entry of a session event, the `number`th of its session. An end stands where the session ended."""
    event = from_json(row.value)
    at_ms = event.timestamp
    if event.kind in _LAST and event.end_time is not None:
        at_ms = event.end_time
    record = plain_object(row.value)
    detail = detail_words(event.kind, details_of(event))
    entry = Entry(
        event.kind, None, number, format_time(at_ms), format_time(row.append_ms), "session", event.source, None,
        event_words(event), detail, [], None, record,
    )  # fmt: skip
    return Line(at_ms, 0 if event.kind in _FIRST else 3 if event.kind in _LAST else 2, entry)


def details_of(event: EventView) -> Mapping[str, Any]:
    """Return the further arguments of a command, as its event keeps them."""
    if event.details is None:
        return {}
    try:
        details = plain_value(event.details)
    except ValueError:  # Then they are no arguments of ours; the record shows them.
        return {}
    return details if isinstance(details, dict) else {}


class Spool:
    """Takes items in any order and gives their JSON back in order of time; what is large lies in a temporary file."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES_MAX)  # noqa: SIM115  # `close` is the caller's.
        self._at = array("q")
        self._rank = array("b")
        self._start = array("q", [0])

    def add(self, at_ms: int, rank: int, item: Entry | Note | Context) -> None:
        """Take what stands at `at_ms`, with its `rank` among those of the same ms."""
        text = _encode(item)
        self._file.write(text)
        self._at.append(at_ms)
        self._rank.append(rank)
        self._start.append(self._start[-1] + len(text))

    def __len__(self) -> int:
        return len(self._at)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the items as JSON, in order of time; of one ms by rank, then as added."""
        order = sorted(range(len(self._at)), key=lambda index: (self._at[index], self._rank[index]))
        file, start, at = self._file, self._start, -1
        for index in order:
            if start[index] != at:
                file.seek(start[index])
            yield file.read(start[index + 1] - start[index])
            at = start[index + 1]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def spooled(view: SessionView, codec: Codec) -> Spool:
    """Return the session's timeline, ready to be read; the caller closes it.

    Raises:
        DecodeError, RegistryUnavailable: as `Codec.untag`.
    """
    spool = Spool()
    for row in view.messages():
        spool.add(*message_line(row, codec)[0])
    for number, event in enumerate(view.events(), 1):
        spool.add(*event_line(event, number))
    return spool


# --- the page ---------------------------------------------------------------------------------------------------------

_PLACE: Final = re.compile(r"@@(\w+)@@")
_TEMPLATES: Final = Path(__file__).parent / "templates"
_UNSAFE: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_STATUS: Final = {"active": "going on", "paused": "paused", "ended": "ended"}
_ENDS: Final = {
    "timeout": "after a silence",
    "pause_timeout": "in a pause that nobody ended",
    "max_duration": "at its longest length",
    "command": "on request",
    "superseded": "when a new one was started",
    "late": "at once (made for late messages)",
}
_NOTABLE: Final = {
    "clarification": "asked back",
    "corrected": "corrected",
    "rejected": "not right",
    "unknown": "not recognised",
    "capture_abort": "broken off",
    "requires_attention": "needing attention",
    "no_consent": "without consent",
    "late": "late",
    "duplicate": "repeated",
    "clock_skew": "with a wrong clock",
    "while_paused": "in a pause",
    "session_mismatch": "moved here",
    "demo": "demo",
    "withheld": "not kept",
}


def page(session: SessionRow, entries: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the timeline as one HTML page; `entries` are those of a `Spool`."""
    before, after = _frame(session)
    yield before
    yield json_in_script(_encode({"session": _page_session(session)})[:-1]) + b',"timeline":['
    size = told = left_out = 0
    for entry in entries:
        size += len(entry)
        if told >= PAGE_ENTRIES_MAX or size > PAGE_BYTES_MAX:
            left_out += 1
            continue
        yield (b",\n" if told else b"\n") + json_in_script(entry)
        told += 1
    yield b'\n],"left_out":%d}' % left_out
    yield after


def json_in_script(text: bytes) -> bytes:
    """Return JSON that means the same and holds nothing that could end a script block."""
    for unsafe, safe in _UNSAFE:
        text = text.replace(unsafe, safe)
    return text


@cache
def _template() -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the page's parts, each second one the name of what stands there, and what is the same in every page."""
    html_text, style, script = ((_TEMPLATES / f"timeline.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    # Split once, then filled: what stands in a text is never taken for a place to fill.
    parts = tuple(_PLACE.split(html_text))
    return parts, {"policy": html.escape(policy), "style": style, "script": script, "data": ""}


def _frame(session: SessionRow) -> tuple[bytes, bytes]:
    parts, texts = _template()
    start = format_time(session.start_ms)
    texts = {
        **texts,
        "title": html.escape(f"Session of {session.user_id}, {start[:16].replace('T', ' ')}"),
        "heading": f"Session of {html.escape(session.user_id)}",
        "lead": html.escape(f"{start} to {format_time(session.last_ms)}"),
        "facts": _facts(session),
        "notices": _notices(session),
        "footer": html.escape(f"Session {session.session_id}. Times are those of this device; UTC is a button."),
    }
    filled = [texts[part] if number % 2 else part for number, part in enumerate(parts)]
    cut = parts.index("data")
    return "".join(filled[:cut]).encode("utf-8", "replace"), "".join(filled[cut + 1 :]).encode()


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _page_session(session: SessionRow) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "user_id": session.user_id,
        "start_ms": session.start_ms,
        "end_ms": session.end_ms,
        "last_ms": session.last_ms,
    }


def _facts(session: SessionRow) -> str:
    summary = session.summary
    actors = ", ".join(
        f"{name} {summary.actors[name]:,}" for name in ("user", "partner", "system") if summary.actors.get(name)
    )
    ended = _STATUS.get(session.state, session.state)
    if session.state == "ended" and session.reason:
        ended += f" {_ENDS.get(session.reason, session.reason)}"
    notable = ", ".join(
        f"{summary.notices[word]:,} {words}" for word, words in _NOTABLE.items() if summary.notices.get(word)
    )
    training = None
    if session.is_training_data:
        training = "yes" + (f", “{session.training_intent_label}”" if session.training_intent_label else "")
    facts = {
        "Length": span_words(session.duration_ms),
        "Paused": span_words(session.paused_ms) if session.paused_ms else None,
        "Session": ended,
        "Messages": f"{session.held_count:,}" + (f" ({actors})" if actors else ""),
        "Worth knowing": notable or None,
        "For training": training,
        "Notes at the start": session.session_notes,
        "Complete": "yes, proven" if session.status is Status.COMPLETE else None,
    }
    return "".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts.items() if value)


def _notices(session: SessionRow) -> str:
    if session.is_opened_twice:
        return '<p class="notice">This session was opened twice: what was sent again much later is here too.</p>'
    if session.status is Status.PARTIAL:
        held, expected = f"{session.held_count:,}", f"{session.expected_count or 0:,}"
        return f'<p class="notice">Not all of this session is here: {held} of {expected} messages.</p>'
    if session.status is Status.OPEN:
        return '<p class="notice">This session had not ended when this page was made. There may be more.</p>'
    return ""


def span_words(ms: int) -> str:
    """Return a length of time in words."""
    minutes = round(ms / 60_000)
    if ms < 59_500:
        return f"{round(ms / 1000)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
