"""What a record does to its user's sessions: all that affects a transition is here and nowhere else.

`decide` says what happens and changes nothing; `evolve` changes state and decides nothing; `step` is the two together.
The rules R1 to R16 are in docs/sessions.md.
"""

from hashlib import sha256
from operator import attrgetter
from typing import NamedTuple, assert_never

from processor.core.ids import belongs_to, session_id
from processor.core.model import (
    FINGERPRINT_BYTES,
    RECENT_RECORDS_MAX,
    RECENT_SESSIONS_MAX,
    Command,
    CommandName,
    Ended,
    EndReason,
    Event,
    Flag,
    Forgotten,
    Message,
    Noted,
    Paused,
    Policy,
    PolicySet,
    Record,
    RejectCode,
    Rejected,
    Reopened,
    Resumed,
    Rules,
    Session,
    Started,
    StartReason,
    Tagged,
    Unchanged,
    UserState,
)

_RECENT_BYTES_MAX = RECENT_RECORDS_MAX * FINGERPRINT_BYTES
_NO_POLICY = Policy()
_START_MS = attrgetter("start_ms")
_TOUCHED_MS = attrgetter("touched_ms")
_new = tuple.__new__
_SILENCE = (EndReason.TIMEOUT, EndReason.PAUSE_TIMEOUT)
_NOTES = (CommandName.NOTE, CommandName.CONTEXT, CommandName.STEP, CommandName.STATUS)


class _Arrival(NamedTuple):
    """A message as the rules see it."""

    message: Message
    at_ms: int  # its event time, bounded by rule R10
    flags: int  # what is odd about it wherever it belongs
    passive: bool  # rule R15


def step(state: UserState | None, record: Record, rules: Rules) -> tuple[UserState | None, tuple[Event, ...]]:
    """Return the user's state after `record`, and what it caused, oldest first.

    The pair is a function of the arguments alone: processing the log again gives the same states and events.
    """
    if type(record) is Message:
        stepped = _step_first(record, rules) if state is None else _step_plain(state, record, rules)
        if stepped is not None:
            return stepped
    events = decide(state, record, rules)
    for event in events:
        state = evolve(state, event)
    return observe(state, record), events


def _step_plain(state: UserState, message: Message, rules: Rules) -> tuple[UserState, tuple[Event, ...]] | None:
    """Return what `step` returns, in half the time, of a message inside an open session; None if anything is special.

    Nearly all messages are so. It takes no decision of its own: tests/core proves that `decide`, `evolve` and `observe`
    give the same. `tuple.__new__` makes a `NamedTuple` without the call in between.
    """
    current, closed, recent, policy, last_append_ms, _ = state
    _, _, at_ms, append_ms, content_hash, source, claim, flags, encoding, new_policy = message
    if current is None or policy is not None or new_policy is not None or source in rules.passive_sources:
        return None
    sid, start_ms, last_ms, count, digest, template, paused_at_ms, paused_ms, end_ms, reason, ends, touched_ms = current
    if (
        paused_at_ms is not None
        or end_ms is not None
        or template is not None
        or not start_ms <= at_ms <= append_ms + rules.skew_ms
        or at_ms - last_ms > rules.gap_ms
        or (at_ms - start_ms > rules.max_session_ms and at_ms > last_ms)
        or append_ms - last_append_ms > rules.late_horizon_ms
    ):
        return None
    fingerprint = content_hash[:FINGERPRINT_BYTES]
    if recent.find(fingerprint) >= 0 and _seen(recent, content_hash):  # Seldom so: the call is saved.
        flags |= Flag.DUPLICATE
    if claim is not None and claim != sid:
        flags |= Flag.SESSION_MISMATCH
    if at_ms > last_ms:
        last_ms = at_ms
    count += 1
    digest = sha256(digest + content_hash).digest()
    current = _new(
        Session,
        (sid, start_ms, last_ms, count, digest, None, None, paused_ms, None, reason, ends, touched_ms),
    )
    recent = (recent + fingerprint)[-_RECENT_BYTES_MAX:]
    if append_ms > last_append_ms:
        last_append_ms = append_ms
    tagged = _new(Tagged, (sid, count, start_ms, flags, at_ms, content_hash, True))
    return _new(UserState, (current, closed, recent, None, last_append_ms, encoding)), (tagged,)


