"""Checks one partition's session events against the rules and the raw records: times, reasons, notes, labels.

Give it the events, then each step of the fold of the raw records, then call `finish`. Memory: 250 bytes an event.
"""

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from processor.audit.report import AuditReport
from processor.codec.events import SEALED, EventView, view_of
from processor.core.boundaries import ended_by_silence
from processor.core.model import EndReason, Erased, Event, Forgotten, PolicySet, Reopened, Rules, Tagged, UserState

# The clock decides when an end by silence is announced, and so whether it is taken back. All other events follow from
# the raw records alone. Ends are compared without their revision; those by silence also without their time.
_SILENCE: Final = (EndReason.TIMEOUT.value, EndReason.PAUSE_TIMEOUT.value)
_UNTOLD: Final = (Tagged, PolicySet, Forgotten, Erased, Reopened)
_HASH_BYTES: Final = 16
_encode: Final = msgspec.json.Encoder().encode


class EventsCheck:
    """The session events of one partition."""

    def __init__(self, name: str, partition: int, report: AuditReport, *, certain: int, rules: Rules | None) -> None:
        """Arguments as of `StatesCheck`; `name` is that of the sessions topic."""
        self._name, self._partition = name, partition
        self._report = report
        self._certain = certain
        self._rules = rules
        self._told: dict[bytes, int] = {}  # form -> offset, of events that nothing has explained yet
        self._starts: Counter[str | None] = Counter()
        self._folded_starts: Counter[str | None] = Counter()
        self._ends: set[tuple[str | None, int | None]] = set()  # sessions that ended, and with how many messages

    def event(self, event: EventView, offset: int) -> None:
        """Take the sessions topic's next event."""
        if self._rules is None or event.kind in ("reopened", SEALED):  # A seal is told by an exporter.
            return
        self._told.setdefault(self._nth(event, self._starts), offset)
        if event.kind == "ended":
            self._ends.add((event.session_id, event.message_count))

    def folded(self, user_id: str, after: UserState | None, events: Iterable[Event]) -> None:
        """Take what the user's next raw record causes by the rules, and the state it leaves."""
        for event in events:
            if not isinstance(event, _UNTOLD):
                self._told.pop(self._nth(view_of(user_id, event), self._folded_starts), None)
        current = None if after is None else after.current
        if after is None or current is None or (current.session_id, current.messages) not in self._ends:
            return
        assert self._rules is not None
        by_clock = ended_by_silence(after, self._rules, at_ms=0)
        if by_clock is not None:
            self._told.pop(_form(view_of(user_id, by_clock)), None)

    def _nth(self, event: EventView, starts: Counter[str | None]) -> bytes:
        """Return the form of `event`. Starts of one session are numbered: a second one needs a second reason."""
        if event.kind != "started":
            return _form(event)
        starts[event.session_id] += 1
        return _form(event) + b"%d" % starts[event.session_id]

    def finish(self) -> None:
        """Report the events that no raw record explains."""
        for offset in self._told.values():
            if offset < self._certain:  # Of later ones the raw records may not have been read.
                where = f"{self._name}[{self._partition}]@{offset}"
                self._report.add(where, "it is not what the rules make of the user's raw records")


def _form(event: EventView) -> bytes:
    """Return a hash of `event` without what the clock decides."""
    if event.kind == "ended":
        event = event._replace(record_id="", revision=None)
    if event.reason in _SILENCE:
        event = event._replace(timestamp=0)
    return sha256(_encode(event)).digest()[:_HASH_BYTES]
