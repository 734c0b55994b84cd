"""What a command causes: a boundary, a note, or its refusal (rule R7)."""

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

_NOTES = (CommandName.NOTE, CommandName.CONTEXT, CommandName.STEP, CommandName.STATUS)


def decide_command(state: UserState | None, command: Command, rules: Rules) -> tuple[Event, ...]:
    """Return what `command` causes, oldest first; the last event is its outcome. Arguments as of `decide`."""
    at_ms = command.timestamp_ms
    if at_ms > command.append_ms + rules.skew_ms:
        at_ms = command.append_ms
    seen = state is not None and has_seen(state.recent, command.content_hash)
    starts = command.name is CommandName.START
    if state is None or state.current is None:
        if not starts:
            return (_rejected(state, command, at_ms),)
        if seen:
            return (Rejected(None, at_ms, RejectCode.ALREADY_CLOSED, command),)
        # However old the command, it opens a session now, and that must not overlap an earlier one.
        start_ms = at_ms if state is None else max(at_ms, newest_end_ms(state, at_ms))
        return (start_session(state, command, start_ms, StartReason.COMMAND, rules),)

    session = state.current
    deadline_ms, _ = silence_deadline_ms(state, session, rules)
    _, max_ms, _ = limits(state, session, rules)
    if at_ms > deadline_ms or (starts and not seen and too_long(session, at_ms, max_ms)):
        ending = close_current(state, at_ms, rules)
        if not starts:
            return (*ending, _rejected(state, command, at_ms, timed_out=True))
        if seen:
            return (*ending, Rejected(None, at_ms, RejectCode.ALREADY_CLOSED, command))
        return (*ending, start_session(state, command, at_ms, StartReason.COMMAND, rules))
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
        superseded = end_session(session, session.last_ms, EndReason.SUPERSEDED, at_ms)
        return superseded, start_session(state, command, now_ms, StartReason.COMMAND, rules)
    if unchanged is None and command.name is CommandName.END:
        return (end_session(session, now_ms, EndReason.COMMAND, at_ms, command),)
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