def _step_first(message: Message, rules: Rules) -> tuple[UserState, tuple[Event, ...]] | None:
    """Return what `step` returns, in a third of the time, of the first message of a user; None if anything is special.

    With many users that come and go most messages that are not plain are so. It too takes no decision of its own.
    """
    user_id, record_id, at_ms, append_ms, content_hash, source, claim, flags, encoding, policy = message
    if policy is not None or source in rules.passive_sources or at_ms > append_ms + rules.skew_ms:
        return None
    sid = session_id(user_id, at_ms, record_id, rules.id_format)
    if claim is not None and claim != sid:
        flags |= Flag.SESSION_MISMATCH
    digest = sha256(sha256(sid.encode()).digest() + content_hash).digest()
    session = _new(Session, (sid, at_ms, at_ms, 1, digest, None, None, 0, None, None, 0, 0))
    started = _new(Started, (sid, at_ms, StartReason.MESSAGE, None, at_ms - rules.late_horizon_ms, None))
    tagged = _new(Tagged, (sid, 1, at_ms, flags, at_ms, content_hash, True))
    state = _new(UserState, (session, (), content_hash[:FINGERPRINT_BYTES], None, max(0, append_ms), encoding))
    return state, (started, tagged)


def decide(state: UserState | None, record: Record, rules: Rules) -> tuple[Event, ...]:
    """Return what `record` causes, oldest first: boundaries if any, then its `Tagged` or the command's outcome.

    Args:
        state: what is remembered of the record's user; None when nothing is.
        record: the user's next record, in offset order.
        rules: the settings in force.
    """
    if state is not None and record.append_ms - state.last_append_ms > rules.late_horizon_ms:
        before = _forgetting(state, record.append_ms, rules)
        for event in before:
            state = evolve(state, event)
        if before:
            return before + decide(state, record, rules)
    if isinstance(record, Message):
        return _decide_message(state, record, rules)
    return _decide_command(state, record, rules)


def evolve(state: UserState | None, event: Event) -> UserState | None:
    """Return the state after `event`; None when nothing is left to remember."""
    if isinstance(event, Tagged):
        return _evolve_tagged(state, event)
    match event:
        case Started():
            return _evolve_started(state, event)
        case PolicySet():
            return _evolve_policy(state, event.policy)
        case Forgotten():
            assert state is not None
            return None if state.policy is None else UserState(None, (), b"", state.policy, 0, 0)
        case Rejected():
            return state
        case Ended():
            return _evolve_ended(state, event)
    assert state is not None
    assert state.current is not None
    session = state.current
    match event:
        case Reopened():
            session = session._replace(end_ms=None, end_reason=None)
        case Paused():
            session = session._replace(paused_at_ms=event.at_ms)
        case Resumed():
            session = session._replace(paused_at_ms=None, paused_total_ms=session.paused_total_ms + event.paused_ms)
        case Noted() | Unchanged():
            pass
        case _:  # pragma: no cover
            assert_never(event)
    return state._replace(current=session._replace(last_ms=max(session.last_ms, event.at_ms)))


def observe(state: UserState | None, record: Record) -> UserState | None:
    """Return `state` with the arrival of `record` noted; a user with neither session nor policy is not remembered."""
    if state is None:
        return None
    current, closed, recent, policy, last_append_ms, _ = state
    recent = (recent + record.content_hash[:FINGERPRINT_BYTES])[-_RECENT_BYTES_MAX:]
    if record.append_ms > last_append_ms:
        last_append_ms = record.append_ms
    return UserState(current, closed, recent, policy, last_append_ms, record.encoding)


