"""A session's timeline as a page: one file that needs no network.

Its policy lets only its own script and style run. Its data are in blocks that no character in them can end.
"""

import html
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import msgspec

from processor.codec.isotime import format_time, parse_time
from processor.codec.wire import JSON
from processor.sessions.forms.shapes import Entry
from processor.sessions.model import MessageRow, SessionRow, Status
from processor.upstream.vocabulary import FLAGS, QUIET
from processor.upstream.words import LANGUAGES, Said, filled, table

PAGE_ENTRIES_MAX: Final = 250_000  # of a page; the rest is in the other files, as the page says
PAGE_BYTES_MAX: Final = 256 << 20
TEMPLATES: Final = Path(__file__).parent / "templates" / "timeline"
SCRIPTS: Final = ("words", "entries", "rows", "details", "strip", "playback", "sha256", "proof", "page")
"""The parts of the page's script, in order. `source` is beside them: it hands over the data that stand in the file."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Entry).decode
_PLACE: Final = re.compile(r"@@(\w+)@@")
_UNSAFE: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
WORDS: Final = {
    language: {name: words for name, words in table(language).items() if name != "service"} for language in LANGUAGES
}
_Told = tuple[str, str, Mapping[str, Any]]


def page(
    session: SessionRow, entries: Iterable[bytes], *, contents: Iterable[bytes] = repeat(b""), **more: Any
) -> Iterator[bytes]:
    """Yield the timeline as one HTML page.

    Args:
        session: its row.
        entries: those of a `Spool`.
        contents: of each entry, in JSON, what `checkable` returns, if readers are to check the contents too.
        more: what `Lines` takes.
    """
    lines = Lines(session, zip(map(_decode, entries), contents, strict=False), **more)
    before, between, after = _frame(session, lines.facts, lines.notices)
    yield before
    for line in lines:
        yield json_in_script(line) + b"\n"
    yield between
    yield json_in_script(_encode({**lines.data(), "words": WORDS}))
    yield after


class Lines:
    """A timeline as the page's script reads it: a line for each entry, and after them what they need (`data`)."""

    def __init__(
        self,
        session: SessionRow,
        entries: Iterable[tuple[Entry, bytes]],
        *,
        pinned: str | None = None,
        entries_max: int = PAGE_ENTRIES_MAX,
    ) -> None:
        """Take a session.

        Args:
            session: its row.
            entries: of its timeline, each with what `checkable` returns of it, in JSON; b"" where none is told.
            pinned: the digest over the messages when the page was promised to somebody.
            entries_max: of more, the rest is left out, and that is told.
        """
        self.facts: Final = list(_facts(session))
        self.notices: Final = list(_notices(session))
        self._session = session
        self._entries = entries
        self.proof = _proof(session, pinned)
        self._entries_max = entries_max
        self._shapes: dict[tuple[str, ...], int] = {}
        self._told = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines, once."""
        size = left_out = 0
        for entry, content in self._entries:
            if self._told >= self._entries_max or size > PAGE_BYTES_MAX:
                left_out += 1
                continue
            line = _line(entry, self._shapes)
            size += len(line)
            yield b"%b\t%b" % (line, content) if content else line
            self._told += 1
        if left_out:
            self.leave_out(self._told, left_out)

    def leave_out(self, shown: int, left_out: int) -> None:
        """Tell that there are more lines than a page holds; then nothing is proven of them."""
        self.proof = None
        self.notices.append(("notice_left_out", {"shown": shown, "left_out": left_out}))

    def data(self) -> dict[str, Any]:
        """Return what the lines need that were yielded: the page's head, and what stands once for all of them."""
        head = {"session": _page_session(self._session), "facts": self.facts, "notices": self.notices}
        return {**head, "proof": self.proof, "shapes": list(self._shapes), "quiet": QUIET, "lines": self._told}


def checkable(row: MessageRow, content: bytes | None) -> str | list[str] | None:
    """Return a message as it came, for a page whose readers check it: as text, else its base64 in a list."""
    if content is None:
        return None
    return content.decode() if row.encoding == JSON else [b64encode(content).decode()]


def policy() -> str:
    """Return the page's policy: what may run in it."""
    return own_script(*SCRIPTS, "source")[1]


def script(*parts: str) -> str:
    """Return the page's script, made of texts that share their names."""
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def parts_of_script(*names: str) -> Iterator[str]:
    """Yield parts of the page's script by name."""
    return ((TEMPLATES / f"{name}.js").read_text("utf-8") for name in names)


def served(own: str, actions: str) -> tuple[str, str]:
    """Return the page without a session, and the policy that it needs.

    Args:
        own: the script that gets a session from a service.
        actions: HTML that stands below the page's head.
    """
    code = script(*parts_of_script(*SCRIPTS), own)
    policy = policy_of(f"script-src {_source(code)} 'self'; connect-src 'self'")
    return "".join(framed("page.html", code, policy, {"actions": actions})), policy


def json_in_script(text: bytes) -> bytes:
    """Return JSON with the same meaning in which nothing can end a script block."""
    for unsafe, safe in _UNSAFE:
        text = text.replace(unsafe, safe)
    return text


