"""The files of an exporter: bundles and training data of the sessions in the store that are due."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from processor.bundles.begun import BegunWriter
from processor.bundles.contents import ALL_FORMATS, Format
from processor.bundles.renderer import renderer
from processor.bundles.sealing import DailySealer
from processor.bundles.writing import BundleWriter, write_index
from processor.codec import Codec
from processor.codec.isotime import wall_ms
from processor.errors import A3CPError, RecordError, TargetUnavailable
from processor.processes.exporter.writers import SESSIONS_MIN, Writers, processes
from processor.sessions.aside import SetAside
from processor.sessions.due import Taker, hand_on
from processor.sessions.forms.shapes import Seal
from processor.sessions.model import SessionRow
from processor.sessions.ports import SessionFilter, SessionReader, Store
from processor.settings.model import Settings
from processor.targets.target import Target
from processor.wiring import schemas, sealer_of, signer_of

if TYPE_CHECKING:
    from processor.training.writer import TrainingWriter

TURN_S: Final = 20.0  # that writing takes at a time while following: the consumer group wants to hear of us
TRAINING_PAUSE: Final = 10  # times as long as writing training data took, while following: a date is written as a whole
INDEX_S: Final = 10.0  # between two times that a root's index is written, while following
RETRY_S: Final = 10.0  # before a target that could not be written is tried again


class Wanted(NamedTuple):
    """Which files are wanted."""

    bundles: Target | None = None
    training: Target | None = None
    formats: frozenset[Format] = ALL_FORMATS
    sessions: SessionFilter = SessionFilter()  # of which there are to be bundles
    seal: bool = False  # whether bundles are sealed, each day


class FilesReport(Protocol):
    """Is told what becomes of files."""

    def writing(self, session: SessionRow) -> AbstractContextManager[None]:
        """The bundle of `session` is written inside of this."""

    def wrote(self, outcomes: Mapping[str, int]) -> None:
        """What was due is written; `outcomes` counts all bundles so far."""

    def not_wrote(self, error: A3CPError) -> None:
        """A target cannot be written; it is tried again."""

    def sealed(self, seal: Seal) -> None:
        """A day's bundles are sealed."""

    def sealed_until(self, day: str) -> None:
        """`day` is the latest that is sealed; "": none is, as far as is known."""

    def not_sealed(self, error: A3CPError) -> None:
        """They cannot be; it is tried again."""

    def set_aside(self, name: str, why: A3CPError) -> None:
        """Something cannot be written, since a record of it cannot be read; it is tried again later."""

    def is_well(self, name: str) -> None:
        """What was set aside is written."""


