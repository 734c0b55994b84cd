"""What a record does to its user's sessions: all that affects a transition is here and nowhere else.

`decide` says what happens and changes nothing; `evolve` changes state and decides nothing; `step` is the two together.
The rules R1 to R16 are in docs/sessions.md.
"""

from hashlib import sha256
from typing import assert_never

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
    Rejected,
    RejectCode,
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
_NOTES = (CommandName.NOTE, CommandName.CONTEXT, CommandName.STEP, CommandName.STATUS)


def step(state: UserState | None, record: Record, rules: Rules) -> tuple[UserState | None, tuple[Event, ...]]:
    """Return the user's state after `record`, and what it caused, oldest first.

    The pair is a function of the arguments alone: processing the log again gives the same states and events.
    """
    events = decide(state, record, rules)
    for event in events:
        state = evolve(state, event)
    return observe(state, record), events


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
            if state is None:
                return UserState(None, (), b"", event.policy, 0, 0)
            return state._replace(policy=event.policy)
        case Forgotten():
            assert state is not None
            return None if state.policy is None else UserState(None, (), b"", state.policy, 0, 0)
        case Rejected():
            return state
        case Ended():
            return _evolve_ended(state, event)
    assert state is not None and state.current is not None
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
    recent += record.content_hash[:FINGERPRINT_BYTES]
    if record.append_ms > last_append_ms:
        last_append_ms = record.append_ms
    return UserState(current, closed, recent[-_RECENT_BYTES_MAX:], policy, last_append_ms, record.encoding)


def limits(state: UserState, session: Session | None, rules: Rules) -> tuple[int, int, int]:
    """Return the gap, the maximum length and the pause's time-out that hold for `session`, ms.

    The session's template goes before the user's policy (and the template that it names), that before the configuration.
    """
    policy = state.policy
    template = session.template if session is not None else None
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
        return session.paused_at_ms + pause_ms, EndReason.PAUSE_TIMEOUT
    return session.last_ms + gap_ms, EndReason.TIMEOUT


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
    """Return the end of the current session at its last activity, noticed at `at_ms`; None when that was told before."""
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
    policy = () if message.policy is None else (PolicySet(message.policy),)
    passive = message.source in rules.passive_sources
    if state is None:
        return _alone(None, message, at_ms, flags, passive, rules) + policy
    if _seen(state.recent, message.content_hash):
        flags |= Flag.DUPLICATE
    session = state.current
    if session is None:
        return _without_current(state, message, at_ms, flags, passive, rules) + policy

    gap_ms, max_ms, pause_ms = limits(state, session, rules)
    if at_ms < session.start_ms:
        home = _closed_home(state, message, at_ms, rules, open_gap_ms=gap_ms)
        if home is not None:
            return _join_closed(home, message, at_ms, flags, not passive) + policy
        if at_ms < session.start_ms - gap_ms:
            return _alone(state, message, at_ms, flags | Flag.LATE, passive, rules, late=True) + policy
    if session.paused_at_ms is None:
        silent = at_ms - session.last_ms > gap_ms
    else:
        silent = at_ms - session.paused_at_ms > pause_ms
        flags |= Flag.WHILE_PAUSED
    if not silent and (passive or at_ms - session.start_ms <= max_ms):
        return _join_current(session, message, at_ms, flags, passive) + policy
    flags &= ~Flag.WHILE_PAUSED
    if passive:
        return (_no_session(message, at_ms, flags), *policy)
    return _close_current(state, at_ms, rules) + _opening(state, message, at_ms, flags, rules) + policy


def _join_current(session: Session, message: Message, at_ms: int, flags: int, passive: bool) -> tuple[Event, ...]:
    tagged = _tagged(session, message, at_ms, flags, not passive)
    if session.end_ms is None:
        return (tagged,)
    if passive:  # It does not bring the session back to life, but the announced end must count it.
        return tagged, _end_again(session, tagged)
    return Reopened(session.session_id, session.start_ms, at_ms), tagged


def _without_current(
    state: UserState, message: Message, at_ms: int, flags: int, passive: bool, rules: Rules
) -> tuple[Event, ...]:
    home = _closed_home(state, message, at_ms, rules, open_gap_ms=None, passive=passive)
    if home is not None:
        return _join_closed(home, message, at_ms, flags, not passive)
    late = at_ms < _newest_end_ms(state, at_ms)
    return _alone(state, message, at_ms, flags | (Flag.LATE if late else 0), passive, rules, late=late)


