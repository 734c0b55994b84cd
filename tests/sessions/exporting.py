"""An exporter over topics in memory, as tests run it, and what it says."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from processor.errors import A3CPError
from processor.processes.exporter.exporter import Exporter
from processor.sessions.ports import SessionFilter, Source
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Decode, Materializer
from processor.sessions.projection.progress import ExportProgress
from processor.store.sql import SqlStore
from tests.sessions.outputs import DECODE, MemoryFeed


def everything(records: Iterable[OutputRecord]) -> dict[Source, tuple[int | None, int]]:
    """Return how `records` move a store that has nothing yet."""
    return {(record.topic, record.partition): (None, record.offset + 1) for record in records}


def applied(store: SqlStore, records: Sequence[OutputRecord]) -> SqlStore:
    """Return the store, which has had nothing, with `records` in it."""
    Materializer(store.writer, DECODE).apply(records, everything(records))
    return store


class Seen:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.progress: list[ExportProgress] = []
        self.troubles: list[A3CPError] = []

    def followed(self, progress: ExportProgress) -> None:
        self.progress.append(progress)

    def not_followed(self, error: A3CPError) -> None:
        self.troubles.append(error)


class Stops(threading.Event):
    """Is set when `stopped` says so, and waits for nobody."""

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self._stopped = stopped

    def is_set(self) -> bool:
        return self._stopped()

    def wait(self, timeout: float | None = None) -> bool:
        return self._stopped()


class Hasty:
    """Jumps so far, each time it is asked, that everything is due again."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        self.now_s += 60.0
        return self.now_s


def exporting(
    store: Any,
    records: list[OutputRecord],
    *,
    chunk: int = 7,
    decode: Decode = DECODE,
    join: Callable[[], MemoryFeed] | None = None,
    report: Seen | None = None,
    stopped: Callable[[], bool] = lambda: False,
    start: Callable[[Callable[[], None]], object] = lambda work: work(),
    **options: Any,
) -> Exporter:
    """Return an exporter of `records` into `store`."""

    def feed() -> MemoryFeed:
        return MemoryFeed(records, chunk=chunk)

    return Exporter(join or feed, store, decode, report or Seen(), Stops(stopped), start=start, **options)


def export(store: Any, records: list[OutputRecord], **options: Any) -> ExportProgress:
    """Export `records` into `store`, up to their end."""
    return exporting(store, records, **options).run(to_end=True)


def held_by(store: SqlStore) -> Any:
    """Return all sessions of `store`, with what they hold."""
    reader = store.reader
    sessions = sorted(reader.sessions(SessionFilter(), limit=100))
    return [(s, list(reader.messages(s.session_id)), list(reader.events(s.session_id))) for s in sessions]
