"""A session's folder before its bundle: session_metadata.json alone, so that an open session can be found and read.

It is written again when an event tells of the session, not with every message. The bundle takes its place once the
session has ended and all of it is held.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from processor.bundles import manifest as manifests
from processor.bundles.check import name_of
from processor.bundles.contents import metadata_text
from processor.bundles.placing import folder_to_write
from processor.bundles.reading import METADATA_BYTES_MAX
from processor.sessions.due import view_of
from processor.sessions.filtering import passes
from processor.sessions.forms.metadata import metadata_of
from processor.sessions.model import SessionRow, SessionView, Status
from processor.sessions.ports import BEGUN, Cursor, ExportLedger, SessionFilter, SessionReader
from processor.targets.paths import METADATA, bundle_path
from processor.targets.target import MAKE_ROOM, NotAFile, Target

AT_ONCE: Final = 100  # sessions that are looked at in one turn
WAITING_MAX: Final = 100_000  # ids that wait for their turn; with more, all open sessions are looked at again


class BegunWriter:
    """Writes the metadata of sessions that have no bundle yet, some in each turn; used by one thread.

    The root must be on a file system: elsewhere nothing holds off another exporter, which may be writing the bundle.
    """

    def __init__(
        self,
        reader: SessionReader,
        ledger: ExportLedger,
        target: Target,
        wanted: SessionFilter,
        *,
        at_once: int = AT_ONCE,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """Write the `wanted` sessions of `reader` below `target`. At first all open sessions are looked at.

        `ledger`: remembers whose metadata are there, so that an erasure does not forget the root.
        """
        assert target.is_local
        self._reader = reader
        self._ledger = ledger
        self._target = target
        self._wanted = wanted
        self._at_once = at_once
        self._waiting_max = waiting_max
        self._told: dict[str, None] = {}  # sessions that events have told of, oldest first
        self._looks_through = True
        self._after: Cursor | None = None  # how far that is

    def note(self, session_ids: Sequence[str]) -> None:
        """Take note that events tell of these sessions."""
        self._told.update(dict.fromkeys(session_ids))
        if len(self._told) > self._waiting_max:
            self._told.clear()
            self._looks_through, self._after = True, None

    def write_some(self) -> None:
        """Write those whose turn it is.

        Raises:
            TargetUnavailable: it cannot be written there; they have their turn again.
            StoreUnavailable: they cannot be read; they have their turn again.
        """
        told = list(islice(self._told, self._at_once))
        with self._target.told("written", MAKE_ROOM):
            if told:
                self._write(self._reader.held(told).rows)
            for session_id in told:
                del self._told[session_id]
            if self._looks_through and not told:
                self._look_through()

    def _look_through(self) -> None:
        wanted = self._wanted._replace(status=Status.OPEN.value)
        page = self._reader.sessions(wanted, limit=self._at_once, after=self._after)
        self._write(page)
        self._looks_through = len(page) == self._at_once
        self._after = (page[-1].start_ms, page[-1].session_id) if self._looks_through else None

    def _write(self, rows: Sequence[SessionRow]) -> None:
        """Write the metadata of sessions that have no bundle; of one that is complete, the bundle comes anyway."""
        wanted = [row for row in rows if row.status is not Status.COMPLETE and passes(row, self._wanted)]
        self._ledger.note_exported(f"{self._target.name} {BEGUN}", {row.session_id: row.changes for row in wanted})
        for row in wanted:
            write_begun(self._target, view_of(self._reader, row))


def write_begun(target: Target, view: SessionView) -> None:
    """Write the metadata of the session in `view`, unless they or a bundle are there.

    Raises:
        OSError: the target cannot be written.
    """
    session = view.session
    final = target.path(bundle_path(session.session_id, session.start_ms))
    place = Path(final)
    with folder_to_write(target, final) as folder:
        there = _begun(target, final)
        if (there is not None and there.event_count >= session.event_count) or (place / manifests.NAME).exists():
            return
        made = folder / METADATA
        made.write_bytes(metadata_text(metadata_of(view)))
        place.mkdir(parents=True, exist_ok=True)
        made.replace(place / METADATA)


def is_begun(target: Target, path: str) -> bool:
    """Return whether the folder `path` has the metadata of a session that has no bundle yet, and nothing else."""
    try:
        names = [name_of(str(each)) for each in target.files.ls(path, detail=False)]
    except OSError:
        return False
    begun = _begun(target, path) if names == [METADATA] else None
    return begun is not None and begun.completeness != Status.COMPLETE.value


class _Begun(msgspec.Struct):
    """What tells whether the metadata are those of a session without a bundle, and how old they are."""

    completeness: str
    event_count: int


def _begun(target: Target, path: str) -> _Begun | None:
    try:
        return msgspec.json.decode(target.read(f"{path}/{METADATA}", METADATA_BYTES_MAX), type=_Begun)
    except (FileNotFoundError, NotAFile, msgspec.DecodeError, RecursionError):
        return None
