"""index.html for a root and for each of its dates: which sessions are there, of whom, and what is worth knowing.

They follow from the index (index.py) and the bundles' metadata, and are written with it. So a bundle that is removed
leaves them first. Only a root on a file system has them: elsewhere nobody opens them.
"""

import html
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from processor.bundles.page import WORDS, framed, json_in_script, own_script
from processor.bundles.reading import METADATA_BYTES_MAX
from processor.codec.isotime import parse_time
from processor.sessions.forms.shapes import Metadata
from processor.targets.paths import METADATA, OVERVIEW, PAGE, path_part
from processor.targets.target import Target
from processor.upstream.vocabulary import FLAGS, QUIET
from processor.upstream.words import Said, filled, table

ROWS_MAX: Final = 1_000  # of the root's page, in whole dates; the other dates are links there
_Cell = tuple[str, Mapping[str, Any]] | None


def write_date(target: Target, date: str, sessions: Iterable[str]) -> None:
    """Write the page of a date, with the `sessions` that are there.

    Raises:
        OSError: it cannot be written.
    """
    rows = list(_rows(target, date, sessions, ""))
    _write(Path(target.path(date), OVERVIEW), rows, "")


def write_root(target: Target, dates: Mapping[str, Iterable[str]]) -> None:
    """Write the page of the root: `dates` has the sessions of each date. Raises as `write_date`."""
    rows: list[_Row] = []
    earlier: list[str] = []
    for date in sorted(dates, reverse=True):
        if len(rows) < ROWS_MAX and not earlier:
            rows += _rows(target, date, dates[date], f"{date}/")
        else:
            earlier.append(f'<li><a href="{date}/{OVERVIEW}">{date}</a></li>')
    links = f'<h2 data-say="earlier">{table()["page"]["earlier"]}</h2><ul class="earlier">{"".join(earlier)}</ul>'
    _write(Path(target.path(OVERVIEW)), rows, links if earlier else "")


class _Row(msgspec.Struct):
    start_ms: int
    link: str
    cells: list[_Cell]


def _rows(target: Target, date: str, sessions: Iterable[str], before: str) -> Iterator[_Row]:
    """Yield the rows of a date, the latest first; a session whose bundle cannot be read has none."""
    rows = []
    for session_id in sessions:
        folder = path_part(session_id)
        path = target.path(f"{date}/{folder}")
        try:
            metadata = msgspec.json.decode(target.read(f"{path}/{METADATA}", METADATA_BYTES_MAX), type=Metadata)
            start_ms = parse_time(metadata.start_time)
            cells = _cells(metadata, start_ms)
        except (OSError, msgspec.DecodeError, ValueError, RecursionError):
            continue  # `verify` says what is wrong with it.
        has_page = Path(path, PAGE).exists()
        rows.append(_Row(start_ms, f"{before}{folder}/{PAGE if has_page else ''}", cells))
    yield from sorted(rows, key=lambda row: (row.start_ms, row.link), reverse=True)


def _cells(metadata: Metadata, start_ms: int) -> list[_Cell]:
    length_ms = parse_time(metadata.end_time or metadata.last_activity) - start_ms
    flags = [word for word in FLAGS if word in metadata.flags and word not in QUIET]
    return [
        ("index_started", {"start": start_ms}),
        ("index_user", {"user": metadata.owner or metadata.user_id}),
        ("fact_length", {"length": max(0, length_ms)}),
        ("index_messages", {"held": metadata.message_count}),
        ("index_flags", {"flags": flags}) if flags else None,
        ("fact_notes", {"note": metadata.session_notes}) if metadata.session_notes else None,
        ("index_tags", {"tags": ", ".join(metadata.tags)}) if metadata.tags else None,
        ("fact_proof", {"state": metadata.completeness}),
    ]


def _write(path: Path, rows: list[_Row], earlier: str) -> None:
    """Put the page in its place, if it is another one than before. Where nothing is left, there is none."""
    if not rows and not earlier:
        path.unlink(missing_ok=True)
        return
    data = msgspec.json.encode({"rows": [row.cells for row in rows], "words": WORDS})
    texts = {"rows": "".join(map(_shown, rows)), "earlier": earlier, "data": json_in_script(data).decode()}
    text = "".join(framed("sessions.html", *own_script("words", "sessions"), texts)).encode("utf-8", "replace")
    if path.exists() and path.read_bytes() == text:
        return
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(text)
    beside.replace(path)


def _shown(row: _Row) -> str:
    cells = [html.escape(filled(Said(*cell))) if cell else "" for cell in row.cells]
    first = f'<a href="{html.escape(quote(row.link))}">{cells[0]}</a>'
    return f'<tr><td>{first}</td>{"".join(f"""<td dir="auto">{cell}</td>""" for cell in cells[1:])}</tr>'
