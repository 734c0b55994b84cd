"""A session's timeline as a page: one file that needs no network.

Its policy lets only its own script and style run. Its data are in a block that no character in them can end.
"""

import html
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from processor.codec.isotime import format_time
from processor.sessions.model import SessionRow, Status
from processor.upstream.vocabulary import ENDS, FLAGS, ODD, QUIET, flag_counts
from processor.upstream.words import span_words

PAGE_ENTRIES_MAX: Final = 50_000  # of a page; the rest is in the other files, as the page says
PAGE_BYTES_MAX: Final = 64 << 20
_encode: Final = msgspec.json.Encoder().encode
_PLACE: Final = re.compile(r"@@(\w+)@@")
_TEMPLATES: Final = Path(__file__).parent / "templates"
_UNSAFE: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_WORDS: Final = {"flags": FLAGS, "reasons": ODD, "quiet": QUIET}  # in the page's data, for its script


def page(session: SessionRow, entries: Iterable[bytes], *, entries_max: int = PAGE_ENTRIES_MAX) -> Iterator[bytes]:
    """Yield the timeline as one HTML page; `entries` are those of a `Spool`."""
    before, after = _frame(session)
    yield before
    yield json_in_script(_encode({"session": _page_session(session), "words": _WORDS})[:-1]) + b',"timeline":['
    size = told = left_out = 0
    for entry in entries:
        size += len(entry)
        if told >= entries_max or size > PAGE_BYTES_MAX:
            left_out += 1
            continue
        yield (b",\n" if told else b"\n") + json_in_script(entry)
        told += 1
    yield b'\n],"left_out":%d}' % left_out
    yield after


def json_in_script(text: bytes) -> bytes:
    """Return JSON with the same meaning in which nothing can end a script block."""
    for unsafe, safe in _UNSAFE:
        text = text.replace(unsafe, safe)
    return text


@cache
def _template() -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the page's parts, every second one the name of a place to fill, and the texts that all pages share."""
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
    voices = ", ".join(
        f"{name} {summary.expressed_by[name]:,}"
        for name in ("user", "carer", "system")
        if summary.expressed_by.get(name)
    )
    ended = session.state
    if session.state == "ended" and session.reason:
        ended += f" {ENDS.get(session.reason, session.reason)}"
    training = None
    if session.is_training_data:
        training = "yes" + (f", “{session.training_intent_label}”" if session.training_intent_label else "")
    facts = {
        "Length": span_words(session.duration_ms),
        "Paused": span_words(session.paused_ms) if session.paused_ms else None,
        "Session": ended,
        "Messages": f"{session.held_count:,}" + (f" ({voices})" if voices else ""),
        "Worth knowing": flag_counts(
            {word: count for word, count in summary.notices.items() if word != "nonconforming"}
        ),
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
