"""The part of `a3cp export` that writes bundles and training data from the store."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from processor.bundles.bundle import Outcome
from processor.bundles.contents import ALL_FORMATS, Format
from processor.bundles.renderer import renderer
from processor.bundles.writing import BundleWriter, write_index
from processor.codec import Codec
from processor.errors import RecordError, TargetUnavailable, UsageError
from processor.processes.writers import SESSIONS_MIN, Writers, processes
from processor.sessions.aside import NEWS_MAX, SetAside
from processor.sessions.due import hand_on, one_by_one
from processor.sessions.ports import SessionFilter
from processor.targets.target import Target
from processor.wiring import SystemClock, schemas

if TYPE_CHECKING:
    from processor.observe.exporter import ExportObserver
    from processor.sessions.ports import Store
    from processor.settings.model import Settings
    from processor.training.writer import TrainingWriter

TURN_S: Final = 20.0  # that writing takes at a time while following: the consumer group wants to hear of us
TRAINING_PAUSE: Final = 10  # times as long as writing training data took, while following: a date is written as a whole
INDEX_S: Final = 10.0  # between two times that a root's index is written, while following
RETRY_S: Final = 10.0  # before a target that could not be written is tried again


class Bundling:
    """Writes what is due below a root, and says what it was."""

    def __init__(
        self,
        store: "Store",
        settings: "Settings",
        *,
        to: Target | None,
        training: Target | None,
        formats: frozenset[Format],
        wanted: SessionFilter,
        stopped: Callable[[], bool],
    ) -> None:
        codec = Codec(schemas(settings))
        self._store = store
        self._settings = settings
        self._writer = self._training = None
        if to is not None:
            is_pure = store.note_reader(renderer())
            self._writer = BundleWriter(to, codec, now_ms=SystemClock().now_ms, formats=formats, is_pure=is_pure)
        if training is not None:
            self._training = _training_writer(store, training, codec)
        self._wanted = wanted
        self._stopped = stopped
        self._next_s = self._training_next_s = self._index_next_s = 0.0
        self._index_is_whole = False  # since this exporter began

    def write(self) -> None:
        """Write all that is due, and the training data of the dates that changed.

        Raises:
            TargetUnavailable: it cannot be written there.
        """
        writer = self._writer
        if writer is not None and processes() > 1 and self._are_many_due(writer):
            with Writers(writer, self._settings) as writers:
                hand_on(self._store, writer.name, self._wanted, writers.take, stopped=self._stopped)
        else:
            self._hand_to(writer, self._wanted, self._stopped)
        if writer is not None:
            self._write_index(writer)
        self._hand_to(self._training, SessionFilter(), self._stopped)

    def finish(self) -> None:
        """Write all that is due; when stopped, only what the index lacks: where it cannot be, the next export does.

        Raises:
            TargetUnavailable: as `write`.
        """
        if not self._stopped():
            self.write()
        elif self._writer is not None:
            with suppress(TargetUnavailable):
                self._write_index(self._writer)

    def _write_index(self, writer: BundleWriter) -> None:
        """Write the index; the first time of all dates, since one that was killed may have left it behind the store."""
        write_index(self._store, writer, all_dates=not self._index_is_whole)
        self._index_is_whole = True

    def _are_many_due(self, writer: BundleWriter) -> bool:
        return len(self._store.unexported(writer.name, self._wanted, limit=SESSIONS_MIN)) == SESSIONS_MIN

    def write_some(self, observer: "ExportObserver") -> None:
        """Write ended sessions that are due, for a while; a target that cannot be written is tried again later."""
        began_s = time.monotonic()
        if began_s < self._next_s:
            return

        def over() -> bool:
            return self._stopped() or time.monotonic() > began_s + TURN_S

        try:
            self._hand_to(self._writer, self._wanted._replace(status=self._wanted.status or "complete"), over)
            if self._writer is not None and time.monotonic() >= self._index_next_s:
                self._write_index(self._writer)
                self._index_next_s = time.monotonic() + INDEX_S
            if time.monotonic() >= self._training_next_s:
                began_s = time.monotonic()
                self._hand_to(self._training, SessionFilter(status="complete"), over)
                now_s = time.monotonic()
                self._training_next_s = now_s + TRAINING_PAUSE * (now_s - began_s)
        except TargetUnavailable as error:
            observer.not_wrote(error)
            self._next_s = time.monotonic() + RETRY_S
        else:
            observer.wrote({} if self._writer is None else self._writer.counts())
        finally:
            for what, why in self._news():
                if why is None:
                    observer.is_well(what)
                else:
                    observer.set_aside(what, why)

    def _hand_to(
        self, writer: "BundleWriter | TrainingWriter | None", wanted: SessionFilter, stopped: Callable[[], bool]
    ) -> None:
        if writer is not None:
            hand_on(self._store, writer.name, wanted, one_by_one(self._store, writer.take), stopped=stopped)

    @property
    def has_set_aside(self) -> bool:
        """Whether something is not written, since it cannot be read."""
        return any(len(aside) > 0 for _, aside in self._asides())

    def warn(self) -> None:
        """Say on standard error what is not written, and why."""
        for what, why in self._news():
            print(f"set aside: {what}: {why}", file=sys.stderr)
        for kind, aside in self._asides():
            if (hidden := len(aside) - NEWS_MAX) > 0:
                print(f"set aside: {hidden:,} more, each a {kind}", file=sys.stderr)

    def _news(self) -> Iterator[tuple[str, RecordError | None]]:
        for kind, aside in self._asides():
            for name, why in aside.news():
                yield f"{kind} {name}", why

    def _asides(self) -> Iterator[tuple[str, SetAside]]:
        if self._writer is not None:
            yield "bundle", self._writer.aside
        if self._training is not None:
            yield "date of training data", self._training.aside

    def outcome(self) -> dict[str, Any]:
        """Return what was written, for `--json`."""
        told: dict[str, Any] = {}
        if self._writer is not None:
            told["bundles"] = {
                "root": self._writer.target.root,
                **{outcome.value: self._writer.outcomes[outcome] for outcome in Outcome},
                "messages": self._writer.messages,
                "bytes": self._writer.size_bytes,
            }
        if self._training is not None:
            told["training"] = [date._asdict() for date in self._training.dates.values()]
        return told

    def tell(self) -> None:
        """Print what was written."""
        if self._writer is not None:
            counts = ", ".join(
                f"{count:,} {outcome.value.replace('_', ' ')}" for outcome, count in self._writer.outcomes.items()
            )
            size = f"{self._writer.messages:,} messages, {self._writer.size_bytes / 1_000_000:,.1f} MB"
            print(f"bundles in {self._writer.target.root}: {f'{counts} ({size})' if counts else 'nothing new'}")
        if self._training is not None:
            for date in self._training.dates.values():
                print(f"training data of {date.date}: {date.messages:,} messages, {date.captures:,} captures")


def _training_writer(store: "Store", target: Target, codec: Codec) -> "TrainingWriter":
    from processor.training.writer import TrainingWriter  # With Arrow, 70 MB that few want.

    return TrainingWriter(store, target, codec)


def formats_of(words: list[str]) -> frozenset[Format]:
    """Return the formats that are named; all when none is.

    Raises:
        UsageError: there is no such format.
    """
    known = {one.value: one for one in Format}
    if unknown := [word for word in words if word not in known]:
        raise UsageError(f"no format {unknown[0]}", remedy=f"there are {', '.join(known)}")
    return frozenset(known[word] for word in words) or ALL_FORMATS