def _closed_home(
    state: UserState, message: Message, at_ms: int, rules: Rules, *, open_gap_ms: int | None, passive: bool = False
) -> Session | None:
    """Return the closed session that a message belongs to although it comes late (rules R5 and R9, ADR 0002).

    In this order: one whose span holds it; the one it claims, if its span widened by the gap holds it; one whose widened span
    holds it, unless the message is new activity rather than late. Of several the latest.

    Args:
        open_gap_ms: the gap of the current session, if there is one; within it, before that session's start, is not late.
        passive: whether the message opens no session, so that a later recent one must do.
    """
    newest_ms = max(at_ms, _newest_ms(state))
    if open_gap_ms is not None:
        assert state.current is not None
        late = at_ms < state.current.start_ms - open_gap_ms
    else:
        late = passive or at_ms < _newest_end_ms(state, at_ms)
    claimed = widened = None
    for session in reversed(state.closed):
        end_ms = session.end_ms
        assert end_ms is not None
        if newest_ms - session.touched_ms > rules.late_horizon_ms:
            continue
        if session.start_ms <= at_ms <= end_ms:
            return session
        gap_ms, _, _ = limits(state, session, rules)
        if session.start_ms - gap_ms <= at_ms <= end_ms + gap_ms:
            if claimed is None and message.claimed_session_id == session.session_id:
                claimed = session
            if widened is None and late:
                widened = session
    return claimed or widened


def _join_closed(session: Session, message: Message, at_ms: int, flags: int, active: bool) -> tuple[Event, ...]:
    tagged = _tagged(session, message, at_ms, flags | Flag.LATE, active)
    return tagged, _end_again(session, tagged)


def _alone(
    state: UserState | None, message: Message, at_ms: int, flags: int, passive: bool, rules: Rules, late: bool = False
) -> tuple[Event, ...]:
    """Return what a message causes that belongs to no session there is: one of its own, or none if it is passive."""
    if passive:
        return (_no_session(message, at_ms, flags),)
    if not late:
        return _opening(state, message, at_ms, flags, rules)
    started, tagged = _opening(state, message, at_ms, flags, rules, reason=StartReason.LATE)
    assert type(started) is Started and type(tagged) is Tagged
    session = _session_of(started)
    return started, tagged, _end(_with(session, tagged), at_ms, EndReason.LATE, at_ms)


def _opening(
    state: UserState | None,
    message: Message,
    at_ms: int,
    flags: int,
    rules: Rules,
    reason: StartReason = StartReason.MESSAGE,
) -> tuple[Event, Event]:
    started = _start(state, message, at_ms, reason, rules)
    return started, _tagged(_session_of(started), message, at_ms, flags, True)


def _start(state: UserState | None, record: Record, start_ms: int, reason: StartReason, rules: Rules) -> Started:
    newest_ms = start_ms if state is None else max(start_ms, _newest_ms(state))
    return Started(
        session_id(record.user_id, start_ms, record.record_id, rules.id_format),
        start_ms,
        reason,
        _previous_id(state),
        newest_ms - rules.late_horizon_ms,
        record if isinstance(record, Command) else None,
    )


def _newest_ms(state: UserState) -> int:
    """Return the user's newest event time so far."""
    newest_ms = state.current.last_ms if state.current is not None else 0
    return max(newest_ms, max((session.touched_ms for session in state.closed), default=0))


def _newest_end_ms(state: UserState, default_ms: int) -> int:
    return max((session.end_ms or 0 for session in state.closed), default=default_ms)


def _previous_id(state: UserState | None) -> str | None:
    if state is None:
        return None
    if state.current is not None:
        return state.current.session_id
    return state.closed[-1].session_id if state.closed else None


def _tagged(session: Session, message: Message, at_ms: int, flags: int, active: bool) -> Tagged:
    claim = message.claimed_session_id
    if claim is not None and claim != session.session_id:
        flags |= Flag.SESSION_MISMATCH
    return Tagged(
        session.session_id, session.count + 1, session.start_ms, flags, at_ms, message.content_hash, active
    )


def _no_session(message: Message, at_ms: int, flags: int) -> Tagged:
    if message.claimed_session_id is not None:
        flags |= Flag.SESSION_MISMATCH
    return Tagged(None, 0, 0, flags | Flag.NO_SESSION, at_ms, message.content_hash, False)


