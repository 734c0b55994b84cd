"""Writes bundles in several processes at once: for an export with many sessions due."""

from collections.abc import Iterator, Sequence
from typing import Final, Self

from processor.bundles.bundle import Written
from processor.bundles.contents import Format
from processor.bundles.writing import BundleWriter
from processor.codec import Codec
from processor.codec.isotime import wall_ms
from processor.errors import RecordError
from processor.processes.pool import cores, pool_of, spread
from processor.sessions.model import SessionRow
from processor.settings.model import Settings
from processor.targets.target import Target
from processor.wiring import schemas, signer_of, store_of

SESSIONS_MIN: Final = 1_000  # due; fewer are written sooner by one than several processes start
PROCESSES_MAX: Final = 8
_CHUNK_SESSIONS: Final = 10  # handed over at a time

_here: list[BundleWriter] = []  # in a process of the pool: how it writes


def processes() -> int:
    """Return how many processes write at once on this machine."""
    return min(PROCESSES_MAX, cores())


class Writers:
    """A pool of processes that write bundles, see `Taker`; `with` lets go of them."""

    def __init__(self, writer: BundleWriter, settings: Settings) -> None:
        """Start them, to write where `writer` would, which counts; `settings` name the store and the schemas."""
        self.name = writer.name
        self._writer = writer
        self._pool = pool_of(processes(), _begin, settings, writer.target.url, writer.formats, writer.is_pure)

    def take(self, page: Sequence[SessionRow]) -> Iterator[SessionRow]:
        """See `Taker.take`. Raises as `BundleWriter`."""
        done = spread(self._pool, _write, page, chunksize=_CHUNK_SESSIONS)
        for session, result in zip(page, done, strict=True):
            if self._writer.count(session, result):
                yield session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _begin(settings: Settings, to: str, formats: frozenset[Format], is_pure: bool) -> None:
    _here.append(
        BundleWriter(
            store_of(settings, must_exist=True).reader,
            Target(to),
            Codec(schemas(settings)),
            now_ms=wall_ms,
            formats=formats,
            is_pure=is_pure,
            signer=signer_of(settings),
        )
    )


def _write(session: SessionRow) -> Written | RecordError:
    (writer,) = _here
    return writer.write(session)
