"""What the passing of time causes: idle sessions end, old ones are forgotten (rules R3, R4 and R14).

Nothing here waits or asks the clock: `due_ms` says when to look, `punctuate` what happens then.
"""

from processor.core.boundaries import ended_by_silence
from processor.core.limits import forget_after_ms, silence_deadline_ms
from processor.core.model import Event, Forgotten, Rules, UserState


def due_ms(state: UserState, rules: Rules) -> int | None:
    """Return the first time at which `punctuate` has something to say of `state`; None when it never will."""
    session = state.current
    if session is not None and state.policy is None and session.template is None and session.paused_at_ms is None:
        return plain_due_ms(session.last_ms, state.last_append_ms, session.end_ms is not None, rules)
    if session is not None and session.end_ms is None:
        deadline_ms, _ = silence_deadline_ms(state, session, rules)
        return max(deadline_ms + 1, state.last_append_ms + rules.quiet_ms)
    forget_ms = forget_after_ms(state, rules)
    return None if forget_ms is None else forget_ms + rules.quiet_ms + 1


def plain_due_ms(last_ms: int, last_append_ms: int, end_told: bool, rules: Rules) -> int:
    """Return `due_ms` of a user whose current session is not paused, with no limits of its own or the user's.

    Nearly all are so, and a million of them must be looked at in seconds after a restore.

    Args:
        last_ms: of the session; last_append_ms: of the user; end_told: whether the clock has announced its end.
    """
    silent_ms = last_ms + rules.gap_ms
    if end_told:
        return max(last_append_ms, silent_ms) + rules.late_horizon_ms + rules.quiet_ms + 1
    quiet_ms = last_append_ms + rules.quiet_ms
    return quiet_ms if quiet_ms > silent_ms else silent_ms + 1


def punctuate(state: UserState, now_ms: int, rules: Rules) -> tuple[Event, ...]:
    """Return what has become certain of a user by `now_ms`: the end of an idle session, or that all is forgotten.

    Only to be called for a partition that is caught up (rule R4): a backlog is not idleness.
    """
    due = due_ms(state, rules)
    if due is None or now_ms < due:
        return ()
    ended = ended_by_silence(state, rules, at_ms=now_ms)
    return (Forgotten(),) if ended is None else (ended,)
