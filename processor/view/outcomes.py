"""What came of the commands of the last 24 hours, and who waits for it."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Final, TypeAlias

from processor.codec.events import EventView
from processor.core.model import DAY_MS

KEPT_MS: Final = DAY_MS
KEPT_MAX: Final = 200_000  # outcomes, about 1 KiB each; the oldest go first

Named: TypeAlias = tuple[str, str]
"""A command's record id, and the user whose command it is: others may use the same record id."""


class Outcomes:
    """Outcomes by command; any thread may ask and wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: OrderedDict[Named, tuple[int, EventView]] = OrderedDict()  # with when they were written
        self._awaited: dict[Named, list[Future[EventView]]] = {}

    def take(self, event: EventView, append_ms: int) -> list["Future[EventView]"]:
        """Take the next event; return who waits for it, to be told once the view reflects it.

        The first outcome of a command counts: a command that was sent twice has another one, that it is a repeat.
        """
        if not event.command_record_id:
            return []
        named = event.command_record_id, event.user_id
        with self._lock:
            self._outcomes.setdefault(named, (append_ms, event))
            if len(self._outcomes) > KEPT_MAX:
                self._outcomes.popitem(last=False)
            return self._awaited.pop(named, [])

    def get(self, named: Named) -> EventView | None:
        """Return what came of a command; None if that is not known."""
        found = self._outcomes.get(named)
        return None if found is None else found[1]

    def expect(self, named: Named) -> "Future[EventView]":
        """Return what will hold the outcome of a command; at once, if it is known already."""
        future: Future[EventView] = Future()
        with self._lock:
            known = self.get(named)
            if known is None:
                self._awaited.setdefault(named, []).append(future)
        if known is not None:
            future.set_result(known)
        return future

    def forget(self, user_id: str) -> None:
        """Forget what came of a user's commands."""
        with self._lock:
            for named in [named for named in self._outcomes if named[1] == user_id]:
                del self._outcomes[named]

    def trim(self, now_ms: int) -> None:
        """Forget what is older than a day, and those who wait no longer."""
        with self._lock:
            while self._outcomes and next(iter(self._outcomes.values()))[0] < now_ms - KEPT_MS:
                self._outcomes.popitem(last=False)
            waiting = {named: [each for each in futures if not each.done()] for named, futures in self._awaited.items()}
            self._awaited = {named: futures for named, futures in waiting.items() if futures}
