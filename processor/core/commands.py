"""What a command causes: a boundary, a note, or its refusal (rule R7).

Which of these it is, is looked up in the table of transitions.py.
"""

from typing import assert_never

from processor.core.boundaries import close_current, end_session, start_session
from processor.core.ids import belongs_to
from processor.core.limits import limits, silence_deadline_ms, too_long
from processor.core.memory import has_seen, newest_end_ms
from processor.core.model import (
    Command,
    CommandName,
    EndReason,
    Event,
    Noted,
    Paused,
    RejectCode,
    Rejected,
    Reopened,
    Resumed,
    Rules,
    Session,
    StartReason,
    Unchanged,
    UserState,
)
from processor.core.transitions import Effect, effect_of


def decide_command(state: UserState | None, command: Command, rules: Rules) -> tuple[Event, ...]:
    """Return what `command` causes, oldest first; the last event is its outcome. Arguments as of `decide`."""
    at_ms = command.timestamp_ms
    if at_ms > command.append_ms + rules.skew_ms:  # R10: a wrong clock counts as the append time.
        at_ms = command.append_ms
    seen = state is not None and has_seen(state.recent, command.content_hash)
    if state is None or state.current is None:  # R7: with none open.
        return (_with_none_open(state, None, command, at_ms, seen=seen, rules=rules),)
    session = state.current
    starts = command.name is CommandName.START
    if _is_over(state, session, at_ms, may_start=starts and not seen, rules=rules):
        # R2, R3, R8: length, silence or a pause has ended the session; the command comes after that.
        ending = close_current(state, at_ms, rules)
        return (*ending, _with_none_open(state, session, command, at_ms, seen=seen, rules=rules))
    if not starts and command.session_id not in (None, session.session_id):  # R7: it names one that is not open.
        return (_rejected(state, None, command, at_ms),)
    return _with_open(state, session, command, at_ms, seen=seen, rules=rules)


def _is_over(state: UserState, session: Session, at_ms: int, *, may_start: bool, rules: Rules) -> bool:
    """Whether the current `session` has ended by the time of a command; by its length only if another may start."""
    deadline_ms, _ = silence_deadline_ms(state, session, rules)
    _, max_ms, _ = limits(state, session, rules)
    return at_ms > deadline_ms or (may_start and too_long(session, at_ms, max_ms))


def _with_none_open(
    state: UserState | None, over: Session | None, command: Command, at_ms: int, *, seen: bool, rules: Rules
) -> Event:
    """Return what a command does when no session is open; `over` is the one that has just ended, if any."""
    if effect_of(command, None) is Effect.REJECTED:  # R7: there is nothing to act on.
        return _rejected(state, over, command, at_ms)
    if seen:  # R7: the session that this very command opened has ended; it opens no second one.
        return Rejected(None, at_ms, RejectCode.ALREADY_CLOSED, command)
    # R7: however old the command, it opens a session now, and that must not overlap an earlier one.
    start_ms = at_ms if state is None else max(at_ms, newest_end_ms(state, at_ms))
    return start_session(state, command, start_ms, StartReason.COMMAND, rules)


def _with_open(
    state: UserState, session: Session, command: Command, at_ms: int, *, seen: bool, rules: Rules
) -> tuple[Event, ...]:
    """Return what a command does to the open `session`; however old it is, it acts after the last activity (R7)."""
    now_ms = max(at_ms, session.last_ms)
    effect = Effect.DUPLICATE if seen else effect_of(command, session)
    outcome: Event
    match effect:
        case Effect.SUPERSEDES:  # R7: the old session ends at its last activity, another one starts.
            superseded = end_session(session, session.last_ms, EndReason.SUPERSEDED, at_ms)
            return superseded, start_session(state, command, now_ms, StartReason.COMMAND, rules)
        case Effect.ENDS:  # R7: it ends at the command.
            return (end_session(session, now_ms, EndReason.COMMAND, at_ms, command),)
        case Effect.PAUSES:  # R7, R8
            outcome = Paused(session.session_id, session.start_ms, now_ms, command)
        case Effect.RESUMES:  # R7, R8: how long it was paused is told.
            assert session.paused_at_ms is not None
            paused_ms = max(0, now_ms - session.paused_at_ms)
            outcome = Resumed(session.session_id, session.start_ms, now_ms, paused_ms, command)
        case Effect.ADDS:  # R7: an event of the session.
            outcome = Noted(session.session_id, session.start_ms, now_ms, command)
        case Effect.ALREADY_ACTIVE | Effect.ALREADY_PAUSED | Effect.NOT_PAUSED | Effect.TOUCHED | Effect.DUPLICATE:
            # R7: it is right, and there is nothing to do.
            outcome = Unchanged(session.session_id, session.start_ms, now_ms, effect.value, command)
        case Effect.STARTS | Effect.REJECTED:  # pragma: no cover
            raise AssertionError(f"{effect} is for users with none open")
        case _:  # pragma: no cover
            assert_never(effect)
    if session.end_ms is None:
        return (outcome,)
    # R4, R7: the clock has announced the end, but the command is activity within the gap.
    return Reopened(session.session_id, session.start_ms, at_ms, session.ends - 1), outcome


def _rejected(state: UserState | None, over: Session | None, command: Command, at_ms: int) -> Rejected:
    """Return the refusal of a command (rule R7); the session `over` has just ended."""
    named = command.session_id
    ended = () if state is None else state.closed if over is None else (*state.closed, over)
    if any(session.session_id == named for session in ended):
        code = RejectCode.ALREADY_CLOSED
    elif named is not None and not belongs_to(named, command.user_id):
        code = RejectCode.USER_MISMATCH
    else:
        code = RejectCode.NOT_FOUND
    return Rejected(named, at_ms, code, command)
