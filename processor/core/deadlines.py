"""What the passing of time causes: idle sessions end, old ones are forgotten (rules R3, R4 and R14).

Nothing here waits or asks the clock: `due_ms` says when to look, `punctuate` what happens then.
"""

from processor.core.boundaries import ended_by_silence
from processor.core.limits import forget_after_ms, silence_deadline_ms
from processor.core.model import Event, Forgotten, Rules, UserState


def due_ms(state: UserState, rules: Rules) -> int | None:
    """Return the first time at which `punctuate` has something to say of `state`; None when it never will."""
    session = state.current
    if session is not None and session.end_ms is None:
        deadline_ms, _ = silence_deadline_ms(state, session, rules)
        return max(deadline_ms + 1, state.last_append_ms + rules.quiet_ms)
    forget_ms = forget_after_ms(state, rules)
    return None if forget_ms is None else forget_ms + rules.quiet_ms + 1


def punctuate(state: UserState, now_ms: int, rules: Rules) -> tuple[Event, ...]:
    """Return what has become certain of a user by `now_ms`: the end of an idle session, or that all is forgotten.

    Only to be called for a partition that is caught up (rule R4): a backlog is not idleness.
    """
    due = due_ms(state, rules)
    if due is None or now_ms < due:
        return ()
    ended = ended_by_silence(state, rules, at_ms=now_ms)
    return (Forgotten(),) if ended is None else (ended,)