def _line(entry: Entry, shapes: dict[tuple[str, ...], int]) -> bytes:
    """Return an entry as the page's script reads it: what every line needs, a tab, and what only its details need.

    The names of a record's fields stand once in the data, in `shapes`: that halves the page of a long session.
    """
    capture_id = entry.record.get("capture_id")
    head = (
        entry.kind, entry.seq or entry.number, parse_time(entry.at), entry.expressed_by, entry.source, entry.phrase,
        entry.values, entry.detail, entry.notices, capture_id if isinstance(capture_id, str) else None,
    )  # fmt: skip
    shape = shapes.setdefault(tuple(entry.record), len(shapes))
    rest = (
        parse_time(entry.recorded_at),
        entry.content_hash,
        entry.reasons,
        entry.trace_id,
        shape,
        *entry.record.values(),
    )
    return _encode(head) + b"\t" + _encode(rest)


def framed(name: str, code: str, policy: str, texts: Mapping[str, str]) -> list[str]:
    """Return a page, cut at each place for which `texts` has nothing.

    Args:
        name: its template.
        code: its script.
        policy: as `policy_of` returns it.
        texts: HTML for its places, beside the texts that all pages share.
    """
    filled_in = {**_shared(), "policy": html.escape(policy), "style": _style(), "script": code, **texts}
    cut = [""]
    for number, piece in enumerate(_pieces(name)):
        if number % 2 and piece not in filled_in:
            cut.append("")
        else:
            cut[-1] += filled_in[piece] if number % 2 else piece
    return cut


@cache
def own_script(*names: str) -> tuple[str, str]:
    """Return the script made of parts by name, and the policy of a page that runs nothing else."""
    code = script(*parts_of_script(*names))
    return code, policy_of(f"script-src {_source(code)}")


def policy_of(scripts: str) -> str:
    """Return the policy of a page; `scripts` says what it may run, and where that may connect to."""
    return (
        f"default-src 'none'; {scripts}; style-src {_source(_style())}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


@cache
def _style() -> str:
    return (TEMPLATES / "page.css").read_text("utf-8")


@cache
def _pieces(name: str) -> tuple[str, ...]:
    """Return a template's parts, every second one the name of a place to fill.

    It is split once, then filled: what stands in a text is never taken for a place to fill.
    """
    return tuple(_PLACE.split((TEMPLATES / name).read_text("utf-8")))


@cache
def _shared() -> Mapping[str, str]:
    words = table()
    said = {f"say_{name}": html.escape(text) for name, text in words["page"].items()}
    return {**said, **{f"fact_{name}": html.escape(text) for name, text in words["facts"].items()}}


def _frame(session: SessionRow, facts: Iterable[_Told], notices: Iterable[tuple[str, Any]]) -> list[bytes]:
    """Return what stands before the lines, before the data, and at the end; in English for who has no script."""
    start = format_time(session.start_ms)
    texts = {
        "actions": "",
        "title": _text("title", {"user": session.owner}),
        "lead": html.escape(f"{start} – {format_time(session.last_ms)}"),
        "facts": "".join(
            f'<div><dt>{table()["facts"][name]}</dt><dd dir="auto">{_text(phrase, values)}</dd></div>'
            for name, phrase, values in facts
        ),
        "notices": "".join(f'<p class="notice">{_text(phrase, values)}</p>' for phrase, values in notices),
        "footer": _text("footer", {"session": session.session_id, "zone": "UTC"}),
    }
    cut = framed("page.html", *own_script(*SCRIPTS, "source"), texts)
    return [part.encode("utf-8", "replace") for part in cut]


def _text(phrase: str, values: Mapping[str, Any]) -> str:
    return html.escape(filled(Said(phrase, values)))


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _page_session(session: SessionRow) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "user_id": session.owner,
        "start_ms": session.start_ms,
        "end_ms": session.end_ms,
        "last_ms": session.last_ms,
    }


def _proof(session: SessionRow, pinned: str | None) -> dict[str, Any] | None:
    """Return what the messages must give. An id that was opened twice has two sessions, and no digest fits both."""
    if session.is_opened_twice:
        return None
    is_open = session.status is Status.OPEN
    return {
        "is_open": is_open,
        "count": session.held_count if is_open else session.expected_count,
        "digests": [
            digest for digest in (session.held_digest if is_open else session.expected_digest, pinned) if digest
        ],
    }


def _facts(session: SessionRow) -> Iterator[_Told]:
    """Yield what the head says: the name of each fact, and a phrase with its values."""
    summary = session.summary
    by = {voice: summary.expressed_by.get(voice, 0) for voice in ("user", "carer", "system")}
    flags = {word: summary.notices[word] for word in FLAGS if word in summary.notices and word not in QUIET}
    yield "length", "fact_length", {"length": session.duration_ms}
    if session.paused_ms:
        yield "paused", "fact_length", {"length": session.paused_ms}
    yield "session", "fact_session", {"state": session.state, "reason": session.reason}
    yield "messages", "fact_messages", {"held": session.held_count, **by}
    if flags:
        yield "flags", "fact_flags", {"flags": flags}
    if session.is_training_data:
        yield "training", "fact_training", {"label": session.training_intent_label}
    if session.session_notes:
        yield "notes", "fact_notes", {"note": session.session_notes}
    if session.status is Status.COMPLETE:
        yield "proof", "fact_proof", {"state": session.status.value}


def _notices(session: SessionRow) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if session.is_opened_twice:
        yield "notice_twice", {}
    elif session.status is Status.PARTIAL:
        yield "notice_partial", {"held": session.held_count, "expected": session.expected_count or 0}
    elif session.status is Status.OPEN:
        yield "notice_open", {}