class Files:
    """Writes the files that are due, and counts them."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        wanted: Wanted,
        report: FilesReport,
        stopped: Callable[[], bool],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to write what is `wanted` until `stopped`, and to tell `report` while following.

        Raises:
            UsageError: the key that signs bundles cannot be read.
        """
        codec = Codec(schemas(settings))
        self._store = store
        self._settings = settings
        self._wanted = wanted
        self._report = report
        self._stopped = stopped
        self._monotonic_s = monotonic_s
        self.begun: BegunWriter | None = None
        self.bundles: BundleWriter | None = None
        self.training: TrainingWriter | None = None
        if wanted.bundles is not None:
            self.bundles = BundleWriter(
                store.reader,
                wanted.bundles,
                codec,
                now_ms=wall_ms,
                formats=wanted.formats,
                is_pure=store.writer.note_reader(renderer()),
                signer=signer_of(settings),
                writing=report.writing,
            )
            if wanted.bundles.is_local:
                self.begun = BegunWriter(store.reader, store.ledger, wanted.bundles, wanted.sessions)
        if wanted.training is not None:
            self.training = _training_writer(store.reader, wanted.training, codec)
        self._sealer: DailySealer | None = None
        if wanted.bundles is not None and wanted.seal:
            self._sealer = DailySealer(
                sealer_of(settings, store, wanted.bundles, wanted.sessions),
                now_ms=wall_ms,
                wait_ms=settings.gap_ms + settings.quiet_ms,
            )
            report.sealed_until("")
        self.seal: Seal | None = None  # the latest that was made
        self._next_s = self._training_next_s = self._index_next_s = self._seal_next_s = 0.0
        self._index_is_whole = False  # since this exporter began

    def note(self, session_ids: Sequence[str]) -> None:
        """Take note that events tell of these sessions."""
        if self.begun is not None:
            self.begun.note(session_ids)

    def write_some(self, *, caught_up: bool) -> None:
        """Write ended sessions that are due, for TURN_S, and before them metadata of some that are not.

        A target that cannot be written is tried again later. `caught_up`: whether the store has what the topics had
        some seconds ago. Then the day that has ended is sealed.
        """
        if self._monotonic_s() < self._next_s:
            return
        try:
            if self.begun is not None:
                self.begun.write_some()
            is_all = self._write_ended()
        except TargetUnavailable as error:
            self._report.not_wrote(error)
            self._next_s = self._monotonic_s() + RETRY_S
        else:
            self._report.wrote({} if self.bundles is None else self.bundles.counts())
            if caught_up and is_all:
                self._seal_some()
        for name, why in self.news():
            if why is None:
                self._report.is_well(name)
            else:
                self._report.set_aside(name, why)

    def finish(self) -> None:
        """Write all that is due. If stopped, write only the index; if that fails, the next export does it.

        Raises:
            TargetUnavailable: it cannot be written there.
        """
        if not self._stopped():
            self.write_all()
        elif self.bundles is not None:
            with suppress(TargetUnavailable):
                self._write_index(self.bundles)

    def write_all(self) -> None:
        """Write all that is due, and the training data of the dates that changed. Raises as `finish`."""
        if self.bundles is not None:
            if processes() > 1 and self._are_many_due(self.bundles):
                with Writers(self.bundles, self._settings) as writers:
                    self._hand_to(writers, self._wanted.sessions, self._stopped)
            else:
                self._hand_to(self.bundles, self._wanted.sessions, self._stopped)
            self._write_index(self.bundles)
        if self.training is not None:
            self._hand_to(self.training, SessionFilter(), self._stopped)
        if self._sealer is not None and not self._stopped():
            self._seal(self._sealer)

    @property
    def has_set_aside(self) -> bool:
        """Whether something is not written, since it cannot be read."""
        return any(len(aside) > 0 for _, aside in self.asides())

    def news(self) -> Iterator[tuple[str, RecordError | None]]:
        """Yield the news since the last call: what is set aside and why, the first few, and what is well (None)."""
        for kind, aside in self.asides():
            for name, why in aside.news():
                yield f"{kind} {name}", why

    def asides(self) -> Iterator[tuple[str, SetAside]]:
        """Yield what is set aside, with the word for one of its kind."""
        if self.bundles is not None:
            yield "bundle", self.bundles.aside
        if self.training is not None:
            yield "date of training data", self.training.aside

    def _seal_some(self) -> None:
        """Seal the day that has ended, if it is time. What keeps it from that is told, and it is tried again later."""
        if self._sealer is None or self._monotonic_s() < self._seal_next_s:
            return
        try:
            self._seal(self._sealer)
        except A3CPError as error:
            self._report.not_sealed(error)
            self._seal_next_s = self._monotonic_s() + RETRY_S

    def _seal(self, sealer: DailySealer) -> None:
        self._report.sealed_until(sealer.sealed())
        if (file := sealer.seal()) is not None:
            self.seal = file.seal
            self._report.sealed(file.seal)

    def _write_ended(self) -> bool:
        """Write what is due, for a turn. Return whether that was enough for all bundles."""
        is_over, is_all = self._turn(), True
        if self.bundles is not None:
            wanted = self._wanted.sessions
            self._hand_to(self.bundles, wanted._replace(status=wanted.status or "complete"), is_over)
            is_all = not is_over()
            if self._monotonic_s() >= self._index_next_s:
                self._write_index(self.bundles)
                self._index_next_s = self._monotonic_s() + INDEX_S
        if self.training is not None and (began_s := self._monotonic_s()) >= self._training_next_s:
            self._hand_to(self.training, SessionFilter(status="complete"), self._turn())
            now_s = self._monotonic_s()
            self._training_next_s = now_s + TRAINING_PAUSE * (now_s - began_s)
        return is_all

    def _turn(self) -> Callable[[], bool]:
        """Return what says whether a turn that begins now is over."""
        end_s = self._monotonic_s() + TURN_S
        return lambda: self._stopped() or self._monotonic_s() > end_s

    def _hand_to(self, taker: Taker, wanted: SessionFilter, stopped: Callable[[], bool]) -> None:
        hand_on(self._store.ledger, taker, wanted, stopped=stopped)

    def _write_index(self, writer: BundleWriter) -> None:
        """Write the index. The first time write all dates: a killed exporter may have left some out."""
        write_index(self._store, writer, all_dates=not self._index_is_whole)
        self._index_is_whole = True

    def _are_many_due(self, writer: BundleWriter) -> bool:
        due = self._store.ledger.unexported(writer.name, self._wanted.sessions, limit=SESSIONS_MIN)
        return len(due) == SESSIONS_MIN


def _training_writer(reader: SessionReader, target: Target, codec: Codec) -> "TrainingWriter":
    from processor.training.writer import TrainingWriter  # With Arrow, 70 MB that few want.

    return TrainingWriter(reader, target, codec)
