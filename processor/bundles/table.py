"""A session as tables for any spreadsheet; nothing in them is run as a formula.

messages.csv has a row a message; timeline.csv has what the page shows, in its order and its words.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from processor.bundles.sink import BUFFER_BYTES, Sink
from processor.sessions.forms.folding import folded, marks_of
from processor.sessions.forms.shapes import Entry
from processor.upstream.vocabulary import flag_text
from processor.upstream.words import table

_OUR_COLUMNS: Final = ("seq", "at", "recorded_at", "expressed_by", "notices", "content_hash", "words", "fields")
_THEIR_COLUMNS: Final = (
    "source", "modality", "performer_id", "event", "capture_id", "record_id", "output_phrase", "final_decision",
    "label_status", "label_correction", "transcript", "consent_given", "is_demo",
)  # fmt: skip
_TIMELINE_COLUMNS: Final = (
    "time (UTC)", "until", "who", "what", "worth knowing", "by", "sent by", "message", "kind", "fields",
)  # fmt: skip
_encode: Final = msgspec.json.Encoder().encode
_FORMULA: Final = re.compile(r"\s*[=+\-@|%\t\r\n\uff1d\uff0b\uff0d\uff20]").match
# For readers who separate by `;` or tabs, and so see quotes elsewhere: what may end a cell or a line, then a formula.
_INSIDE: Final = re.compile(r'(?<![\s";])[\s";]++(?=[=+\-@|%\uff1d\uff0b\uff0d\uff20])').sub
_ENDS_CELL: Final = frozenset(";\t\r\n")


def defused(value: object) -> str:
    """Return `value` as text that no spreadsheet takes for a formula: an apostrophe stands before what might be one.

    In many languages spreadsheets separate cells by `;`. So there is an apostrophe after a `;` as well.
    """
    if isinstance(value, str):
        text = value
        if text[:1].isalnum() and "\0" not in text:  # The common case.
            return _defused_inside(text)
    elif value is None:
        return ""
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, int | float):
        return str(value)
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = _defused_inside(text.replace("\0", "\ufffd"))
    return f"'{text}" if _FORMULA(text) else text


def _defused_inside(text: str) -> str:
    if ";" in text or "\n" in text or "\t" in text or "\r" in text:  # Much faster than a pattern.
        return _INSIDE(lambda run: run[0] if _ENDS_CELL.isdisjoint(run[0]) else f"{run[0]}'", text)
    return text


class _Csv:
    """A CSV file that spreadsheets read."""

    def __init__(self, out: Sink, names: Iterable[str]) -> None:
        self._out = out
        self._text = io.StringIO()
        self._rows = csv.writer(self._text, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
        out.write(b"\xef\xbb\xbf")  # So that spreadsheets read UTF-8.
        self.put(names)

    def put(self, cells: Iterable[str]) -> None:
        """Add a row."""
        self._rows.writerow(cells)
        if self._text.tell() >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait to the file."""
        self._out.write(self._text.getvalue().encode("utf-8", "replace"))
        self._text.seek(0)
        self._text.truncate()


class Messages:
    """messages.csv as it is written, a row a message."""

    def __init__(self, out: Sink) -> None:
        self._csv = _Csv(out, (*_OUR_COLUMNS, *_THEIR_COLUMNS))

    def write(self, entry: Entry) -> None:
        """Add the row of a message."""
        record = entry.record
        ours = (
            str(entry.seq), entry.at, entry.recorded_at, entry.expressed_by or "", " ".join(entry.notices),
            entry.content_hash or "", defused(entry.words), _fields(record),
        )  # fmt: skip
        self._csv.put([*ours, *[defused(record[name]) if name in record else "" for name in _THEIR_COLUMNS]])

    def flush(self) -> None:
        """Write the rows that wait to the file."""
        self._csv.flush()


def write_timeline(out: Sink, entries: Iterable[Entry]) -> None:
    """Write timeline.csv: what the page shows, in its order and its words, notes and all."""
    rows = _Csv(out, _TIMELINE_COLUMNS)
    who: Mapping[str, str] = table()["who"]
    for line in folded(entries):
        entry = line.entry
        if entry is None:  # A silence.
            rows.put(("", "", "", line.words, *[""] * (len(_TIMELINE_COLUMNS) - 4)))
            continue
        number = str(entry.seq or "")
        flags = ", ".join(flag_text(word) for word in marks_of(entry))
        rows.put((
            _time(entry), _time(line.last) if line.last else "", who[entry.expressed_by or ""], defused(line.words),
            flags, defused(entry.record.get("performer_id")), defused(entry.source), number, entry.kind,
            _fields(entry.record),
        ))  # fmt: skip
    rows.flush()


def _time(entry: Entry) -> str:
    return entry.at[:19].replace("T", " ")  # As spreadsheets know a time.


def _fields(record: Mapping[str, Any]) -> str:
    return _encode(record).decode().replace(";", "\\u003b")