def limits(state: UserState, session: Session | None, rules: Rules) -> tuple[int, int, int]:
    """Return the gap, the maximum length and the pause's time-out that hold for `session`, ms.

    The session's template goes first, then the user's policy, then the template that it names, then the configuration.
    """
    policy = state.policy
    template = None if session is None else session.template
    if policy is None and template is None:
        return rules.gap_ms, rules.max_session_ms, rules.pause_ms
    policy = policy or _NO_POLICY
    layers = [policy, rules.templates.get(policy.template or "", _NO_POLICY)]
    if template is not None:
        layers.insert(0, rules.templates.get(template, _NO_POLICY))
    return (
        next((layer.gap_ms for layer in layers if layer.gap_ms is not None), rules.gap_ms),
        next((layer.max_session_ms for layer in layers if layer.max_session_ms is not None), rules.max_session_ms),
        next((layer.pause_ms for layer in layers if layer.pause_ms is not None), rules.pause_ms),
    )


def silence_deadline_ms(state: UserState, session: Session, rules: Rules) -> tuple[int, EndReason]:
    """Return the last event time that is still inside `session`, and why it ends after that."""
    gap_ms, _, pause_ms = limits(state, session, rules)
    if session.paused_at_ms is not None:
        # A policy may have shortened the pause since; what lies inside the session's span stays inside.
        return max(session.paused_at_ms + pause_ms, session.last_ms), EndReason.PAUSE_TIMEOUT
    return session.last_ms + gap_ms, EndReason.TIMEOUT


def _too_long(session: Session, at_ms: int, max_ms: int) -> bool:
    """Whether activity at `at_ms` would make `session` longer than it may be; inside its span it never does."""
    return at_ms > session.last_ms and at_ms - session.start_ms > max_ms


def forget_after_ms(state: UserState, rules: Rules) -> int | None:
    """Return the append time after which the user's sessions are forgotten (rule R14); None when there are none."""
    if state.current is not None:
        ended_ms, _ = silence_deadline_ms(state, state.current, rules)
    elif state.closed:
        ended_ms = _newest_end_ms(state, 0)
    else:
        return None
    return max(state.last_append_ms, ended_ms) + rules.late_horizon_ms


def ended_by_silence(state: UserState, rules: Rules, *, at_ms: int) -> Ended | None:
    """Return the end of the current session at its last activity, noticed at `at_ms`; None when it was told before."""
    session = state.current
    if session is None or session.end_ms is not None:
        return None
    _, reason = silence_deadline_ms(state, session, rules)
    return _end(session, session.last_ms, reason, at_ms)


def _forgetting(state: UserState, append_ms: int, rules: Rules) -> tuple[Event, ...]:
    """Return the events of a user who comes back after the late horizon; empty when it has not passed."""
    after_ms = forget_after_ms(state, rules)
    if after_ms is None or append_ms <= after_ms:
        return ()
    ended = ended_by_silence(state, rules, at_ms=append_ms)
    return (Forgotten(),) if ended is None else (ended, Forgotten())


def _decide_message(state: UserState | None, message: Message, rules: Rules) -> tuple[Event, ...]:
    at_ms, flags = message.timestamp_ms, message.flags
    if at_ms > message.append_ms + rules.skew_ms:
        at_ms, flags = message.append_ms, flags | Flag.CLOCK_SKEW
    if state is not None and _seen(state.recent, message.content_hash):
        flags |= Flag.DUPLICATE
    arrival = _Arrival(message, at_ms, flags, message.source in rules.passive_sources)
    if state is None:
        caused = _alone(None, arrival, rules)
    elif state.current is None:
        caused = _without_current(state, arrival, rules)
    else:
        caused = _with_current(state, state.current, arrival, rules)
    return caused if message.policy is None else (*caused, PolicySet(message.policy))


def _with_current(state: UserState, session: Session, arrival: _Arrival, rules: Rules) -> tuple[Event, ...]:
    at_ms, passive = arrival.at_ms, arrival.passive
    gap_ms, max_ms, _ = limits(state, session, rules)
    if at_ms < session.start_ms:
        late = at_ms < session.start_ms - gap_ms
        home = _closed_home(state, arrival, rules, late=late)
        if home is not None:
            return _join_closed(home, arrival)
        if late:
            return _alone(state, arrival, rules, late=True)
    deadline_ms, _ = silence_deadline_ms(state, session, rules)
    if at_ms <= deadline_ms and (passive or not _too_long(session, at_ms, max_ms)):
        return _join_current(session, arrival)
    if passive:
        return (_no_session(arrival),)
    return _close_current(state, at_ms, rules) + _opening(state, arrival, StartReason.MESSAGE, rules)


