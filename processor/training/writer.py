"""Writes the training data of the dates that changed, from what a store hands on."""

from collections.abc import Mapping

from processor.codec import Codec
from processor.core.model import DAY_MS
from processor.errors import RecordError
from processor.sessions.aside import SetAside
from processor.sessions.due import view_of
from processor.sessions.model import SessionRow, SessionView
from processor.sessions.ports import SessionFilter, Store
from processor.targets.locks import alone_at
from processor.targets.paths import date_part
from processor.targets.target import MAKE_ROOM, Target
from processor.training.dataset import WrittenDate, write_date

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

    @property
    def name(self) -> str:
        """What a store remembers its target by."""
        return f"{self._target.name} parquet"

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
        if self.aside.waits(date, session):
            return False
        # Nobody else writes it from the first session read until it is in its place: what they stored would be gone.
        with self._target.told("written", MAKE_ROOM), alone_at(self._target, f"date={date}"):
            sessions = _sessions_of(self._store, session.start_ms // DAY_MS)
            changes = {row.session_id: row.changes for row in sessions}
            try:
                views = (view_of(self._store, row) for row in sessions)
                self.dates[date] = write_date(self._target, date, views, self._codec)
            except RecordError as error:
                self.aside.add(date, changes, error)
                return False
        self._changes = changes
        self.aside.wrote(date)
        return True


def _sessions_of(store: Store, day: int) -> list[SessionRow]:
    """Return all sessions that started on `day`, days since the epoch, oldest start first."""
    wanted = SessionFilter(since_ms=day * DAY_MS, until_ms=(day + 1) * DAY_MS)
    # By id: a session that another exporter adds meanwhile moves those behind it to the next page.
    sessions: dict[str, SessionRow] = {}
    read = 0
    while page := store.sessions(wanted, limit=_PAGE_SESSIONS, skip=read):
        sessions.update((row.session_id, row) for row in page)
        read += len(page)
    return sorted(sessions.values(), key=lambda row: (row.start_ms, row.session_id))
