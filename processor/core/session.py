"""What a record does to its user's sessions: `step`, and what messages cause.

`decide` says what happens and changes nothing; `evolve` (memory.py) changes state and decides nothing; `step` is the
two together, the short way (plain.py) where nothing is special. What commands cause is in commands.py, what time causes
in deadlines.py; both and messages share boundaries.py and limits.py. The rules R1 to R16 are in docs/sessions.md; each
branch names its own.
"""

from typing import NamedTuple

from processor.core.boundaries import close_current, end_session, ended_by_silence, start_session
from processor.core.commands import decide_command
from processor.core.limits import forget_after_ms, limits, silence_deadline_ms, too_long
from processor.core.memory import evolve, has_seen, newest_end_ms, newest_event_ms, observe, session_of, with_message
from processor.core.model import (
    Ended,
    EndReason,
    Erase,
    Erased,
    Event,
    Flag,
    Forgotten,
    Message,
    PolicySet,
    Record,
    Reopened,
    Rules,
    Session,
    Started,
    StartReason,
    Tagged,
    UserState,
)
from processor.core.plain import step_plain


class _Arrival(NamedTuple):
    """A message as the rules see it."""

    message: Message
    at_ms: int  # its event time, bounded by rule R10
    flags: int  # what is odd about it wherever it belongs
    passive: bool  # rule R15


def step(
    state: UserState | None, record: Record, offset: int, rules: Rules
) -> tuple[UserState | None, tuple[Event, ...]]:
    """Return the user's state after `record`, which is at `offset` in its partition, and what it caused, oldest first.

    The offset decides nothing, the state only keeps it. The pair is a function of the arguments alone: processing the
    log again gives the same states and events.
    """
    if type(record) is Message:
        stepped = step_plain(state, record, offset, rules)
        if stepped is not None:
            return stepped
    events = decide(state, record, rules)
    for event in events:
        state = evolve(state, event)
    return observe(state, record, offset), events


def decide(state: UserState | None, record: Record, rules: Rules) -> tuple[Event, ...]:
    """Return what `record` causes, oldest first: boundaries if any, then its `Tagged` or the command's outcome.

    Args:
        state: what is remembered of the record's user; None when nothing is.
        record: the user's next record, in offset order.
        rules: the settings in force.
    """
    if isinstance(record, Erase):  # R14: whatever there is.
        return (Erased(),)
    if state is not None and record.append_ms - state.last_append_ms > rules.late_horizon_ms:
        # R14: who comes back after the late horizon is forgotten first, then met as anybody else.
        before = _forgetting(state, record.append_ms, rules)
        for event in before:
            state = evolve(state, event)
        if before:
            return before + decide(state, record, rules)
    if isinstance(record, Message):
        return _decide_message(state, record, rules)
    return decide_command(state, record, rules)


def _forgetting(state: UserState, append_ms: int, rules: Rules) -> tuple[Event, ...]:
    """Return the events of a user who comes back after the late horizon; empty when it has not passed."""
    after_ms = forget_after_ms(state, rules)
    if after_ms is None or append_ms <= after_ms:
        return ()
    ended = ended_by_silence(state, rules, at_ms=append_ms)
    return (Forgotten(),) if ended is None else (ended, Forgotten())


def _decide_message(state: UserState | None, message: Message, rules: Rules) -> tuple[Event, ...]:
    at_ms, flags = message.timestamp_ms, message.flags
    if at_ms > message.append_ms + rules.skew_ms:  # R10: a wrong clock counts as the append time.
        at_ms, flags = message.append_ms, flags | Flag.CLOCK_SKEW
    if state is not None and has_seen(state.recent, message.content_hash):  # R11: a repeat is tagged all the same.
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
        if home is not None:  # R5: it comes late, and a closed session holds it.
            return _join_closed(home, arrival)
        if late:  # R5: it comes late, and no session holds it.
            return _alone(state, arrival, rules, late=True)
    deadline_ms, _ = silence_deadline_ms(state, session, rules)
    if at_ms <= deadline_ms and (passive or not too_long(session, at_ms, max_ms)):
        return _join_current(session, arrival)  # R1: no longer than the gap after the last activity.
    if passive:  # R15: it neither opens nor ends a session.
        return (_no_session(arrival),)
    # R1, R2, R3: silence or length has ended the session, and the message opens the next one.
    return close_current(state, at_ms, rules) + _opening(state, arrival, StartReason.MESSAGE, rules)


