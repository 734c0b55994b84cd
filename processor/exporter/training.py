"""Writes the training data of the dates that changed, from what a store hands on."""

from collections.abc import Iterator, Mapping

from processor.codec import Codec
from processor.core.errors import RecordError
from processor.core.model import DAY_MS
from processor.exporter.aside import SetAside
from processor.exporter.dataset import WrittenDate, write_date
from processor.exporter.due import view_of
from processor.exporter.model import SessionRow, SessionView
from processor.exporter.paths import date_part
from processor.exporter.placing import alone_at
from processor.exporter.ports import SessionFilter, Store
from processor.exporter.target import Target
from processor.exporter.writing import REMEDY

_PAGE_SESSIONS = 1_000


class TrainingWriter:
    """Takes sessions and writes the training data of their dates, each date with all its sessions at once."""

    def __init__(self, store: Store, target: Target, codec: Codec) -> None:
        self._store = store
        self._target = target
        self._codec = codec
        self._changes: Mapping[str, int] = {}  # of the sessions in the date that was written last
        self.dates: dict[str, WrittenDate] = {}
        self.aside = SetAside()

    def take(self, view: SessionView) -> bool:
        """Write the date on which the session started, unless it was just written with the session as it is.

        Returns:
            whether the session is in it; of a date with a message that cannot be read, what was there stays.

        Raises as `BundleWriter.take` does.
        """
        session = view.session
        if self._changes.get(session.session_id) == session.changes:
            return True
        date = date_part(session.start_ms)
        if date in self.aside:
            return False
        try:
            written, self._changes = _write_date(self._store, self._target, self._codec, session.start_ms // DAY_MS)
        except RecordError as error:
            self.aside.add(date, error)
            return False
        self.dates[written.date] = written
        return True


def write_dates(store: Store, target: Target, codec: Codec, dates: set[int]) -> Iterator[WrittenDate]:
    """Write the training data of `dates`, days since the epoch, each with all its sessions; yield what was written.

    Raises as `BundleWriter.take` does, and DecodeError: a message cannot be read.
    """
    for date in sorted(dates):
        yield _write_date(store, target, codec, date)[0]


def _write_date(store: Store, target: Target, codec: Codec, date: int) -> tuple[WrittenDate, Mapping[str, int]]:
    """Write one date; return what was written, and the sessions in it with their `SessionRow.changes`.

    Nobody else writes it from the first session read until it is in its place: what they stored since would be gone.
    """
    name = date_part(date * DAY_MS)
    with target.told("written", REMEDY), alone_at(target, f"date={name}"):
        # By id: a session that another exporter adds meanwhile moves those behind it to the next page.
        sessions = {row.session_id: row for row in _sessions_of(store, date)}.values()
        in_order = sorted(sessions, key=lambda row: (row.start_ms, row.session_id))
        written = write_date(target, name, (view_of(store, row) for row in in_order), codec)
    return written, {row.session_id: row.changes for row in in_order}


def _sessions_of(store: Store, date: int) -> Iterator[SessionRow]:
    wanted = SessionFilter(since_ms=date * DAY_MS, until_ms=(date + 1) * DAY_MS)
    skip = 0
    while page := store.sessions(wanted, limit=_PAGE_SESSIONS, skip=skip):
        yield from page
        skip += len(page)
