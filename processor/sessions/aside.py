"""What cannot be written as it is held: set aside, so that all else is written, and tried again later."""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from processor.errors import RecordError
from processor.sessions.model import SessionRow

NEWS_MAX: Final = 10  # told of one by one, each time; the others later
WAIT_MIN_S: Final = 10.0  # before what has not changed is tried again; twice as long each time
WAIT_MAX_S: Final = 600.0


class _Held(NamedTuple):
    tried: Mapping[str, int]  # the sessions in it, with their `SessionRow.changes`
    why: RecordError
    is_told: bool
    wait_s: float
    again_s: float


class SetAside:
    """Sessions, or dates, that hold a record which cannot be read."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._held: dict[str, _Held] = {}
        self._well: list[str] = []

    def add(self, name: str, tried: Mapping[str, int], why: RecordError) -> bool:
        """Set `name` aside, with the sessions that it consists of and their changes; return whether `why` is new."""
        before = self._held.get(name)
        is_new = before is None or str(before.why) != str(why)
        wait_s = WAIT_MIN_S if before is None else min(2 * before.wait_s, WAIT_MAX_S)
        is_told = before is not None and before.is_told and not is_new
        self._held[name] = _Held(tried, why, is_told, wait_s, self._monotonic_s() + wait_s)
        return is_new

    def waits(self, name: str, session: SessionRow) -> bool:
        """Return whether to leave `name` alone for now: it was just tried with `session` as it is."""
        held = self._held.get(name)
        return (
            held is not None
            and held.tried.get(session.session_id) == session.changes
            and self._monotonic_s() < held.again_s
        )

    def wrote(self, name: str) -> None:
        """Take note that `name` is written."""
        if self._held and (held := self._held.pop(name, None)) is not None and held.is_told:
            self._well.append(name)

    def news(self) -> list[tuple[str, RecordError | None]]:
        """Return what was not told before: what is set aside and why, the first few, and what is well again (None)."""
        untold = [name for name, held in self._held.items() if not held.is_told][:NEWS_MAX]
        for name in untold:
            self._held[name] = self._held[name]._replace(is_told=True)
        well, self._well = self._well, []
        return [*((name, self._held[name].why) for name in untold), *((name, None) for name in well)]

    def __len__(self) -> int:
        return len(self._held)
