"""How a session starts and ends: its id and what went before; why it ends and what it adds up to (R1, R3, R6, R12)."""

from collections.abc import Sequence

from processor.core.ids import session_id
from processor.core.limits import silence_deadline_ms
from processor.core.memory import newest_event_ms, remembered
from processor.core.model import (
    Command,
    Ended,
    EndReason,
    Event,
    Record,
    Rules,
    Session,
    Started,
    StartReason,
    UserState,
)


def start_session(state: UserState | None, record: Record, start_ms: int, reason: StartReason, rules: Rules) -> Started:
    """Return the start, at `start_ms`, of the session that `record` opens."""
    earlier = remembered(state)
    newest_ms = start_ms if state is None else max(start_ms, newest_event_ms(state))
    return Started(
        _unused_id(earlier, record, start_ms, rules),
        start_ms,
        reason,
        _previous_id(earlier, start_ms),
        newest_ms - rules.late_horizon_ms,
        record if isinstance(record, Command) else None,
    )


def end_session(session: Session, end_ms: int, reason: EndReason, at_ms: int, command: Command | None = None) -> Ended:
    """Return the end of `session` at `end_ms`, noticed at `at_ms`; `command` when one asked for it."""
    paused_ms = session.paused_total_ms
    if session.paused_at_ms is not None:
        paused_ms += max(0, end_ms - session.paused_at_ms)
    return Ended(
        session.session_id,
        session.start_ms,
        end_ms,
        reason,
        session.ends,
        session.messages,
        session.digest,
        paused_ms,
        at_ms,
        command,
    )


def close_current(state: UserState, at_ms: int, rules: Rules) -> tuple[Event, ...]:
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
    return (end_session(session, session.last_ms, reason, at_ms),)


def ended_by_silence(state: UserState, rules: Rules, *, at_ms: int) -> Ended | None:
    """Return the end of the current session at its last activity, noticed at `at_ms`; None when it was told before."""
    session = state.current
    if session is None or session.end_ms is not None:
        return None
    _, reason = silence_deadline_ms(state, session, rules)
    return end_session(session, session.last_ms, reason, at_ms)


def _unused_id(earlier: Sequence[Session], record: Record, start_ms: int, rules: Rules) -> str:
    """Return the id of the session that `record` opens, one that none of the `earlier` sessions has (rule R6).

    Modules copy `record_id` and timestamp from their input, so two records of a user can have both in common.
    """
    repeat = 0
    while True:
        candidate = session_id(record.user_id, start_ms, record.record_id, rules.id_format, repeat)
        if all(session.session_id != candidate for session in earlier):
            return candidate
        repeat += 1  # Ends at the latest when every remembered session was met.


def _previous_id(earlier: Sequence[Session], start_ms: int) -> str | None:
    """Return the id of the one of the `earlier` sessions that started last before one that starts at `start_ms`."""
    latest: Session | None = None
    for session in earlier:
        if session.start_ms <= start_ms and (latest is None or session.start_ms >= latest.start_ms):
            latest = session
    return None if latest is None else latest.session_id
