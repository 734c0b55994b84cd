"""What is remembered of a user, and how events and arrivals change it: `evolve` decides nothing.

The state topic holds it, so a restore arrives where the live run ended.
"""

from hashlib import sha256
from operator import attrgetter
from typing import assert_never

from processor.core.model import (
    FINGERPRINT_BYTES,
    RECENT_RECORDS_MAX,
    RECENT_SESSIONS_MAX,
    Ended,
    EndReason,
    Erased,
    Event,
    Forgotten,
    Noted,
    Paused,
    Policy,
    PolicySet,
    Record,
    Rejected,
    Reopened,
    Resumed,
    Session,
    Started,
    StartReason,
    Tagged,
    Unchanged,
    UserState,
)

_RECENT_BYTES_MAX = RECENT_RECORDS_MAX * FINGERPRINT_BYTES
_NOBODY = UserState(None, (), b"", None, 0, 0, -1)  # Nothing is remembered.
_NO_POLICY = Policy()
_new = tuple.__new__  # Makes a `NamedTuple` in half the time of calling its class; only where every message passes.
_START_MS = attrgetter("start_ms")
_TOUCHED_MS = attrgetter("touched_ms")
_SILENCE = (EndReason.TIMEOUT, EndReason.PAUSE_TIMEOUT)


def evolve(state: UserState | None, event: Event) -> UserState | None:
    """Return the state after `event`; None when nothing is left to remember."""
    if isinstance(event, Tagged):
        return _evolve_tagged(state, event)
    if isinstance(event, Started):
        return _evolve_started(state, event)
    match event:
        case PolicySet():
            return _evolve_policy(state, event.policy)
        case Forgotten():
            assert state is not None
            return (
                None if state.policy is None else _NOBODY._replace(policy=state.policy, last_offset=state.last_offset)
            )
        case Erased():
            return None
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


def observe(state: UserState | None, record: Record, offset: int) -> UserState | None:
    """Return `state` with the arrival of `record`, which is at `offset`, noted.

    A user with neither session nor policy is not remembered.
    """
    if state is None:
        return None
    current, closed, recent, policy, last_append_ms, _, _ = state
    recent = (recent + record.content_hash[:FINGERPRINT_BYTES])[-_RECENT_BYTES_MAX:]
    if record.append_ms > last_append_ms:
        last_append_ms = record.append_ms
    return _new(UserState, (current, closed, recent, policy, last_append_ms, record.encoding, offset))


def has_seen(recent: bytes, content_hash: bytes) -> bool:
    """Whether the fingerprint of `content_hash` is among the whole fingerprints in `recent`."""
    fingerprint = content_hash[:FINGERPRINT_BYTES]
    found = recent.find(fingerprint)
    while found > 0 and found % FINGERPRINT_BYTES:
        found = recent.find(fingerprint, found + 1)
    return found >= 0


def newest_event_ms(state: UserState) -> int:
    """Return the user's newest event time so far."""
    newest_ms = state.current.last_ms if state.current is not None else 0
    return max(newest_ms, max(map(_TOUCHED_MS, state.closed), default=0))


def newest_end_ms(state: UserState, default_ms: int) -> int:
    """Return the latest end of the user's closed sessions; `default_ms` when there are none."""
    return max((session.end_ms or 0 for session in state.closed), default=default_ms)


def remembered(state: UserState | None) -> tuple[Session, ...]:
    """Return all sessions of the user that are remembered, the current one last."""
    if state is None:
        return ()
    return state.closed if state.current is None else (*state.closed, state.current)


def session_of(started: Started) -> Session:
    """Return the session that begins with `started`, without a message."""
    return Session(
        started.session_id,
        started.start_ms,
        started.start_ms,
        0,
        sha256(started.session_id.encode()).digest(),
        started.command.template if started.command is not None else None,
    )


def with_message(session: Session, tagged: Tagged) -> Session:
    """Return `session` with one more message."""
    sid, start_ms, last_ms, count, digest, template, paused_at, paused_ms, end_ms, reason, ends, touched_ms = session
    if tagged.active and tagged.at_ms > last_ms:
        last_ms = tagged.at_ms
    count += 1
    digest = sha256(digest + tagged.content_hash).digest()
    return _new(
        Session,
        (sid, start_ms, last_ms, count, digest, template, paused_at, paused_ms, end_ms, reason, ends, touched_ms),
    )


def _evolve_policy(state: UserState | None, policy: Policy) -> UserState | None:
    """Return `state` with the user's own limits replaced by `policy`; one without any limit takes them back."""
    kept = None if policy == _NO_POLICY else policy
    if state is None:
        return None if kept is None else _NOBODY._replace(policy=kept)
    if kept is None and state.current is None and not state.closed:
        return None
    return state._replace(policy=kept)


def _evolve_tagged(state: UserState | None, tagged: Tagged) -> UserState | None:
    if tagged.session_id is None:
        return state
    assert state is not None
    current, closed, recent, policy, last_append_ms, encoding, offset = state
    if current is not None and current.session_id == tagged.session_id:
        current = with_message(current, tagged)
        return _new(UserState, (current, closed, recent, policy, last_append_ms, encoding, offset))
    newest_ms = max(tagged.at_ms, newest_event_ms(state))
    closed = tuple(
        with_message(session, tagged)._replace(touched_ms=newest_ms)
        if session.session_id == tagged.session_id
        else session
        for session in state.closed
    )
    assert closed != state.closed
    return state._replace(closed=closed)


def _evolve_started(state: UserState | None, started: Started) -> UserState:
    session = session_of(started)
    if state is None:
        return _new(UserState, (session, (), b"", None, 0, 0, -1))
    current, closed, recent, policy, last_append_ms, encoding, offset = state
    if closed and min(map(_TOUCHED_MS, closed)) < started.keep_from_ms:
        closed = tuple(earlier for earlier in closed if earlier.touched_ms >= started.keep_from_ms)
    if started.reason is StartReason.LATE:
        return state._replace(closed=_recent(closed, session))
    if current is not None:
        closed = _recent(closed, current._replace(touched_ms=current.last_ms))
    return _new(UserState, (session, closed, recent, policy, last_append_ms, encoding, offset))


def _evolve_ended(state: UserState | None, ended: Ended) -> UserState:
    assert state is not None
    current, closed, recent, policy, last_append_ms, encoding, offset = state
    if current is None or current.session_id != ended.session_id:
        closed = tuple(
            _marked(session, ended) if session.session_id == ended.session_id else session for session in closed
        )
    elif ended.reason in _SILENCE:
        current = _marked(current, ended)  # A message within the gap may still come and reopen it.
    else:
        last_ms = max(current.last_ms, ended.end_ms)
        over = _marked(current, ended)._replace(
            last_ms=last_ms, paused_at_ms=None, paused_total_ms=ended.paused_ms, touched_ms=last_ms
        )
        current, closed = None, _recent(closed, over)
    return UserState(current, closed, recent, policy, last_append_ms, encoding, offset)


def _marked(session: Session, ended: Ended) -> Session:
    return session._replace(end_ms=ended.end_ms, end_reason=ended.reason, ends=ended.revision + 1)


def _recent(closed: tuple[Session, ...], newcomer: Session) -> tuple[Session, ...]:
    """Return the sessions that late messages can still join, oldest start first: `newcomer` and those touched last."""
    if not closed:
        return (newcomer,)
    if len(closed) >= RECENT_SESSIONS_MAX:
        forsaken = min(closed, key=_TOUCHED_MS)
        closed = tuple(session for session in closed if session is not forsaken)
    return tuple(sorted((*closed, newcomer), key=_START_MS))