def _join_current(session: Session, arrival: _Arrival) -> tuple[Event, ...]:
    # R8: what comes in a pause is tagged, and says so.
    while_paused = session.paused_at_ms is not None and arrival.at_ms >= session.paused_at_ms
    tagged = _next_tagged(session, arrival, Flag.WHILE_PAUSED if while_paused else 0)
    if session.end_ms is None:  # R1: it goes on.
        return (tagged,)
    if arrival.passive:  # R15: it does not bring the session back to life, but the announced end must count it.
        return tagged, _end_again(session, tagged)
    # R4: the clock has announced the end, and a message within the gap takes it back.
    return Reopened(session.session_id, session.start_ms, arrival.at_ms, session.ends - 1), tagged


def _without_current(state: UserState, arrival: _Arrival, rules: Rules) -> tuple[Event, ...]:
    late = arrival.at_ms < newest_end_ms(state, arrival.at_ms)
    home = _closed_home(state, arrival, rules, late=late or arrival.passive)
    if home is not None:  # R5, R15: a closed session holds what comes late or is passive.
        return _join_closed(home, arrival)
    return _alone(state, arrival, rules, late=late)  # R1, R5: it opens a session, or has one of its own.


def _closed_home(state: UserState, arrival: _Arrival, rules: Rules, *, late: bool) -> Session | None:
    """Return the closed session that a message belongs to although it comes late (rules R5 and R9, ADR 0002).

    In this order: one whose span holds it; the one it claims, if its span widened by the gap holds it; if it is
    `late`, one whose widened span holds it. Of several the one that started last. Activity outside a session's span
    must not make it longer than the maximum (rule R2).
    """
    at_ms = arrival.at_ms
    newest_ms = max(at_ms, newest_event_ms(state))
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
    if arrival.passive:  # R15: it opens none.
        return (_no_session(arrival),)
    if not late:  # R1: it opens the user's next session.
        return _opening(state, arrival, StartReason.MESSAGE, rules)
    # R5: its own session starts and ends at once.
    started, tagged = _opening(state, arrival, StartReason.LATE, rules)
    session = with_message(session_of(started), tagged)
    return started, tagged, end_session(session, arrival.at_ms, EndReason.LATE, arrival.at_ms)


def _opening(state: UserState | None, arrival: _Arrival, reason: StartReason, rules: Rules) -> tuple[Started, Tagged]:
    started = start_session(state, arrival.message, arrival.at_ms, reason, rules)
    return started, _tagged(started.session_id, 1, started.start_ms, arrival)


def _next_tagged(session: Session, arrival: _Arrival, flags: int) -> Tagged:
    return _tagged(session.session_id, session.messages + 1, session.start_ms, arrival, flags)


def _tagged(sid: str, seq: int, start_ms: int, arrival: _Arrival, flags: int = 0) -> Tagged:
    message, at_ms, noticed, passive = arrival
    claim = message.claimed_session_id
    if claim is not None and claim != sid:  # R9: ours wins, the claim is kept.
        flags |= Flag.SESSION_MISMATCH
    return Tagged(sid, seq, start_ms, noticed | flags, at_ms, message.content_hash, not passive)


def _no_session(arrival: _Arrival) -> Tagged:
    flags = arrival.flags | Flag.NO_SESSION
    if arrival.message.claimed_session_id is not None:
        flags |= Flag.SESSION_MISMATCH
    return Tagged(None, 0, 0, flags, arrival.at_ms, arrival.message.content_hash, False)


def _end_again(session: Session, tagged: Tagged) -> Ended:
    """Return the end of an ended `session` that `tagged` was added to (rule R5)."""
    assert session.end_ms is not None
    assert session.end_reason is not None
    end_ms = max(session.end_ms, tagged.at_ms) if tagged.active else session.end_ms
    return end_session(with_message(session, tagged), end_ms, session.end_reason, tagged.at_ms)