def _join_current(session: Session, arrival: _Arrival) -> tuple[Event, ...]:
    while_paused = session.paused_at_ms is not None and arrival.at_ms >= session.paused_at_ms
    tagged = _next_tagged(session, arrival, Flag.WHILE_PAUSED if while_paused else 0)
    if session.end_ms is None:
        return (tagged,)
    if arrival.passive:  # It does not bring the session back to life, but the announced end must count it.
        return tagged, _end_again(session, tagged)
    return Reopened(session.session_id, session.start_ms, arrival.at_ms, session.ends - 1), tagged


def _without_current(state: UserState, arrival: _Arrival, rules: Rules) -> tuple[Event, ...]:
    late = arrival.at_ms < _newest_end_ms(state, arrival.at_ms)
    home = _closed_home(state, arrival, rules, late=late or arrival.passive)
    if home is not None:
        return _join_closed(home, arrival)
    return _alone(state, arrival, rules, late=late)


def _closed_home(state: UserState, arrival: _Arrival, rules: Rules, *, late: bool) -> Session | None:
    """Return the closed session that a message belongs to although it comes late (rules R5 and R9, ADR 0002).

    In this order: one whose span holds it; the one it claims, if its span widened by the gap holds it; if it is
    `late`, one whose widened span holds it. Of several the one that started last. Activity outside a session's span
    must not make it longer than the maximum (rule R2).
    """
    at_ms = arrival.at_ms
    newest_ms = max(at_ms, _newest_ms(state))
    claimed = widened = None
    for session in reversed(state.closed):
        end_ms = session.end_ms
        assert end_ms is not None
        if newest_ms - session.touched_ms > rules.late_horizon_ms:
            continue
        if session.start_ms <= at_ms <= end_ms:
            return session
        gap_ms, max_ms, _ = limits(state, session, rules)
        within = session.start_ms - gap_ms <= at_ms <= end_ms + gap_ms
        if within and (arrival.passive or at_ms - session.start_ms <= max_ms):
            if claimed is None and arrival.message.claimed_session_id == session.session_id:
                claimed = session
            if widened is None and late:
                widened = session
    return claimed or widened


def _join_closed(session: Session, arrival: _Arrival) -> tuple[Event, ...]:
    tagged = _next_tagged(session, arrival, Flag.LATE)
    return tagged, _end_again(session, tagged)


def _alone(state: UserState | None, arrival: _Arrival, rules: Rules, *, late: bool = False) -> tuple[Event, ...]:
    """Return what a message causes that belongs to no session there is: one of its own, or none if it is passive."""
    if late:
        arrival = arrival._replace(flags=arrival.flags | Flag.LATE)
    if arrival.passive:
        return (_no_session(arrival),)
    if not late:
        return _opening(state, arrival, StartReason.MESSAGE, rules)
    started, tagged = _opening(state, arrival, StartReason.LATE, rules)
    session = _with(_session_of(started), tagged)
    return started, tagged, _end(session, arrival.at_ms, EndReason.LATE, arrival.at_ms)


def _opening(state: UserState | None, arrival: _Arrival, reason: StartReason, rules: Rules) -> tuple[Started, Tagged]:
    started = _start(state, arrival.message, arrival.at_ms, reason, rules)
    return started, _tagged(started.session_id, 1, started.start_ms, arrival)


def _start(state: UserState | None, record: Record, start_ms: int, reason: StartReason, rules: Rules) -> Started:
    newest_ms = start_ms if state is None else max(start_ms, _newest_ms(state))
    return Started(
        _unused_id(state, record, start_ms, rules),
        start_ms,
        reason,
        _previous_id(state, start_ms),
        newest_ms - rules.late_horizon_ms,
        record if isinstance(record, Command) else None,
    )


