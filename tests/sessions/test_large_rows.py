"""Few rows that are large: how much is in memory at a time is limited by bytes, whatever the number of rows."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from processor.removal.clearing import clear
from processor.sessions.model import EventRow, MessageRow
from processor.sessions.ports import SESSIONS, TAGGED, Rows
from processor.store.reader import PAGE_BYTES
from processor.store.sql import SqlStore
from processor.targets.target import Target
from processor.training.dataset import write_date
from tests.sessions.outputs import CODEC, message, processed
from tests.sessions.views import made_view, message_row

ROW_BYTES = 2 << 20
COUNT = 40
PEAK_BYTES = 3 * PAGE_BYTES  # a page, with what makes it; all of the rows are more


def peak_bytes(act: Callable[[], object]) -> int:
    tracemalloc.start()
    act()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def rows(session_id: str | None) -> list[MessageRow]:
    """Return large messages of one user."""
    value = next(one.value for one in processed([message("anna", 0)]) if one.topic == TAGGED)
    assert value is not None
    row = message_row(value, 0)._replace(value=b"x" * ROW_BYTES, session_id=session_id)
    return [row._replace(offset=number, seq=number + 1) for number in range(COUNT)]


def fill(store: SqlStore, made: list[MessageRow]) -> None:
    for start in range(0, COUNT, 10):
        before = start or None
        with store.writer.transaction({(TAGGED, 0): (before, start + 10)}) as transaction:
            transaction.add(Rows(made[start : start + 10], [], [], []))


@pytest.mark.parametrize("count_max", [None, COUNT, COUNT - 7])
def test_messages_of_a_session(store: SqlStore, count_max: int | None) -> None:
    """They come a few at a time, in order, all that were asked for."""
    fill(store, rows("sess_1"))
    read: list[int] = []
    peak = peak_bytes(lambda: read.extend(one.offset for one in store.reader.messages("sess_1", count_max=count_max)))
    assert read == list(range(count_max or COUNT))
    assert peak < PEAK_BYTES < COUNT * ROW_BYTES


def test_messages_in_no_session(store: SqlStore) -> None:
    """Likewise."""
    fill(store, rows(None))
    read: list[int] = []
    peak = peak_bytes(lambda: read.extend(one.offset for one in store.reader.without_session("anna")))
    assert read == list(range(COUNT))
    assert peak < PEAK_BYTES


def test_events_of_a_session(store: SqlStore) -> None:
    """Likewise."""
    made = [EventRow("sess_1", "anna", "note", 0, 0, b"x" * ROW_BYTES, None, 0, number) for number in range(COUNT)]
    for start in range(0, COUNT, 10):
        with store.writer.transaction({(SESSIONS, 0): (start or None, start + 10)}) as transaction:
            transaction.add(Rows([], made[start : start + 10], [], []))
    read: list[int] = []
    peak = peak_bytes(lambda: read.extend(one.offset for one in store.reader.events("sess_1")))
    assert read == list(range(COUNT))
    assert peak < PEAK_BYTES


@pytest.mark.long
def test_erasing_from_the_data_set(tmp_path: Path) -> None:
    """Rows of others are written again a row group at a time."""
    target = Target(str(tmp_path))
    views = [
        made_view(
            ({"source": "ui", "transcript": chr(97 + number % 26) * ROW_BYTES} for number in range(count)),
            session_id=f"sess_{name}",
            user_id=name,
        )
        for name, count in (("anna", 1), ("emil", COUNT))
    ]
    date = write_date(target, "2025-11-21", views, CODEC)
    assert date.messages == COUNT + 1
    del views
    peak = peak_bytes(lambda: clear(target, lambda user_id, _: user_id == "anna"))
    assert clear(target, lambda user_id, _: user_id == "emil", dry_run=True).rows == COUNT
    assert peak < PEAK_BYTES
