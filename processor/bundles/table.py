"""messages.csv: a session's messages as a table for any spreadsheet; nothing in it is run as a formula."""

import csv
import io
import json
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from processor.bundles.sink import BUFFER_BYTES, Sink
from processor.sessions.shapes import Entry

_OUR_COLUMNS: Final = ("seq", "at", "recorded_at", "expressed_by", "notices", "content_hash", "words", "fields")
_THEIR_COLUMNS: Final = (
    "source", "modality", "performer_id", "event", "capture_id", "record_id", "output_phrase", "final_decision",
    "label_status", "label_correction", "transcript", "consent_given", "is_demo",
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


class Table:
    """The table as it is written, a row a message."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self._text = io.StringIO()
        self._rows = csv.writer(self._text, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
        out.write(b"\xef\xbb\xbf")  # So that spreadsheets read UTF-8.
        self._put((*_OUR_COLUMNS, *_THEIR_COLUMNS))

    def write(self, entry: Entry) -> None:
        """Add the row of a message."""
        record = entry.record
        ours = (
            str(entry.seq), entry.at, entry.recorded_at, entry.expressed_by or "", " ".join(entry.notices),
            entry.content_hash or "", defused(entry.words), _encode(record).decode().replace(";", "\\u003b"),
        )  # fmt: skip
        self._put([*ours, *[defused(record[name]) if name in record else "" for name in _THEIR_COLUMNS]])

    def _put(self, cells: Iterable[str]) -> None:
        self._rows.writerow(cells)
        if self._text.tell() >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait to the file."""
        self._out.write(self._text.getvalue().encode("utf-8", "replace"))
        self._text.seek(0)
        self._text.truncate()
