"""From rows of the tables to the exporter's values, and back."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Table

from processor.sessions.model import EventRow, MessageRow, SessionRow, Summary, TextRow, UnreadableRow
from processor.store.tables import EVENTS, MESSAGES, SESSIONS, TEXTS, UNREADABLE, partition_and_offset, position_of

Values: TypeAlias = tuple[Any, ...]
"""A row's values in the order of its table's columns."""

_SUMMARY: Final = msgspec.json.Decoder(Summary)
COUNTED: Final = ("held_count", "held_digest", "notices", "summary", "status", "changes")
"""The columns of `sessions` that messages change."""
_SESSION_COLUMNS: Final = len(SessionRow._fields)


def columns(table: Table) -> list[str]:
    """Return the names of the columns that are written, in their order; a number that the database gives is none."""
    return [column.name for column in table.columns if not (table is TEXTS and column.name == "id")]


def message_values(rows: Iterable[MessageRow]) -> list[Values]:
    """Return rows of `messages`."""
    return [(position_of(row[18], row[19]), *row[:18]) for row in rows]


def message(values: Sequence[Any]) -> MessageRow:
    """Return the message in a row of `messages`."""
    position, *rest = values
    return MessageRow._make((*rest, *partition_and_offset(position)))


def event_values(rows: Iterable[EventRow]) -> list[Values]:
    """Return rows of `events`."""
    return [(position_of(row.partition, row.offset), *row[:6]) for row in rows]


def event(values: Sequence[Any]) -> EventRow:
    """Return the event in a row of `events`."""
    position, *rest = values
    return EventRow._make((*rest, *partition_and_offset(position)))


def text_values(rows: Iterable[TextRow]) -> list[Values]:
    """Return rows of `texts`, without their numbers."""
    return [(*row[:6], position_of(row.partition, row.offset)) for row in rows]


def unreadable_values(rows: Iterable[UnreadableRow]) -> list[Values]:
    """Return rows of `unreadable`."""
    return [(row.topic, position_of(row.partition, row.offset), *row[3:]) for row in rows]


def unreadable(values: Sequence[Any]) -> UnreadableRow:
    """Return the record in a row of `unreadable`."""
    topic, position, *rest = values
    return UnreadableRow(topic, *partition_and_offset(position), *rest)


def session_values(rows: Iterable[SessionRow]) -> list[Values]:
    """Return rows of `sessions`."""
    return [(*row[:-1], msgspec.json.encode(row.summary).decode(), row.status.value, row.changes) for row in rows]


def session(values: Sequence[Any]) -> SessionRow:
    """Return the session in a row of `sessions`."""
    *plain, text = values[:_SESSION_COLUMNS]
    row = SessionRow._make((*plain, _SUMMARY.decode(text)))
    known = row.is_training_data
    return row if known is None else row._replace(is_training_data=bool(known))  # SQLite has 0 and 1.


assert columns(MESSAGES) == ["position", *MessageRow._fields[:18]]
assert columns(EVENTS) == ["position", *EventRow._fields[:6]]
assert columns(TEXTS) == [*TextRow._fields[:6], "position"]
assert columns(UNREADABLE) == ["topic", "position", *UnreadableRow._fields[3:]]
assert columns(SESSIONS)[:_SESSION_COLUMNS] == list(SessionRow._fields)
