"""Writes a bundle for each session that a store hands on."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from processor.bundles import index
from processor.bundles.bundle import BundleOutcome, Written, write_bundle
from processor.bundles.contents import ALL_FORMATS, Format
from processor.bundles.signatures import Signer
from processor.codec import Codec
from processor.errors import RecordError
from processor.sessions.aside import SetAside
from processor.sessions.due import view_of
from processor.sessions.model import SessionRow, Status
from processor.sessions.ports import SessionReader, Store
from processor.targets.paths import date_part
from processor.targets.target import MAKE_ROOM, Target


class BundleWriter:
    """Writes sessions, one bundle each, and counts what became of them; see `Taker`."""

    def __init__(
        self,
        reader: SessionReader,
        target: Target,
        codec: Codec,
        *,
        now_ms: Callable[[], int],
        formats: frozenset[Format] = ALL_FORMATS,
        is_pure: bool = True,
        signer: Signer | None = None,
        writing: Callable[[SessionRow], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        """Read sessions from `reader`, and write each inside of `writing`; the rest is as of `write_bundle`."""
        self._reader = reader
        self.target = target
        self.is_pure = is_pure
        self._codec = codec
        self._now_ms = now_ms
        self.formats = formats
        self._signer = signer
        self._writing = writing
        self.outcomes: Counter[BundleOutcome] = Counter()
        self.statuses: Counter[Status] = Counter()
        self.aside = SetAside()
        self.dates: set[str] = set()  # of sessions whose bundles were written since the index was
        self.messages = 0
        self.size_bytes = 0

    @property
    def name(self) -> str:
        """The name of its target in the store: the same place with other formats is another target."""
        return f"{self.target.name} {','.join(sorted(one.value for one in self.formats))}"

    def counts(self) -> dict[str, int]:
        """Return how often each outcome occurred, by its word."""
        return {outcome.value: count for outcome, count in self.outcomes.items()}

    def take(self, page: Sequence[SessionRow]) -> Iterator[SessionRow]:
        """See `Taker.take`. Sessions that are set aside are left out until they are due. Raises as `write` does."""
        for session in page:
            if not self.aside.waits(session.session_id, session) and self.count(session, self.write(session)):
                yield session

    def write(self, session: SessionRow) -> Written | RecordError:
        """Write the session's bundle. Return its outcome, or why a message cannot be read.

        Raises:
            TargetUnavailable: it cannot be written there.
            RegistryUnavailable, StoreUnavailable: its messages cannot be read at the moment.
        """
        view = view_of(self._reader, session)
        try:
            with self._writing(session), self.target.told("written", MAKE_ROOM):
                return write_bundle(
                    self.target,
                    view,
                    self._codec,
                    now_ms=self._now_ms(),
                    formats=self.formats,
                    is_pure=self.is_pure,
                    signer=self._signer,
                )
        except RecordError as error:
            return error

    def count(self, session: SessionRow, result: Written | RecordError) -> bool:
        """Count the outcome of `session`, whoever wrote it. Return whether it is written."""
        if isinstance(result, RecordError):
            is_new = self.aside.add(session.session_id, {session.session_id: session.changes}, result)
            self.outcomes[BundleOutcome.SET_ASIDE] += is_new
            return False
        self.aside.wrote(session.session_id)
        self.dates.add(date_part(session.start_ms))
        self.outcomes[result.outcome] += 1
        self.statuses[session.status] += 1
        self.messages += result.messages
        self.size_bytes += result.size_bytes
        return True


def _listed(store: Store, target: Target, date: str) -> list[str]:
    return [session_id for session_id, _ in store.ledger.exported(target.name, date)]


def write_index(store: Store, writer: BundleWriter, *, all_dates: bool = False) -> None:
    """Write the index for the dates that `writer` has written to; with `all_dates`, for all that the store knows.

    Raises:
        TargetUnavailable: it cannot be written there.
    """
    target = writer.target
    dates = set(writer.dates)
    if all_dates:
        dates |= {date_part(start_ms) for _, start_ms in store.ledger.exported(target.name)}
    with target.told("written", MAKE_ROOM):
        for date in sorted(dates):
            index.note(target, store.identity, date, partial(_listed, store, target, date))
    writer.dates -= dates