def _newest_ms(state: UserState) -> int:
    """Return the user's newest event time so far."""
    newest_ms = state.current.last_ms if state.current is not None else 0
    return max(newest_ms, max(map(_TOUCHED_MS, state.closed), default=0))


def _newest_end_ms(state: UserState, default_ms: int) -> int:
    return max((session.end_ms or 0 for session in state.closed), default=default_ms)


def _remembered(state: UserState | None) -> tuple[Session, ...]:
    if state is None:
        return ()
    return state.closed if state.current is None else (*state.closed, state.current)


def _unused_id(state: UserState | None, record: Record, start_ms: int, rules: Rules) -> str:
    """Return the id of the session that `record` opens, one that no remembered session has.

    Modules copy `record_id` and timestamp from their input, so two records of a user can have both in common.
    """
    taken = [session.session_id for session in _remembered(state)]
    repeat = 0
    while (candidate := session_id(record.user_id, start_ms, record.record_id, rules.id_format, repeat)) in taken:
        repeat += 1  # Ends at the latest when every remembered session was met.
    return candidate


def _previous_id(state: UserState | None, start_ms: int) -> str | None:
    """Return the id of the remembered session that started last before one that starts at `start_ms`."""
    latest: Session | None = None
    for session in _remembered(state):
        if session.start_ms <= start_ms and (latest is None or session.start_ms >= latest.start_ms):
            latest = session
    return None if latest is None else latest.session_id


def _next_tagged(session: Session, arrival: _Arrival, flags: int = 0) -> Tagged:
    return _tagged(session.session_id, session.count + 1, session.start_ms, arrival, flags)


def _tagged(sid: str, seq: int, start_ms: int, arrival: _Arrival, flags: int = 0) -> Tagged:
    message, at_ms, noticed, passive = arrival
    claim = message.claimed_session_id
    if claim is not None and claim != sid:
        flags |= Flag.SESSION_MISMATCH
    return Tagged(sid, seq, start_ms, noticed | flags, at_ms, message.content_hash, not passive)


def _no_session(arrival: _Arrival) -> Tagged:
    flags = arrival.flags | Flag.NO_SESSION
    if arrival.message.claimed_session_id is not None:
        flags |= Flag.SESSION_MISMATCH
    return Tagged(None, 0, 0, flags, arrival.at_ms, arrival.message.content_hash, False)


def _close_current(state: UserState, at_ms: int, rules: Rules) -> tuple[Event, ...]:
    """Return the end of the current session, noticed because of a record at `at_ms`; empty when it was told before.

    When the clock told of silence, but what ends the session is its length, the end is told again with that reason: the
    last word on an end does not depend on the clock.
    """
    session = state.current
    assert session is not None
    deadline_ms, reason = silence_deadline_ms(state, session, rules)
    if at_ms <= deadline_ms:
        reason = EndReason.MAX_DURATION
    if session.end_reason is reason:
        return ()
    return (_end(session, session.last_ms, reason, at_ms),)


def _end(session: Session, end_ms: int, reason: EndReason, at_ms: int, command: Command | None = None) -> Ended:
    paused_ms = session.paused_total_ms
    if session.paused_at_ms is not None:
        paused_ms += max(0, end_ms - session.paused_at_ms)
    return Ended(
        session.session_id,
        session.start_ms,
        end_ms,
        reason,
        session.ends,
        session.count,
        session.digest,
        paused_ms,
        at_ms,
        command,
    )


def _end_again(session: Session, tagged: Tagged) -> Ended:
    """Return the end of an ended `session` that `tagged` was added to (rule R5)."""
    assert session.end_ms is not None
    assert session.end_reason is not None
    end_ms = max(session.end_ms, tagged.at_ms) if tagged.active else session.end_ms
    return _end(_with(session, tagged), end_ms, session.end_reason, tagged.at_ms)


def _seen(recent: bytes, content_hash: bytes) -> bool:
    """Whether the fingerprint of `content_hash` is among the whole fingerprints in `recent`."""
    fingerprint = content_hash[:FINGERPRINT_BYTES]
    found = recent.find(fingerprint)
    while found > 0 and found % FINGERPRINT_BYTES:
        found = recent.find(fingerprint, found + 1)
    return found >= 0


