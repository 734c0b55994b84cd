"""Seals the bundles of a root, once a day: see processor/bundles/seals.py for what a seal is.

The file is written first, then the record, then the file with the record's position. Whoever is killed in between goes
on there the next time: at worst the log has the same record twice.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from processor.bundles import manifest as manifests
from processor.bundles import seals
from processor.bundles.check import name_of
from processor.bundles.reading import METADATA_BYTES_MAX, NOT_READABLE
from processor.bundles.signatures import Signer
from processor.codec.isotime import format_time
from processor.core.model import DAY_MS
from processor.errors import Fatal, UsageError
from processor.sessions.due import PAGE_SESSIONS
from processor.sessions.forms.shapes import Seal, SealFile, Signature
from processor.sessions.model import SessionRow, Status
from processor.sessions.ports import EVERYTHING, SEALED, SessionFilter, Store
from processor.targets.locks import alone_at
from processor.targets.paths import METADATA, bundle_path, date_part
from processor.targets.target import MAKE_ROOM, NotAFile, Target


class _There(msgspec.Struct):
    """What the metadata of a bundle say that matters here."""

    completeness: str
    message_count: int
    event_count: int


class Sealer:
    """Seals what one store has written below one root."""

    def __init__(
        self,
        store: Store,
        target: Target,
        log: seals.SealLog,
        *,
        now_ms: Callable[[], int],
        wanted: SessionFilter = EVERYTHING,
        signer: Signer | None = None,
    ) -> None:
        """Prepare; nothing is read yet. `wanted`: the sessions that have bundles there."""
        self._store = store
        self._target = target
        self._log = log
        self._now_ms = now_ms
        self._wanted = wanted
        self._signer = signer
        self._name: Final = f"{target.name} {SEALED}"

    def seal(self, day: str) -> SealFile:
        """Seal what no seal holds yet, as that of `day`; a day that is sealed keeps its seal. Return the seal.

        Raises:
            UsageError: the day has not ended, or a later one is sealed already.
            TargetUnavailable: the root cannot be read or written.
            A3CPError: the log does not take the record. Then the next call sends it.
        """
        if day >= date_part(self._now_ms()):
            raise UsageError(f"{day} has not ended", remedy="seal it tomorrow; times are UTC")
        with self._target.told("written", MAKE_ROOM), alone_at(self._target, seals.FOLDER):
            last = self._last()
            if last is not None and last.seal.day > day:
                raise UsageError(f"{last.seal.day} is sealed already", remedy=f"seal a later day than {last.seal.day}")
            file = last if last is not None and last.seal.day == day else self._new(day, last)
            if file.position is None:
                file.position = self._log.append(file.seal)
                seals.write(self._target, self._store.identity, file)
        return file

    def last_day(self) -> str:
        """Return the latest day that has a seal. Returns "" if none has. Raises `TargetUnavailable`."""
        with self._target.told("read", "give the right to, then seal again"):
            path = self._last_path()
        return "" if path is None else name_of(path).removesuffix(seals.SUFFIX)

    def last_day_in_log(self) -> str:
        """Return the latest day whose seal the log has. Returns "" if none has. Raises `TargetUnavailable`."""
        with self._target.told("read", "give the right to, then seal again"):
            for path in reversed(list(seals.paths(self._target, self._store.identity))):
                with suppress(seals.NotASeal):  # `seal` tells of it.
                    file = seals.read(self._target, path)
                    if file.position is not None:
                        return file.seal.day
        return ""

    def _last(self) -> SealFile | None:
        path = self._last_path()
        try:
            return None if path is None else seals.read(self._target, path)
        except seals.NotASeal as error:
            raise Fatal(
                f"{path}: {error}", remedy="put a copy of it in its place; a3cp verify --seal checks it"
            ) from error

    def _last_path(self) -> str | None:
        return max(seals.paths(self._target, self._store.identity), default=None)

    def _new(self, day: str, last: SealFile | None) -> SealFile:
        made_ms = self._now_ms()
        hashes, changes = self._due(frozenset() if last is None else frozenset(last.hashes))
        seal = Seal(
            day,
            secrets.token_hex(8) if last is None else last.seal.chain,
            format_time(made_ms),
            len(hashes),
            seals.tree_of(hashes).root.hex(),
            None if last is None else seals.hash_of(last.seal),
        )
        signature = None
        if self._signer is not None:
            signature = msgspec.json.decode(self._signer.sign(seals.text_of(seal)), type=Signature)
        file = SealFile(seals.FORMAT, seal, signature, None, hashes)
        seals.write(self._target, self._store.identity, file)
        self._store.ledger.note_exported(self._name, changes)
        return file

    def _due(self, known: frozenset[str]) -> tuple[list[str], dict[str, int]]:
        """Return the hashes of the leaves that no seal has, and the changes of the sessions they stand for.

        `known`: hashes of the last seal, whose maker may have been killed before it was noted.
        """
        hashes: set[str] = set()
        changes: dict[str, int] = {}
        last: SessionRow | None = None
        while page := self._store.ledger.unexported(self._name, self._wanted, limit=PAGE_SESSIONS, after=last):
            last = page[-1]
            for session in page:
                leaves, changes_there = self._leaves(session)
                if leaves:
                    hashes.update(leaves)
                    changes[session.session_id] = changes_there
        return sorted(hashes - known), changes

    def _leaves(self, session: SessionRow) -> tuple[list[str], int]:
        """Return the leaves of the bundle that is there, and its changes; no leaf if there is none, or it is open."""
        path = self._target.path(bundle_path(session.session_id, session.start_ms))
        try:
            manifest = self._target.read(f"{path}/{manifests.NAME}", METADATA_BYTES_MAX)
            there = msgspec.json.decode(self._target.read(f"{path}/{METADATA}", METADATA_BYTES_MAX), type=_There)
        except (FileNotFoundError, NotAFile, *NOT_READABLE):
            return [], 0
        changes = there.message_count + there.event_count
        if there.completeness == "open":
            return [], changes
        leaves = [seals.manifest_leaf(session.session_id, manifest)]
        if changes == session.changes and session.status is Status.COMPLETE and session.held_digest is not None:
            leaves.append(seals.messages_leaf(session.session_id, session.held_digest))
        return leaves, changes


class DailySealer:
    """Seals each day once it has ended, and the silence is over that ends its last sessions."""

    def __init__(self, sealer: Sealer, *, now_ms: Callable[[], int], wait_ms: int) -> None:
        """`wait_ms`: how long after midnight, UTC, a day is sealed."""
        self._sealer = sealer
        self._now_ms = now_ms
        self._wait_ms = wait_ms
        self._sealed = ""  # the latest day
        self._in_log: str | None = None  # the latest day whose seal the log has; None: not looked yet

    def seal(self) -> SealFile | None:
        """Seal the latest day whose time has come. Returns None if that is done.

        Raises as `Sealer.seal`.
        """
        day = date_part(self._now_ms() - self._wait_ms - DAY_MS)
        if day <= self._sealed:
            return None
        is_too_late = day < self._sealer.last_day()  # Somebody was earlier.
        file = None if is_too_late else self._sealer.seal(day)
        self._sealed = self._in_log = day
        return file

    def sealed(self) -> str:
        """Return the latest day whose seal the log has, as this knows it. Returns "" if there is none.

        Raises `TargetUnavailable`.
        """
        if self._in_log is None:
            self._in_log = self._sealer.last_day_in_log()
        return self._in_log
