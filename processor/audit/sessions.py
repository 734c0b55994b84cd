"""Checks one partition's sessions by `a3cp.tagged` and `a3cp.sessions`; no raw record is needed.

Give it the events, then the tagged messages, then ask for the reports. Memory: about 1 KB a session, nothing for a
message.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from processor.audit.topics import Span
from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.codec.tagged import TaggedView
from processor.core.ids import belongs_to
from processor.errors import NoRegistry, RecordError, SchemaUnknown, UsageError
from processor.runtime.ports import TopicRecord
from processor.sessions.report import PROBLEMS_MAX, Problem, Report
from processor.settings.model import TopicNames
from processor.upstream.words.counting import counted

_OPEN_KINDS: Final = ("paused", "resumed", "note", "context", "step", "status", "tag", "unchanged")

_TOGETHER_MS: Final = 10_000  # between the append times of what one transaction wrote


class _Promise(NamedTuple):
    """A digest of a session's first messages, as a record says it."""

    digest: str
    where: str
    is_certain: bool  # that the messages are there


@dataclass(slots=True)
class _Session:
    """What was read of one session; if it was opened twice, of one of the times."""

    user_id: str
    start_ms: int | None = None  # None until its `started` is read
    told_ms: int = 0  # when that was appended, and where
    told_where: str = ""
    needs_message: bool = False  # whether a message started it, not a command
    is_open: bool = True
    is_paused: bool = False
    ends: int = 0  # how many were read; the revision of the next one
    last_end: int | None = None  # how many messages its latest end counts; None while it is open
    last_end_where: str = ""
    promises: dict[int, _Promise] = field(default_factory=dict)  # by count; kept until so many messages are there
    count: int = 0  # the number of the latest message
    certain_count: int = 0  # of those below the tagged topic's `certain`
    held: int = 0
    digest: bytes | None = None  # None when messages before the first are cut off
    problems: list[Problem] | None = None
    state_count: int | None = None  # what its user's latest state counts
    state_where: str = ""


class Left(NamedTuple):
    """What is known of users who have left a partition."""

    sessions: dict[str, _Session]
    earlier: dict[str, list[_Session]]
    open: dict[str, tuple[str, int, int]]
    erased: dict[str, list[int]]


