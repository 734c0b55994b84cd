"""What other limits would make of stored sessions: which would split, which would join. Pure.

The core runs over a user's messages and commands once more, with other rules. The store has messages in the order of
the log, and commands as the events that came of them, but not the order between both. So the core first runs with the
rules in force, and takes next whichever of the two gives what is stored: that is the order in which they were
processed.

Refused commands are left out: they changed nothing, and their events do not say what was asked.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, NamedTuple

from processor.codec.codec import Codec
from processor.codec.events import EventView, from_json, view_of
from processor.core.model import Command, CommandName, Event, Flag, Message, Policy, Record, Rules, SessionEvent, Tagged
from processor.core.session import step
from processor.sessions.model import MessageRow, SessionRow
from processor.sessions.ports import Cursor, SessionFilter, SessionReader

EXAMPLES_MAX: Final = 10
COMMANDS_FROM: Final = "outcome events"
"""Where the commands come from: not from a3cp.raw, which does not last."""

_PLACED: Final = Flag.LATE | Flag.WHILE_PAUSED | Flag.NO_SESSION
_NAMES: Final = {"started": CommandName.START, "ended": CommandName.END, "paused": CommandName.PAUSE,
                 "resumed": CommandName.RESUME, "already_active": CommandName.START,
                 "already_paused": CommandName.PAUSE, "not_paused": CommandName.RESUME}  # fmt: skip
_OWN: Final = frozenset(name.value for name in CommandName)
_PAGE: Final = 500


class OtherLimits(NamedTuple):
    """Other limits, ms; None leaves one as it is. Those of templates and users go before them, as always."""

    gap_ms: int | None = None
    max_session_ms: int | None = None
    pause_ms: int | None = None

    def rules(self, rules: Rules) -> Rules:
        """Return `rules` with these limits."""
        return replace(rules, **{name: ms for name, ms in self._asdict().items() if ms is not None})


@dataclass(slots=True)
class WhatIf:
    """What other limits would make of sessions that have messages."""

    sessions: int = 0  # as they are
    would_be: int = 0
    split: int = 0  # of those that there are, how many would be several
    joined: int = 0  # of those that there would be, how many are several now
    not_repeated: int = 0  # records that the rules in force do not explain: others were in force then
    commands_from: str = COMMANDS_FROM
    splits: list["Split"] = field(default_factory=list)  # some of them
    joins: list["Join"] = field(default_factory=list)


class Split(NamedTuple):
    """A session that would be several."""

    session_id: str
    user_id: str
    starts_ms: tuple[int, ...]  # of what it would be
    messages: tuple[int, ...]


class Join(NamedTuple):
    """Sessions that would be one."""

    session_ids: tuple[str, ...]
    user_id: str
    start_ms: int
    messages: int


class History(NamedTuple):
    """What is stored of one user, a lane if it is one, in the order of the log."""

    user_id: str
    messages: Sequence[tuple[MessageRow, Policy | None]]  # with the limits that it sets
    events: Sequence[EventView]


class _Stored(NamedTuple):
    """A record as the core takes it, and what came of it."""

    record: Record
    outcome: object


def what_if(histories: Iterable[History], rules: Rules, limits: OtherLimits, *, since_ms: int = 0) -> WhatIf:
    """Return what `limits` would make of the sessions in `histories` that started at `since_ms` or later.

    Args:
        histories: of whole users: what a message does depends on all that came before it.
        rules: those in force.
        limits: the other ones.
        since_ms: ms since the epoch.
    """
    told = WhatIf()
    for history in histories:
        records, odd = _in_order(history, rules)
        told.not_repeated += odd
        _compare(told, history.user_id, records, limits.rules(rules), since_ms)
    return told


def _in_order(history: History, rules: Rules) -> tuple[list[_Stored], int]:
    """Return the user's records in the order in which they were processed, and how many do not fit."""
    queues = [list(_messages(history))[::-1], list(_commands(history))[::-1]]
    state, ordered, odd = None, [], 0
    while any(queues):
        nearest = sorted((queue for queue in queues if queue), key=lambda queue: queue[-1].record.timestamp_ms)
        for queue in nearest:
            after, events = step(state, queue[-1].record, -1, rules)
            if _outcome(queue[-1].record, events) == queue[-1].outcome:
                break
        else:
            odd += 1
            queue = nearest[0]
            after, _ = step(state, queue[-1].record, -1, rules)
        state = after
        ordered.append(queue.pop())
    return ordered, odd


