"""Writes what a store hands on: a bundle for each session, and the training data of the dates that changed."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from processor.codec import Codec
from processor.core.model import DAY_MS
from processor.exporter.bundle import ALL_FORMATS, Format, Outcome, Target, Written, write_bundle
from processor.exporter.dataset import WrittenDate, write_date
from processor.exporter.due import view_of
from processor.exporter.errors import TargetUnavailable
from processor.exporter.model import SessionRow, SessionView, Status
from processor.exporter.paths import date_part
from processor.exporter.ports import SessionFilter, Store

_PAGE_SESSIONS = 1_000


class BundleWriter:
    """Takes sessions, one bundle each, and counts what became of them; `take` is for `one_by_one`."""

    def __init__(
        self,
        target: Target,
        codec: Codec,
        *,
        now_ms: Callable[[], int],
        formats: frozenset[Format] = ALL_FORMATS,
    ) -> None:
        self._target = target
        self._codec = codec
        self._now_ms = now_ms
        self.formats = formats
        self.outcomes: Counter[Outcome] = Counter()
        self.statuses: Counter[Status] = Counter()
        self.messages = 0
        self.size_bytes = 0

    def take(self, view: SessionView) -> Written:
        """Write the session's bundle.

        Raises:
            TargetUnavailable: it cannot be written there.
            DecodeError, RegistryUnavailable, StoreUnavailable: its messages cannot be read.
        """
        with _told(self._target):
            written = write_bundle(self._target, view, self._codec, now_ms=self._now_ms(), formats=self.formats)
        self.count(view.session, written)
        return written

    def count(self, session: SessionRow, written: Written) -> None:
        """Count what became of `session`, whoever wrote it."""
        self.outcomes[written.outcome] += 1
        self.statuses[session.status] += 1
        self.messages += written.messages
        self.size_bytes += written.size_bytes


class TrainingWriter:
    """Takes sessions and writes the training data of their dates, each date with all its sessions at once."""

    def __init__(self, store: Store, target: Target, codec: Codec) -> None:
        self._store = store
        self._target = target
        self._codec = codec
        self._changes: Mapping[str, int] = {}  # of the sessions in the date that was written last
        self.dates: dict[str, WrittenDate] = {}

    def take(self, view: SessionView) -> None:
        """Write the date on which the session started, unless it was just written with the session as it is.

        Raises as `BundleWriter.take` does.
        """
        session = view.session
        if self._changes.get(session.session_id) == session.changes:
            return
        written, self._changes = _write_date(self._store, self._target, self._codec, session.start_ms // DAY_MS)
        self.dates[written.date] = written


def write_dates(store: Store, target: Target, codec: Codec, dates: set[int]) -> Iterator[WrittenDate]:
    """Write the training data of `dates`, days since the epoch, each with all its sessions; yield what was written.

    Raises as `BundleWriter.take` does.
    """
    for date in sorted(dates):
        yield _write_date(store, target, codec, date)[0]


def _write_date(store: Store, target: Target, codec: Codec, date: int) -> tuple[WrittenDate, Mapping[str, int]]:
    """Write one date; return what was written, and the sessions in it with their `SessionRow.changes`."""
    # By id: a session that another exporter adds meanwhile moves those behind it to the next page.
    sessions = {row.session_id: row for row in _sessions_of(store, date)}.values()
    in_order = sorted(sessions, key=lambda row: (row.start_ms, row.session_id))
    with _told(target):
        written = write_date(target, date_part(date * DAY_MS), (view_of(store, row) for row in in_order), codec)
    return written, {row.session_id: row.changes for row in in_order}


def _sessions_of(store: Store, date: int) -> Iterator[SessionRow]:
    wanted = SessionFilter(since_ms=date * DAY_MS, until_ms=(date + 1) * DAY_MS)
    skip = 0
    while page := store.sessions(wanted, limit=_PAGE_SESSIONS, skip=skip):
        yield from page
        skip += len(page)


@contextmanager
def _told(target: Target) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise TargetUnavailable(
            f"{target.root} cannot be written ({why})", remedy="make room or give the right to, then export again"
        ) from error