class SessionsCheck:
    """The sessions of one partition."""

    def __init__(self, codec: Codec, names: TopicNames, partition: int, *, tagged: Span, sessions: Span) -> None:
        self._codec = codec
        self._names = names
        self._partition = partition
        self._tagged, self._events = tagged, sessions
        self._sessions: dict[str, _Session] = {}
        self._earlier: dict[str, list[_Session]] = {}  # of those that were opened more than once (ADR 0006)
        self._open: dict[str, tuple[str, int, int]] = {}  # user -> the open session; offset and time of what opened it
        self._erased: dict[str, list[int]] = {}  # user -> when they were erased, ms
        self._elsewhere: list[Problem] = []  # what is wrong with records that name no session

    def leave(self, goes_to: Callable[[bytes], int]) -> dict[int, Left]:
        """Take out what is known of users who have left. Return it by the partition where they went."""
        left: dict[int, Left] = defaultdict(lambda: Left({}, {}, {}, {}))
        users = {session.user_id for session in self._sessions.values()} | self._erased.keys()
        goes = {name: to for name in users if (to := goes_to(name.encode())) != self._partition}
        for sid, session in list(self._sessions.items()):
            if session.user_id in goes:
                there = left[goes[session.user_id]]
                there.sessions[sid] = self._sessions.pop(sid)
                if sid in self._earlier:
                    there.earlier[sid] = self._earlier.pop(sid)
        for user_id, partition in goes.items():
            if user_id in self._open:
                left[partition].open[user_id] = self._open.pop(user_id)
            if user_id in self._erased:
                left[partition].erased[user_id] = self._erased[user_id]
        return left

    def come(self, left: Left) -> None:
        """Take in users who came from another partition. Call it before all events."""
        self._sessions.update(left.sessions)
        self._earlier.update(left.earlier)
        self._open.update((user_id, (sid, -1, told_ms)) for user_id, (sid, _, told_ms) in left.open.items())
        self._erased.update(left.erased)

    def erased(self, user_id: str, at_ms: int) -> None:
        """Note that the user's state was erased. Call it before all events."""
        self._erased.setdefault(user_id, []).append(at_ms)

    def _was_erased(self, user_id: str, since_ms: int, until_ms: float = math.inf) -> bool:
        """Return whether the user was erased in that time. Then nobody knows what was open before."""
        return any(since_ms <= at_ms <= until_ms for at_ms in self._erased.get(user_id, ()))

    def event(self, record: TopicRecord) -> EventView | None:
        """Take the sessions topic's next record, and return its event. Returns None if it has none."""
        where = record.position
        try:
            event = self._codec.decode_event(record.value or b"")
        except RecordError as error:
            self._unreadable(record, where, "no session event", error)
            return None
        if record.key != event.user_id.encode():
            self._wrong(event.session_id, where, "its key is not the user whose event it is")
        if event.session_id is None or event.kind == "rejected":
            return event
        sid = event.session_id
        session = self._sessions.get(sid)
        if event.kind == "started":
            self._started(session, event, where, record)
        else:
            self._later(sid, session, event, where, record)
        return event

    def _later(self, sid: str, session: _Session | None, event: EventView, where: str, record: TopicRecord) -> None:
        """Take any event other than `started`."""
        if session is None:
            session = self._sessions[sid] = _Session(event.user_id)
            if not self._events.is_cut:
                self._wrong(sid, where, f"it tells of `{event.kind}` before the session started")
        if session.user_id != event.user_id:
            self._wrong(sid, where, "it names another user than the session's")
        if event.kind == "ended":
            self._ended(session, event, where, record.offset)
        elif event.kind == "reopened":
            if session.is_open:
                self._wrong(sid, where, "it reopens a session that has not ended")
            session.is_open, session.last_end = True, None
            self._open[event.user_id] = sid, record.offset, record.timestamp_ms
        elif event.kind not in _OPEN_KINDS:
            self._wrong(sid, where, f"no session has a `{event.kind}`")
        elif not session.is_open:
            self._wrong(sid, where, f"it tells of `{event.kind}` after the end")
        elif event.kind in ("paused", "resumed"):
            pausing = event.kind == "paused"
            if session.is_paused == pausing and session.start_ms is not None:
                self._wrong(sid, where, "it pauses a paused session" if pausing else "it resumes one not paused")
            session.is_paused = pausing

    def _started(self, session: _Session | None, event: EventView, where: str, record: TopicRecord) -> None:
        sid = event.session_id
        assert sid is not None
        if session is not None:
            if session.is_open and not self._was_erased(event.user_id, session.told_ms, record.timestamp_ms):
                self._wrong(sid, where, "it starts a second time, and has not ended")
                return
            self._earlier.setdefault(sid, []).append(session)
        self._sessions[sid] = _Session(
            event.user_id, event.start_time, record.timestamp_ms, where, event.command_record_id is None
        )
        if not belongs_to(sid, event.user_id):
            self._wrong(sid, where, "its id is not one of its user's")
        if event.reason == "late":
            return
        other = self._open.get(event.user_id)
        if other is not None and not self._was_erased(event.user_id, other[2], record.timestamp_ms):
            self._wrong(sid, where, f"it starts while the user's {other[0]} is open")
        self._open[event.user_id] = sid, record.offset, record.timestamp_ms

    def _ended(self, session: _Session, event: EventView, where: str, offset: int) -> None:
        sid = event.session_id
        assert sid is not None
        if event.revision != session.ends and not (self._events.is_cut and session.start_ms is None):
            self._wrong(sid, where, f"its end has revision {event.revision}, the next would be {session.ends}")
        session.ends = (event.revision if event.revision is not None else session.ends) + 1
        session.is_open = False
        if self._open.get(event.user_id, ("", 0, 0))[0] == sid:
            del self._open[event.user_id]
        if event.message_count is None or event.digest is None:
            self._wrong(sid, where, "its end has no count or no digest")
            return
        session.last_end, session.last_end_where = event.message_count, where
        self._promise(sid, session, event.message_count, _Promise(event.digest, where, offset < self._events.certain))

    def _promise(self, sid: str, session: _Session, count: int, told: _Promise) -> None:
        known = session.promises.setdefault(count, told)
        if known.digest != told.digest:
            self._wrong(sid, told.where, f"its digest of {counted(count, 'message')} is not the one at {known.where}")
        if count == session.count and session.digest is not None and told.digest != session.digest.hex():
            self._wrong(sid, told.where, f"its digest of {counted(count, 'message')} is not the one of those before")
        if count == 0 and told.digest != _seed(sid).hex():
            self._wrong(sid, told.where, "its digest of no messages is wrong")

    def state(self, user_id: str, sid: str, count: int, digest: bytes, where: str, *, certain: bool) -> None:
        """Take what the user's latest state says of the session `sid`."""
        session = self._sessions.get(sid)
        if session is None:
            if self._events.is_cut or not certain:
                return
            self._wrong(sid, where, "the state has it, but no start of it was told")
            session = self._sessions[sid] = _Session(user_id)
        if session.user_id != user_id:
            self._wrong(sid, where, "the state under this key has another user's session")
        self._promise(sid, session, count, _Promise(digest.hex(), where, certain))
        session.state_count, session.state_where = count, where

    def open_sessions(self, since_ms: float) -> Iterator[tuple[str, str]]:
        """Yield user and session id of the sessions that were open when the audit began.

        Only those that were opened since `since_ms`, and whose user was not erased after that.
        """
        for user_id, (sid, offset, told_ms) in self._open.items():
            if offset < self._events.certain and told_ms >= since_ms and not self._was_erased(user_id, told_ms):
                yield user_id, sid

    def _unreadable(self, record: TopicRecord, where: str, what: str, error: RecordError) -> None:
        """Report that a record is `what`. Raises as `need_its_schema` does."""
        need_its_schema(record, where, error)
        self._wrong(None, where, f"it is {what}: {error.what}")

    def message(self, record: TopicRecord) -> tuple[TaggedView, bytes] | None:
        """Take the tagged topic's next record. Return its tag, and the message as it came."""
        where = record.position
        try:
            view, source = self._codec.untag(record.value or b"")
        except RecordError as error:
            self._unreadable(record, where, "no tagged message", error)
            return None
        sid, seq = view.session_id, view.session_seq
        if record.key != view.user_id.encode():
            self._wrong(sid, where, "its key is not the user whose message it is")
        if sid is None or seq is None:
            if "no_session" not in view.flags or (sid, seq) != (None, None):
                self._wrong(sid, where, "it has no session and number, and no flag that says so")
            return view, source
        session = self._sessions.get(sid)
        if session is not None and self._earlier:
            session = self._time_of(sid, seq, record.timestamp_ms)
        if session is None:
            session = self._sessions[sid] = _Session(view.user_id)
            if not self._events.is_cut and record.offset < self._tagged.certain:
                self._wrong(sid, where, "no start of its session was told")
        if session.user_id != view.user_id:
            self._wrong(sid, where, "it stands in another user's session")
        if session.start_ms is not None and view.session_start_ms != session.start_ms:
            self._wrong(sid, where, "its session_start is not when the session started")
        self._number(sid, session, seq, where)
        session.held += 1
        if record.offset < self._tagged.certain:
            session.certain_count = session.count
        if session.digest is not None:
            session.digest = sha256(session.digest + sha256(source).digest()).digest()
            promise = session.promises.pop(session.count, None)
            if promise is not None and promise.digest != session.digest.hex():
                told = (
                    f"its digest of {counted(session.count, 'message')} is not the one of those in {self._names.tagged}"
                )
                self._wrong(sid, promise.where, told)
                session.digest = None  # Each later one would be wrong for the same reason.
        return view, source

    def _time_of(self, sid: str, seq: int, at_ms: int) -> _Session:
        """Return which of the session's times the next message belongs to: each start numbers anew from 1."""
        times = self._times(sid)
        at = max((number for number, each in enumerate(times) if each.held), default=0)
        if self._tagged.is_cut and not times[at].held:  # What came the first times may be gone.
            return [times[0], *(each for each in times[1:] if each.told_ms <= at_ms + _TOGETHER_MS)][-1]
        is_over = times[at].held or times[at].last_end == 0
        return times[at + 1] if seq == 1 and is_over and at + 1 < len(times) else times[at]

    def _times(self, sid: str) -> list[_Session]:
        """Return what was read of a session, by the times that it was opened."""
        return [*self._earlier.get(sid, ()), self._sessions[sid]]

    @property
    def opened_twice(self) -> Iterator[tuple[str, str]]:
        """The sessions that were opened again, and where."""
        for sid in self._earlier:
            for session in self._times(sid)[1:]:
                yield sid, session.told_where

    def _number(self, sid: str, session: _Session, seq: int, where: str) -> None:
        if not session.held:
            session.digest = _seed(sid)
            if seq > 1 and self._tagged.is_cut:  # What was before is cut off.
                session.digest, session.count = None, seq - 1
        expected = session.count + 1
        if seq == expected:
            session.count = seq
            return
        session.digest = None
        if seq > expected:
            missing = f"message {expected}" if seq == expected + 1 else f"messages {expected} to {seq - 1}"
            self._wrong(sid, where, f"it is message {seq}: {missing} of the session missing before it")
            session.count = seq
        else:
            self._wrong(sid, where, f"it is message {seq} again, message {expected} should stand here")

    def reports(self) -> Iterator[Report]:
        """Yield a report for each session, then one for problems that belong to none, if there are any."""
        for sid, session in self._sessions.items():
            times = self._times(sid)
            for each in times:
                self._check_counts(sid, each)
            for each in times[1:]:
                if each.needs_message and not each.held and not self._tagged.is_cut:
                    self._wrong(sid, each.told_where, "it starts a second time, and no message comes with it")
            status = "partial" if len(times) > 1 else self._status(session)
            yield Report(
                f"{self._names.tagged}[{self._partition}] {sid}",
                sid,
                status,
                sum(each.held for each in times),
                session.problems or [],
                is_opened_twice=len(times) > 1,
            )
        if self._elsewhere:
            yield Report(f"{self._names.tagged}[{self._partition}]", problems=self._elsewhere)

    def _status(self, session: _Session) -> str:
        if session.held and session.digest is None and not session.problems:
            return "cut off"  # Its first messages are gone, so its digest cannot be checked.
        if not session.held and session.last_end and not session.problems:
            return "cut off" if self._tagged.is_cut else "open"
        return "open" if session.is_open else "complete"

    def _check_counts(self, sid: str, session: _Session) -> None:
        there = session.certain_count
        if session.state_count is not None and there > session.state_count:
            self._wrong(
                sid, session.state_where, f"it counts {counted(session.state_count, 'message')}, {there} are there"
            )
        if session.last_end is not None and there > session.last_end:
            self._wrong(
                sid, session.last_end_where, f"it counts {counted(session.last_end, 'message')}, {there} are there"
            )
        if self._tagged.is_cut and not session.held:
            return
        for count, promise in session.promises.items():
            if count > session.count and promise.is_certain:
                self._wrong(sid, promise.where, f"it counts {counted(count, 'message')}, {session.count} are there")

    def _wrong(self, sid: str | None, where: str, what: str) -> None:
        session = self._sessions.get(sid) if sid is not None else None
        if session is None:
            problems = self._elsewhere
        else:
            if session.problems is None:
                session.problems = []
            problems = session.problems
        if len(problems) < PROBLEMS_MAX:
            problems.append(Problem(where, sid if session is None and sid is not None else "", what))


def need_its_schema(record: TopicRecord, where: str, error: RecordError) -> None:
    """Stop the check if `record` cannot be read only because its schema is missing: the record may be right.

    Raises:
        UsageError: there is no registry, or it does not know the record's schema id.
    """
    if isinstance(error, SchemaUnknown) and (record.value or b"").startswith(b"\0"):
        missing = "" if isinstance(error, NoRegistry) else ", or register the schema there again"
        raise UsageError(
            f"{where}: {error.what}, so nobody can tell whether it is right",
            remedy=f"set SCHEMA_REGISTRY_URL to the processor's registry{missing}, then try again",
        ) from error


def _seed(session_id: str) -> bytes:
    """Return the digest of a session with no messages (rule R12)."""
    return sha256(session_id.encode()).digest()