def _compare(told: WhatIf, user_id: str, records: Sequence[_Stored], rules: Rules, since_ms: int) -> None:
    state = None
    now: dict[str, Counter[str]] = defaultdict(Counter)  # by session as it is: messages by session as it would be
    then: dict[str, Counter[str]] = defaultdict(Counter)
    starts: dict[str, int] = {}
    for stored in records:
        state, events = step(state, stored.record, -1, rules)
        tagged = _tagged(events)
        if tagged is None or tagged.session_id is None or not isinstance(stored.outcome, tuple):
            continue
        session_id, start_ms = stored.outcome[0], stored.outcome[2]
        if session_id is not None and start_ms >= since_ms:
            now[session_id][tagged.session_id] += 1
            then[tagged.session_id][session_id] += 1
            starts[tagged.session_id] = tagged.start_ms
    told.sessions += len(now)
    told.would_be += len(then)
    for session_id, parts in now.items():
        if len(parts) > 1:
            told.split += 1
            split = Split(session_id, user_id, tuple(starts[part] for part in parts), tuple(parts.values()))
            told.splits += [split] if len(told.splits) < EXAMPLES_MAX else []
    for session_id, parts in then.items():
        if len(parts) > 1:
            told.joined += 1
            join = Join(tuple(parts), user_id, starts[session_id], parts.total())
            told.joins += [join] if len(told.joins) < EXAMPLES_MAX else []


def _outcome(record: Record, events: Sequence[Event]) -> object:
    """Return what came of a record, as far as the store tells it."""
    if isinstance(record, Message):
        tagged = _tagged(events)
        assert tagged is not None
        return tagged.session_id, tagged.seq, tagged.start_ms, tagged.flags & _PLACED
    last = events[-1]
    assert isinstance(last, SessionEvent)
    return _told(view_of(record.user_id, last))


def _told(event: EventView) -> object:
    return event.kind, event.session_id, event.reason, event.timestamp, event.end_time, event.message_count


def _tagged(events: Sequence[Event]) -> Tagged | None:
    return next((event for event in events if isinstance(event, Tagged)), None)


def _messages(history: History) -> Iterator[_Stored]:
    starts = {event.session_id: event.start_time for event in history.events}
    for row, policy in history.messages:
        flags = row.notices & (Flag.NONCONFORMING | Flag.CLOCK_SKEW)
        message = Message(
            history.user_id, row.record_id, row.timestamp_ms, row.append_ms, row.content_hash, row.source,
            row.claimed_session_id, flags & Flag.NONCONFORMING, row.encoding, policy,
        )  # fmt: skip
        start_ms = starts.get(row.session_id) or 0
        yield _Stored(message, (row.session_id, row.seq or 0, start_ms, row.notices & _PLACED))


def _commands(history: History) -> Iterator[_Stored]:
    superseded = False
    for event in history.events:
        name = _name(event)
        if event.command_record_id is not None and name is not None:
            digest = sha256(f"{event.command_record_id}\0{event.kind}".encode()).digest()
            command = Command(
                history.user_id, event.command_record_id, event.timestamp, event.timestamp, digest, name,
                performer_id=event.performer_id, force_new=superseded, template=event.template,
            )  # fmt: skip
            yield _Stored(command, _told(event))
        superseded = event.kind == "ended" and event.reason == "superseded"


def _name(event: EventView) -> CommandName | None:
    """Return which command an event came of; None if that cannot be told, or it was refused."""
    word = event.reason if event.kind == "unchanged" else event.kind
    if word in _OWN:
        return CommandName(word)
    return _NAMES.get(word or "", CommandName.TOUCH if event.kind == "unchanged" else None)


def histories(
    reader: SessionReader, wanted: SessionFilter, policy_of: Callable[[MessageRow], Policy | None]
) -> Iterator[History]:
    """Yield the whole histories of all users who have a session that passes `wanted`, one at a time."""
    owners = sorted({row.owner for row in _rows(reader, wanted)})
    for owner in owners:
        by_user: Mapping[str, list[SessionRow]] = defaultdict(list)
        for row in _rows(reader, SessionFilter(owner=owner)):
            by_user[row.user_id].append(row)
        for user_id, rows in by_user.items():
            messages = [message for row in rows for message in reader.messages(row.session_id)]
            messages += [message for message in reader.without_session(owner) if message.user_id == user_id]
            events = [event for row in rows for event in reader.events(row.session_id)]
            yield History(
                user_id,
                [(row, policy_of(row)) for row in sorted(messages, key=lambda row: row.offset)],
                [from_json(row.value) for row in sorted(events, key=lambda row: row.offset)],
            )


def policy_of(codec: Codec) -> Callable[[MessageRow], Policy | None]:
    """Return what reads the limits that a stored message sets for its user; None for a message that sets none."""

    def read(row: MessageRow) -> Policy | None:
        if row.value is None or b"session_policy" not in row.value:
            return None
        record = codec.decode(codec.untag(row.value)[1], row.append_ms)
        return record.policy if isinstance(record, Message) else None

    return read


def _rows(reader: SessionReader, wanted: SessionFilter) -> Iterator[SessionRow]:
    after: Cursor | None = None
    while rows := reader.sessions(wanted, limit=_PAGE, after=after):
        yield from rows
        after = (rows[-1].start_ms, rows[-1].session_id)
