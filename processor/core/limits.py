"""How long silence, a session, a pause and memory may last, and whose setting counts (rules R2, R3, R8 and R14)."""

from processor.core.memory import newest_end_ms
from processor.core.model import EndReason, Policy, Rules, Session, UserState

_NO_POLICY = Policy()


def limits(state: UserState, session: Session | None, rules: Rules) -> tuple[int, int, int]:
    """Return the gap, the maximum length and the pause's time-out that hold for `session`, ms.

    The session's template goes first, then the user's policy, then the template that it names, then the configuration.
    """
    policy = state.policy
    template = None if session is None else session.template
    if policy is None and template is None:
        return rules.gap_ms, rules.max_session_ms, rules.pause_ms
    return limits_of(template, policy, rules)


def limits_of(template: str | None, policy: Policy | None, rules: Rules) -> tuple[int, int, int]:
    """Return the same for a session of `template` whose user has set `policy`."""
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


def too_long(session: Session, at_ms: int, max_ms: int) -> bool:
    """Whether activity at `at_ms` would make `session` longer than it may be; inside its span it never does."""
    return at_ms > session.last_ms and at_ms - session.start_ms > max_ms


def forget_after_ms(state: UserState, rules: Rules) -> int | None:
    """Return the append time after which the user's sessions are forgotten (rule R14); None when there are none."""
    if state.current is not None:
        ended_ms, _ = silence_deadline_ms(state, state.current, rules)
    elif state.closed:
        ended_ms = newest_end_ms(state, 0)
    else:
        return None
    return max(state.last_append_ms, ended_ms) + rules.late_horizon_ms
