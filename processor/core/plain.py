"""The short path: the rules once more, unrolled, for messages about which nothing is special.

Nearly all messages are so. This is the one second writing of rules that there is, and it decides nothing of its own: of
every message it gives what `decide`, `evolve` and `observe` give, or None. `tests/core/test_plain.py` holds it to that.
It is here since it takes half of their time (docs/performance.md). `tuple.__new__` makes a `NamedTuple` without
the call in between.
"""

from hashlib import sha256

from processor.core.ids import session_id
from processor.core.memory import has_seen
from processor.core.model import (
    FINGERPRINT_BYTES,
    RECENT_RECORDS_MAX,
    Event,
    Flag,
    Message,
    Rules,
    Session,
    Started,
    StartReason,
    Tagged,
    UserState,
)

_RECENT_BYTES_MAX = RECENT_RECORDS_MAX * FINGERPRINT_BYTES
_BY_MESSAGE = StartReason.MESSAGE  # Python 3.11 takes as long to find a member as to make a tuple.
_new = tuple.__new__


def step_plain(
    state: UserState | None, message: Message, offset: int, rules: Rules
) -> tuple[UserState, tuple[Event, ...]] | None:
    """Return what `step` returns of a message inside its user's open session, or of a user's first message.

    None if anything is special: a policy, a template, a pause, a passive source, a wrong clock, an end that was told.
    """
    if state is None:
        return _first(message, offset, rules)
    current, closed, recent, policy, last_append_ms, _, _ = state
    _, _, at_ms, append_ms, content_hash, source, claim, flags, encoding, new_policy, _ = message
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
    if recent.find(fingerprint) >= 0 and has_seen(recent, content_hash):  # Seldom so: the call is saved.
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
    return _new(UserState, (current, closed, recent, None, last_append_ms, encoding, offset)), (tagged,)


def _first(message: Message, offset: int, rules: Rules) -> tuple[UserState, tuple[Event, ...]] | None:
    user_id, record_id, at_ms, append_ms, content_hash, source, claim, flags, encoding, policy, _ = message
    if policy is not None or source in rules.passive_sources or at_ms > append_ms + rules.skew_ms:
        return None
    sid = session_id(user_id, at_ms, record_id, rules.id_format)
    if claim is not None and claim != sid:
        flags |= Flag.SESSION_MISMATCH
    digest = sha256(sha256(sid.encode()).digest() + content_hash).digest()
    session = _new(Session, (sid, at_ms, at_ms, 1, digest, None, None, 0, None, None, 0, 0))
    started = _new(Started, (sid, at_ms, _BY_MESSAGE, None, at_ms - rules.late_horizon_ms, None))
    tagged = _new(Tagged, (sid, 1, at_ms, flags, at_ms, content_hash, True))
    recent = content_hash[:FINGERPRINT_BYTES]
    state = _new(UserState, (session, (), recent, None, max(0, append_ms), encoding, offset))
    return state, (started, tagged)