def _decide_command(state: UserState | None, command: Command, rules: Rules) -> tuple[Event, ...]:
    at_ms = command.timestamp_ms
    if at_ms > command.append_ms + rules.skew_ms:
        at_ms = command.append_ms
    seen = state is not None and _seen(state.recent, command.content_hash)
    starts = command.name is CommandName.START
    if state is None or state.current is None:
        if not starts:
            return (_rejected(state, command, at_ms),)
        if seen:
            return (Rejected(None, at_ms, RejectCode.ALREADY_CLOSED, command),)
        # However old the command, it opens a session now, and that must not overlap an earlier one.
        start_ms = at_ms if state is None else max(at_ms, _newest_end_ms(state, at_ms))
        return (_start(state, command, start_ms, StartReason.COMMAND, rules),)

    session = state.current
    deadline_ms, _ = silence_deadline_ms(state, session, rules)
    _, max_ms, _ = limits(state, session, rules)
    if at_ms > deadline_ms or (starts and not seen and _too_long(session, at_ms, max_ms)):
        ending = _close_current(state, at_ms, rules)
        if not starts:
            return (*ending, _rejected(state, command, at_ms, timed_out=True))
        if seen:
            return (*ending, Rejected(None, at_ms, RejectCode.ALREADY_CLOSED, command))
        return (*ending, _start(state, command, at_ms, StartReason.COMMAND, rules))
    if not starts and command.session_id not in (None, session.session_id):
        return (_rejected(state, command, at_ms),)
    return _command_current(state, session, command, at_ms, seen=seen, rules=rules)


def _command_current(
    state: UserState, session: Session, command: Command, at_ms: int, *, seen: bool, rules: Rules
) -> tuple[Event, ...]:
    """Return what a command does to the current `session`; however old it is, it acts after the last activity."""
    now_ms = max(at_ms, session.last_ms)
    unchanged = "duplicate" if seen else _nothing_to_do(session, command)
    if unchanged is None and command.name is CommandName.START:
        superseded = _end(session, session.last_ms, EndReason.SUPERSEDED, at_ms)
        return superseded, _start(state, command, now_ms, StartReason.COMMAND, rules)
    if unchanged is None and command.name is CommandName.END:
        return (_end(session, now_ms, EndReason.COMMAND, at_ms, command),)
    outcome = _outcome(session, command, now_ms, unchanged)
    if session.end_ms is None:
        return (outcome,)
    return Reopened(session.session_id, session.start_ms, at_ms, session.ends - 1), outcome


def _nothing_to_do(session: Session, command: Command) -> str | None:
    match command.name:
        case CommandName.START:
            return None if command.force_new else "already_active"
        case CommandName.PAUSE:
            return "already_paused" if session.paused_at_ms is not None else None
        case CommandName.RESUME:
            return None if session.paused_at_ms is not None else "not_paused"
        case _:
            return None


def _outcome(session: Session, command: Command, now_ms: int, unchanged: str | None) -> Event:
    if unchanged is not None:
        return Unchanged(session.session_id, session.start_ms, now_ms, unchanged, command)
    if command.name is CommandName.PAUSE:
        return Paused(session.session_id, session.start_ms, now_ms, command)
    if command.name is CommandName.RESUME:
        assert session.paused_at_ms is not None
        paused_ms = max(0, now_ms - session.paused_at_ms)
        return Resumed(session.session_id, session.start_ms, now_ms, paused_ms, command)
    assert command.name in _NOTES
    return Noted(session.session_id, session.start_ms, now_ms, command)


def _rejected(state: UserState | None, command: Command, at_ms: int, *, timed_out: bool = False) -> Rejected:
    named = command.session_id
    closed_ids = {session.session_id for session in state.closed} if state is not None else set()
    if timed_out and state is not None and state.current is not None:
        closed_ids.add(state.current.session_id)
    if named in closed_ids:
        code = RejectCode.ALREADY_CLOSED
    elif named is not None and not belongs_to(named, command.user_id):
        code = RejectCode.USER_MISMATCH
    else:
        code = RejectCode.NOT_FOUND
    return Rejected(named, at_ms, code, command)


