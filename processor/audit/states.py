"""Checks one partition's states: against the session events, and against the rules and the raw records.

Give it the states, fold the raw records in their order, then call `compare`. Memory: the latest state of each key, and
1 KB for each user of the raw records.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from processor.audit.report import AuditReport
from processor.audit.sessions import SessionsCheck
from processor.codec.state import decode_state
from processor.core.limits import forget_after_ms
from processor.core.model import Event, Record, Rules, Session, UserState
from processor.core.session import step
from processor.errors import DecodeError
from processor.runtime.adopting import Adopted
from processor.runtime.erased import read_mark
from processor.runtime.growing import moved
from processor.runtime.ports import TopicRecord

# An erasure leaves a mark that stays longer than raw records do, with the retention that ships.
_GONE: Final = "it is lost, or a3cp erase took it away long ago and the person's records are still there"


class StatesCheck:
    """The states of one partition."""

    def __init__(
        self,
        name: str,
        partition: int,
        report: AuditReport,
        *,
        certain: int,
        rules: Rules | None,
        adopted: Adopted | None,
    ) -> None:
        """Take what is known before reading.

        Args:
            name: of the state topic.
            partition: of it.
            report: told what is wrong.
            certain: the offset from which on the processor may have written since the audit began.
            rules: for the fold; None if there is nothing to compare with.
            adopted: where a mirror had filled the topics; the offsets in its records are another cluster's.
        """
        self._name, self._partition = name, partition
        self._report = report
        self._certain = certain
        self._rules = rules
        self._adopted = adopted or Adopted(0, 0, 0)
        self._latest: dict[bytes, tuple[int, bytes | None]] = {}  # user -> offset and value of the state
        self._fold: dict[bytes, UserState] = {}
        self.unplaced = 0
        """States that name no offset: growing and adopting make such, and leave a mark beside the group's offset."""
        self._erased: dict[bytes, list[int]] = {}  # user -> the raw offsets at which they were erased, in order

    @property
    def erasures(self) -> int:
        """How many marks of erasures there are."""
        return sum(map(len, self._erased.values()))

    def read(self, records: Iterable[TopicRecord], sessions: SessionsCheck) -> None:
        """Take the state topic's records. Tell `sessions` of erasures, before it has an event."""
        for record in records:
            if record.key is None:
                self._report.add(record.position, "it has no key, so it is nobody's state")
                continue
            if (erased := read_mark(record.key)) is None:
                self._latest[record.key] = record.offset, record.value
            else:
                if record.offset >= self._adopted.state:
                    self._erased.setdefault(erased.user, []).append(erased.offset)
                sessions.erased(erased.user.decode(errors="replace"), record.timestamp_ms)

    def check(self, sessions: SessionsCheck, *, since_ms: float, goes_to: Callable[[bytes], int]) -> None:
        """Check the latest states against `sessions`, which has all events by now.

        Sessions that were opened before `since_ms` may lack a state: the mark of an erasure may be gone. The states of
        users who have left for another partition are there.
        """
        for key, (offset, value) in self._latest.items():
            if value is None:
                continue
            where = self._at(offset)
            try:
                user_id, state = key.decode(), decode_state(value)
            except UnicodeDecodeError:
                self._report.add(where, "its key is no user id")
                continue
            except DecodeError as error:
                self._report.add(where, f"it is no state: {error.what}")
                continue
            self._report.states += 1
            self.unplaced += state.last_offset < 0
            is_certain = offset < self._certain
            for one in (*state.closed, *(() if state.current is None else (state.current,))):
                sessions.state(user_id, one.session_id, one.messages, one.digest, where, certain=is_certain)
        for user_id, sid in sessions.open_sessions(since_ms):
            key = user_id.encode()
            offset, value = self._latest.get(key, (-1, None))
            if value is None and offset < self._certain and goes_to(key) == self._partition:
                told = f"it has no state for {sid}, which is open: {_GONE}"
                self._report.add(f"{self._name}[{self._partition}]", told)

    def leave(self, goes_to: Callable[[bytes], int]) -> dict[int, dict[bytes, UserState]]:
        """Take users who have left out of the fold. Return by partition their states as they came there."""
        for key, offsets in self._erased.items():
            self._forget_erased(key, max(offsets))
        left: dict[int, dict[bytes, UserState]] = defaultdict(dict)
        for key in list(self._fold):
            if (partition := goes_to(key)) != self._partition:
                left[partition][key] = moved(self._fold.pop(key))
        return left

    def come(self, states: Mapping[bytes, UserState]) -> None:
        """Take users with these states into the fold, before its first record."""
        if self._rules is not None:
            self._fold.update(states)

    def fold(self, record: Record, offset: int) -> tuple[UserState | None, tuple[Event, ...]]:
        """Take the next raw record, at `offset`. Return the user's state and the events, by the rules."""
        if self._rules is None:
            return None, ()
        key = record.user_id.encode()
        self._forget_erased(key, offset)
        after, events = step(self._fold.get(key), record, offset, self._rules)
        if after is None:
            self._fold.pop(key, None)
        else:
            self._fold[key] = after
        return after, events

    def _forget_erased(self, key: bytes, before: int) -> None:
        """Drop the fold of a user who was erased since their latest record, and before the offset `before`."""
        state = self._fold.get(key)
        if state is not None and any(state.last_offset < offset <= before for offset in self._erased.get(key, ())):
            del self._fold[key]

    def compare(self, now_ms: int) -> None:
        """Compare the states with those of the fold, without what the clock decides: when ends were announced.

        Args:
            now_ms: the time now. Users whose late horizon is over may have been forgotten.
        """
        if self._rules is None:
            return
        for key, offsets in self._erased.items():
            self._forget_erased(key, max(offsets))
        for key, expected in self._fold.items():
            offset, value = self._latest.get(key, (self._certain - 1, None))
            if offset >= self._certain:  # The processor has changed it since the audit began.
                continue
            after_ms = forget_after_ms(expected, self._rules)
            may_be_forgotten = after_ms is not None and now_ms > after_ms
            if value is None:
                if not may_be_forgotten:
                    told = f"a user of the raw log has no state, and is not to be forgotten yet: {_GONE}"
                    self._report.add(f"{self._name}[{self._partition}]", told)
                continue
            try:
                actual = decode_state(value)
            except DecodeError:
                continue  # Told when it was read.
            if may_be_forgotten and actual.current is None and not actual.closed:
                continue  # All but the user's own limits is forgotten.
            self._report.states_compared += 1
            wanted = moved(expected) if expected.last_offset < self._adopted.raw else expected
            if _unclocked(actual) != _unclocked(wanted):
                self._report.add(self._at(offset), "it is not what the rules make of the user's raw records")
        for key, (offset, value) in self._latest.items():
            if value is not None and key not in self._fold and offset < self._certain:
                self._report.add(self._at(offset), "it is a state of nobody in the raw log")

    def _at(self, offset: int) -> str:
        return f"{self._name}[{self._partition}]@{offset}"


def _unclocked(state: UserState) -> UserState:
    """Return `state` without what depends on when ends were announced: the clock decides that."""

    def plain(session: Session) -> Session:
        return session._replace(ends=0)

    current = state.current
    if current is not None:
        current = current._replace(ends=0, end_ms=None, end_reason=None)
    return state._replace(current=current, closed=tuple(plain(session) for session in state.closed))
