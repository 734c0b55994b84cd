"""From the exporter's rows to those of the tables, and back: a record's place is one number there."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from sqlalchemy import Table

from processor.sessions.model import EventRow, MessageRow, SessionRow, Sums, UnreadableRow
from processor.store.tables import TEXTS, partition_and_offset, position_of

Values: TypeAlias = tuple[Any, ...]
"""A row's values in the order of its table's columns."""

R = TypeVar("R", MessageRow, EventRow, UnreadableRow)

_SUMMARY: Final = msgspec.json.Decoder(Sums)
_SUMMARY_AT: Final = SessionRow._fields.index("summary")
_TRAINING_AT: Final = SessionRow._fields.index("is_training_data")
_TAGS_AT: Final = SessionRow._fields.index("tags")
COUNTED: Final = (
    "held_count",
    "held_digest",
    "notices",
    "summary",
    "score",
    "score_ms",
    "status",
    "duration_ms",
    "changes",
)
"""The columns of `sessions` that messages change."""


def columns(table: Table) -> list[str]:
    """Return the names of the columns that are written, in order: all but the id that the database gives."""
    return [column.name for column in table.columns if not (table is TEXTS and column.name == "id")]


def record_values(rows: Iterable[Values]) -> list[Values]:
    """Return the values of rows that are made of records, whose last fields are partition and offset."""
    return [(position_of(row[-2], row[-1]), *row[:-2]) for row in rows]


def record(kind: type[R], values: Sequence[Any]) -> R:
    """Return the row in a row of the table of such rows."""
    return kind._make((*values[1:], *partition_and_offset(values[0])))


message: Final = partial(record, MessageRow)
event: Final = partial(record, EventRow)
unreadable: Final = partial(record, UnreadableRow)


def session_values(rows: Iterable[SessionRow]) -> list[Values]:
    """Return rows of `sessions`."""
    return [_session_values(row) for row in rows]


def _session_values(row: SessionRow) -> Values:
    values: list[Any] = list(row)
    values[_SUMMARY_AT] = msgspec.json.encode(row.summary).decode()
    values[_TAGS_AT] = tags_text(row.tags)
    return (*values, row.owner, row.status.value, row.duration_ms, row.changes)


def session(values: Sequence[Any]) -> SessionRow:
    """Return the session in a row of `sessions`."""
    held = list(values[: len(SessionRow._fields)])
    held[_SUMMARY_AT] = _SUMMARY.decode(held[_SUMMARY_AT])
    held[_TAGS_AT] = tuple(held[_TAGS_AT].split("\n")[1:-1])
    if held[_TRAINING_AT] is not None:
        held[_TRAINING_AT] = bool(held[_TRAINING_AT])  # SQLite has 0 and 1.
    return SessionRow._make(held)


def tags_text(tags: Iterable[str]) -> str:
    """Return tags as one text, in which each has a line of its own between two line feeds; "" for none."""
    return "".join(f"{tag}\n" for tag in ("", *tags)) if tags else ""