def _session_of(started: Started) -> Session:
    return Session(
        started.session_id,
        started.start_ms,
        started.start_ms,
        0,
        sha256(started.session_id.encode()).digest(),
        started.command.template if started.command is not None else None,
    )


def _with(session: Session, tagged: Tagged) -> Session:
    """Return `session` with one more message."""
    sid, start_ms, last_ms, count, digest, template, paused_at, paused_ms, end_ms, reason, ends, touched_ms = session
    if tagged.active and tagged.at_ms > last_ms:
        last_ms = tagged.at_ms
    digest = sha256(digest + tagged.content_hash).digest()
    return Session(
        sid, start_ms, last_ms, count + 1, digest, template, paused_at, paused_ms, end_ms, reason, ends, touched_ms
    )


def _evolve_policy(state: UserState | None, policy: Policy) -> UserState | None:
    """Return `state` with the user's own limits replaced by `policy`; one without any limit takes them back."""
    kept = None if policy == _NO_POLICY else policy
    if state is None:
        return None if kept is None else UserState(None, (), b"", kept, 0, 0)
    if kept is None and state.current is None and not state.closed:
        return None
    return state._replace(policy=kept)


def _evolve_tagged(state: UserState | None, tagged: Tagged) -> UserState | None:
    if tagged.session_id is None:
        return state
    assert state is not None
    current, closed, recent, policy, last_append_ms, encoding = state
    if current is not None and current.session_id == tagged.session_id:
        return UserState(_with(current, tagged), closed, recent, policy, last_append_ms, encoding)
    newest_ms = max(tagged.at_ms, _newest_ms(state))
    closed = tuple(
        _with(session, tagged)._replace(touched_ms=newest_ms) if session.session_id == tagged.session_id else session
        for session in state.closed
    )
    assert closed != state.closed
    return state._replace(closed=closed)


def _evolve_started(state: UserState | None, started: Started) -> UserState:
    session = _session_of(started)
    if state is None:
        return UserState(session, (), b"", None, 0, 0)
    current, closed, recent, policy, last_append_ms, encoding = state
    if closed and min(map(_TOUCHED_MS, closed)) < started.keep_from_ms:
        closed = tuple(earlier for earlier in closed if earlier.touched_ms >= started.keep_from_ms)
    if started.reason is StartReason.LATE:
        return UserState(current, _recent(closed, session), recent, policy, last_append_ms, encoding)
    if current is not None:
        closed = _recent(closed, _touched(current))
    return UserState(session, closed, recent, policy, last_append_ms, encoding)


def _evolve_ended(state: UserState | None, ended: Ended) -> UserState:
    assert state is not None
    current = state.current
    if current is None or current.session_id != ended.session_id:
        closed = tuple(
            _marked(session, ended) if session.session_id == ended.session_id else session for session in state.closed
        )
        return state._replace(closed=closed)
    current = _marked(current, ended)
    if ended.reason in _SILENCE:  # A message within the gap may still come and reopen it.
        _, closed, recent, policy, last_append_ms, encoding = state
        return UserState(current, closed, recent, policy, last_append_ms, encoding)
    current = current._replace(
        last_ms=max(current.last_ms, ended.end_ms), paused_at_ms=None, paused_total_ms=ended.paused_ms
    )
    return state._replace(current=None, closed=_recent(state.closed, _touched(current)))


def _marked(session: Session, ended: Ended) -> Session:
    return Session(*session[:8], ended.end_ms, ended.reason, ended.revision + 1, session.touched_ms)


def _touched(session: Session) -> Session:
    return Session(*session[:11], session.last_ms)


def _recent(closed: tuple[Session, ...], newcomer: Session) -> tuple[Session, ...]:
    """Return the sessions that late messages can still join, oldest start first: `newcomer` and those touched last."""
    if not closed:
        return (newcomer,)
    if len(closed) >= RECENT_SESSIONS_MAX:
        forsaken = min(closed, key=_TOUCHED_MS)
        closed = tuple(session for session in closed if session is not forsaken)
    return tuple(sorted((*closed, newcomer), key=_START_MS))