def _close_current(state: UserState, at_ms: int, rules: Rules) -> tuple[Event, ...]:
    """Return the end of the current session, noticed because of a record at `at_ms`; empty when it was told before."""
    session = state.current
    assert session is not None
    if session.end_ms is not None:
        return ()
    deadline_ms, reason = silence_deadline_ms(state, session, rules)
    if at_ms <= deadline_ms:
        reason = EndReason.MAX_DURATION
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
    assert session.end_ms is not None and session.end_reason is not None
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
    if state is None or state.current is None:
        if command.name is not CommandName.START:
            return (_rejected(state, command, at_ms),)
        if state is not None and _seen(state.recent, command.content_hash):
            return (Rejected(None, at_ms, RejectCode.ALREADY_CLOSED, command),)
        return (_start_by_command(state, command, at_ms, rules),)

    session = state.current
    deadline_ms, _ = silence_deadline_ms(state, session, rules)
    _, max_ms, _ = limits(state, session, rules)
    over = at_ms > deadline_ms
    if command.name is CommandName.START:
        over = over or at_ms - session.start_ms > max_ms
    if over:
        ending = _close_current(state, at_ms, rules)
        if command.name is CommandName.START:
            return (*ending, _start_by_command(state, command, at_ms, rules))
        return (*ending, _rejected(state, command, at_ms, timed_out=True))
    if command.name is not CommandName.START and command.session_id not in (None, session.session_id):
        return (_rejected(state, command, at_ms),)

    now_ms = max(at_ms, session.last_ms)
    seen = _seen(state.recent, command.content_hash)
    unchanged = "duplicate" if seen else _nothing_to_do(session, command)
    if unchanged is None and command.name is CommandName.END:
        return (_end(session, now_ms, EndReason.COMMAND, at_ms, command),)
    if unchanged is None and command.name is CommandName.START:
        ending = () if session.end_ms is not None else (_end(session, session.last_ms, EndReason.SUPERSEDED, at_ms),)
        return (*ending, _start_by_command(state, command, now_ms, rules))
    reopened: tuple[Event, ...] = ()
    if session.end_ms is not None:
        reopened = (Reopened(session.session_id, session.start_ms, at_ms),)
    return (*reopened, _outcome(session, command, now_ms, unchanged))


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


def _start_by_command(state: UserState | None, command: Command, start_ms: int, rules: Rules) -> Started:
    return _start(state, command, start_ms, StartReason.COMMAND, rules)


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
    sid, start_ms, last_ms, count, digest, template, paused_at_ms, paused_total_ms, end_ms, reason, ends, touched = session
    if tagged.active and tagged.at_ms > last_ms:
        last_ms = tagged.at_ms
    digest = sha256(digest + tagged.content_hash).digest()
    return Session(
        sid, start_ms, last_ms, count + 1, digest, template, paused_at_ms, paused_total_ms, end_ms, reason, ends, touched
    )


def _evolve_tagged(state: UserState | None, tagged: Tagged) -> UserState | None:
    if tagged.session_id is None:
        return state
    assert state is not None
    current, closed, recent, policy, last_append_ms, encoding = state
    if current is not None and current.session_id == tagged.session_id:
        current = _with(current, tagged)
    else:
        assert any(session.session_id == tagged.session_id for session in closed)
        newest_ms = max(tagged.at_ms, _newest_ms(state))
        closed = tuple(
            _with(session, tagged)._replace(touched_ms=newest_ms)
            if session.session_id == tagged.session_id
            else session
            for session in closed
        )
    return UserState(current, closed, recent, policy, last_append_ms, encoding)


def _evolve_started(state: UserState | None, started: Started) -> UserState:
    session = _session_of(started)
    if state is None:
        state = UserState(None, (), b"", None, 0, 0)
    if started.reason is StartReason.LATE:
        return state._replace(closed=_recent(state.closed, session, started.keep_from_ms))
    closed = state.closed
    if state.current is not None:
        closed = _recent(closed, _touched(state.current), started.keep_from_ms)
    return state._replace(current=session, closed=closed)


def _evolve_ended(state: UserState | None, ended: Ended) -> UserState:
    assert state is not None
    current = state.current
    marks = {"end_ms": ended.end_ms, "end_reason": ended.reason, "ends": ended.revision + 1}
    if current is None or current.session_id != ended.session_id:
        closed = tuple(
            session._replace(**marks) if session.session_id == ended.session_id else session
            for session in state.closed
        )
        return state._replace(closed=closed)
    current = current._replace(**marks)
    if ended.reason in (EndReason.TIMEOUT, EndReason.PAUSE_TIMEOUT):
        return state._replace(current=current)  # A message within the gap may still come and reopen it.
    current = current._replace(
        last_ms=max(current.last_ms, ended.end_ms), paused_at_ms=None, paused_total_ms=ended.paused_ms
    )
    return state._replace(current=None, closed=_recent(state.closed, _touched(current), 0))


def _touched(session: Session) -> Session:
    return session._replace(touched_ms=session.last_ms)


def _recent(closed: tuple[Session, ...], newcomer: Session, keep_from_ms: int) -> tuple[Session, ...]:
    """Return the sessions that late messages can still join, `newcomer` among them, oldest start first."""
    kept = [session for session in closed if session.touched_ms >= keep_from_ms][-(RECENT_SESSIONS_MAX - 1) :]
    return tuple(sorted((*kept, newcomer), key=lambda session: session.start_ms))
