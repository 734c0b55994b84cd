"""Writes the training data of the dates that changed, from what a store hands on."""

from collections.abc import Iterator, Mapping, Sequence

from processor.codec import Codec
from processor.core.model import DAY_MS
from processor.errors import RecordError
from processor.sessions.aside import SetAside
from processor.sessions.due import view_of
from processor.sessions.model import SessionRow
from processor.sessions.ports import ROWS, SessionFilter, SessionReader
from processor.targets.locks import alone_at
from processor.targets.paths import date_part
from processor.targets.target import MAKE_ROOM, Target
from processor.training.dataset import WrittenDate, write_date

_PAGE_SESSIONS = 1_000


class TrainingWriter:
    """Writes the training data of the dates of sessions, each date with all its sessions at once; see `Taker`."""

    def __init__(self, reader: SessionReader, target: Target, codec: Codec) -> None:
        self._reader = reader
        self._target = target
        self._codec = codec
        self._changes: Mapping[str, int] = {}  # of the sessions in the date that was written last
        self.dates: dict[str, WrittenDate] = {}
        self.aside = SetAside()

    @property
    def name(self) -> str:
        """What a store remembers its target by."""
        return f"{self._target.name} {ROWS}"

    def take(self, page: Sequence[SessionRow]) -> Iterator[SessionRow]:
        """See `Taker.take`. Raises as `BundleWriter.take` does."""
        for session in page:
            if self._is_in_its_date(session):
                yield session

    def _is_in_its_date(self, session: SessionRow) -> bool:
        """Write the date on which `session` started, unless it was just written with the session as it is.

        Returns:
            whether the session is in it; of a date with a message that cannot be read, what was there stays.
        """
        if self._changes.get(session.session_id) == session.changes:
            return True
        date = date_part(session.start_ms)
        if self.aside.waits(date, session):
            return False
        # Nobody else writes it from the first session read until it is in its place: what they stored would be gone.
        with self._target.told("written", MAKE_ROOM), alone_at(self._target, f"date={date}"):
            sessions = _sessions_of(self._reader, session.start_ms // DAY_MS)
            changes = {row.session_id: row.changes for row in sessions}
            try:
                views = (view_of(self._reader, row) for row in sessions)
                self.dates[date] = write_date(self._target, date, views, self._codec)
            except RecordError as error:
                self.aside.add(date, changes, error)
                return False
        self._changes = changes
        self.aside.wrote(date)
        return True


def _sessions_of(reader: SessionReader, day: int) -> list[SessionRow]:
    """Return all sessions that started on `day`, days since the epoch, oldest start first."""
    wanted = SessionFilter(since_ms=day * DAY_MS, until_ms=(day + 1) * DAY_MS)
    # By id: a session that another exporter adds meanwhile moves those behind it to the next page.
    sessions: dict[str, SessionRow] = {}
    read = 0
    while page := reader.sessions(wanted, limit=_PAGE_SESSIONS, skip=read):
        sessions.update((row.session_id, row) for row in page)
        read += len(page)
    return sorted(sessions.values(), key=lambda row: (row.start_ms, row.session_id))
