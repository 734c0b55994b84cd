"""Sessions that ended long ago: removed from the store first, then from where they were exported to."""

from collections.abc import Sequence

from processor.removal.clearing import Cleared, clear
from processor.removal.roots import is_there, unnamed_roots
from processor.sessions.ports import Gone, Store
from processor.targets.paths import date_part
from processor.targets.target import Target


class Retention:
    """The sessions that ended before `before_ms`, and what has become of them so far."""

    def __init__(self, store: Store, targets: Sequence[Target], before_ms: int) -> None:
        """Look for them. Nothing is changed.

        Raises:
            StoreUnavailable: nobody can tell.
        """
        self._store = store
        self._targets = targets
        self._before_ms = before_ms
        self._gone = gone = Gone(ended_before_ms=before_ms)
        self.removed = store.removal.removable(gone)  # from the store; until `remove` what would be
        self.cleared: list[Cleared] = []  # from the roots, one after the other
        self.kept = sum(store.reader.totals().sessions.values()) - len(self.removed.sessions)
        self.not_named = [root for root in unnamed_roots(store.ledger.targets(gone), targets) if is_there(root)]

    def remove(self) -> None:
        """Remove them from the store.

        Raises:
            StoreUnavailable: it does not answer.
        """
        self.removed = self._store.removal.remove(self._gone)

    def clear(self, *, dry_run: bool) -> None:
        """Remove them from the roots, with those that an interrupted run removed from the store only.

        Raises:
            TargetUnavailable, StoreUnavailable: `cleared` has what was removed until then.
        """
        known = {session_id: start_ms for session_id, start_ms, _ in self.removed.sessions}

        def is_gone(_: str, session_id: str) -> bool:
            return session_id in known or bool(self._store.reader.removed_of([session_id]))

        until = date_part(self._before_ms)
        for target in self._targets:
            self.cleared.append(clear(target, is_gone, known=known.items(), until=until, dry_run=dry_run))
        if not dry_run:
            self._store.removal.scrub()  # The last, since others who read the store make it fail.
