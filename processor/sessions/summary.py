"""Adds up what belongs to a session, record by record, and sessions to roll-ups. No storage, no clock."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from processor.codec.events import EventView
from processor.core.model import Flag
from processor.sessions.model import MessageRow, SessionRow, Status, Summary
from processor.upstream.facts import Facts
from processor.upstream.notices import Notice, notice_words

KEYS_MAX: Final = 64  # sources, modalities or codes of one session that are told apart; senders may say anything there
OTHERS: Final = "(others)"


class SessionFold:
    """A session while it is added up. Messages and events may come in any mixture, each kind in its own order."""

    def __init__(self, row: SessionRow) -> None:
        """Go on from `row`."""
        self._row = row  # what its events say; the rest is older than what follows
        self._digest = None if row.held_digest is None else bytes.fromhex(row.held_digest)
        self._held = row.held_count
        self._notices = row.notices
        summary = row.summary
        self._actors = dict(summary.actors)
        self._sources = dict(summary.sources)
        self._modalities = dict(summary.modalities)
        self._words = dict(summary.notices)
        self._abort_codes = dict(summary.abort_codes)
        self._feedback = dict(summary.feedback)
        self._escalations = summary.escalations
        self._captures = summary.captures
        self._confidence_sum = summary.confidence_sum
        self._confidence_count = summary.confidence_count
        self._consented = summary.consented
        self._first_ms, self._last_ms = summary.first_ms, summary.last_ms

    def add_message(self, row: MessageRow, facts: Facts) -> None:
        """Add the session's next message."""
        assert row.seq is not None
        if self._digest is not None:
            # One is missing: whatever follows, these messages prove nothing (rule R12).
            is_next = row.seq == self._held + 1
            self._digest = sha256(self._digest + row.content_hash).digest() if is_next else None
        self._held += 1
        self._notices |= row.notices
        _count(self._actors, row.actor)
        if row.source is not None:
            _count(self._sources, row.source)
        if row.modality is not None:
            _count(self._modalities, row.modality)
        if row.notices:
            for word in notice_words(row.notices):
                _count(self._words, word)
        if facts.abort_code is not None:
            _count(self._abort_codes, facts.abort_code)
        if facts.feedback is not None:
            _count(self._feedback, facts.feedback)
        if facts.confidence is not None:
            self._confidence_sum += facts.confidence
            self._confidence_count += 1
        self._escalations += facts.escalates
        self._captures += facts.opens_capture
        self._consented += facts.consents
        at_ms = row.append_ms if row.notices & Flag.CLOCK_SKEW else row.timestamp_ms  # Rule R10.
        if self._first_ms is None or at_ms < self._first_ms:
            self._first_ms = at_ms
        if self._last_ms is None or at_ms > self._last_ms:
            self._last_ms = at_ms

    def add_event(self, event: EventView) -> None:
        """Add the session's next event."""
        row = self._row._replace(event_count=self._row.event_count + 1)
        match event.kind:
            case "started":
                if row.start_reason is not None:
                    self._notices |= Notice.OPENED_TWICE
                row = row._replace(
                    start_ms=event.timestamp if event.start_time is None else event.start_time,
                    start_reason=event.reason,
                    previous_session_id=event.previous_session_id,
                    performer_id=event.performer_id,
                    template=event.template,
                    is_training_data=event.is_training_data,
                    session_notes=event.session_notes,
                    training_intent_label=event.training_intent_label,
                )
            case "reopened":
                row = row._replace(state="active", end_ms=None, reason=None, active_ms=None)
            case "paused":
                row = row._replace(state="paused")
            case "resumed":
                row = row._replace(state="active", paused_ms=row.paused_ms + (event.paused_ms or 0))
            case "ended":
                row = row._replace(
                    state="ended",
                    end_ms=event.end_time,
                    reason=event.reason,
                    revision=event.revision,
                    expected_count=event.message_count,
                    expected_digest=event.digest,
                    active_ms=event.active_ms,
                    paused_ms=event.paused_ms or 0,
                )
            case _:
                pass  # Notes and the like are events of the session and change none of its columns.
        self._row = row

    def row(self) -> SessionRow:
        """Return the session as it is now."""
        return self._row._replace(
            held_count=self._held,
            held_digest=None if self._digest is None else self._digest.hex(),
            notices=self._notices,
            summary=Summary(
                dict(self._actors),
                dict(self._sources),
                dict(self._modalities),
                dict(self._words),
                dict(self._abort_codes),
                dict(self._feedback),
                self._escalations,
                self._captures,
                self._confidence_sum,
                self._confidence_count,
                self._consented,
                self._first_ms,
                self._last_ms,
            ),
        )


def in_order(row: SessionRow, hashes: Iterable[tuple[int, bytes]], events: Iterable[EventView]) -> SessionRow:
    """Return `row`, to which records were added that came out of their order, as if they had come in it.

    What is counted is the same in any order; the digest and what the events say are not.

    Args:
        row: the session, with all its messages and events added up.
        hashes: `seq` and `content_hash` of all its messages, in the order of the log.
        events: all its events, in the order of the log.
    """
    fold = SessionFold(new_session(row.session_id, row.user_id, row.partition, row.start_ms))
    for event in events:
        fold.add_event(event)
    digest: bytes | None = sha256(row.session_id.encode()).digest()
    for number, (seq, content_hash) in enumerate(hashes, 1):
        digest = sha256(digest + content_hash).digest() if digest is not None and seq == number else None
    return fold.row()._replace(
        held_count=row.held_count,
        held_digest=None if digest is None else digest.hex(),
        notices=row.notices,
        summary=row.summary,
    )


def new_session(session_id: str, user_id: str, partition: int, start_ms: int) -> SessionRow:
    """Return a session of which nothing was read yet."""
    return SessionRow(
        session_id=session_id,
        user_id=user_id,
        partition=partition,
        start_ms=start_ms,
        state="active",
        end_ms=None,
        reason=None,
        revision=None,
        expected_count=None,
        expected_digest=None,
        active_ms=None,
        paused_ms=0,
        start_reason=None,
        previous_session_id=None,
        performer_id=None,
        template=None,
        is_training_data=None,
        session_notes=None,
        training_intent_label=None,
        event_count=0,
        held_count=0,
        held_digest=sha256(session_id.encode()).hexdigest(),
        notices=0,
        summary=Summary(),
    )


@dataclass(frozen=True, slots=True)
class Rollup:
    """Several sessions together."""

    sessions: int = 0
    messages: int = 0
    duration_ms: int = 0
    paused_ms: int = 0
    partial: int = 0  # sessions of which not all is held
    summary: Summary = field(default_factory=Summary)


def add(total: Rollup, row: SessionRow) -> Rollup:
    """Return `total` with one session more."""
    return Rollup(
        total.sessions + 1,
        total.messages + row.held_count,
        total.duration_ms + row.duration_ms,
        total.paused_ms + row.paused_ms,
        total.partial + (row.status is Status.PARTIAL),
        _sum(total.summary, row.summary),
    )


def day_of(session: SessionRow) -> str:
    """Return the day on which a session started, in UTC: YYYY-MM-DD."""
    return datetime.fromtimestamp(session.start_ms / 1000, UTC).strftime("%Y-%m-%d")


def by_day(sessions: Iterable[SessionRow]) -> dict[str, Rollup]:
    """Return roll-ups of the days on which sessions started, oldest first."""
    return _by(sessions, day_of)


def by_user(sessions: Iterable[SessionRow]) -> dict[str, Rollup]:
    """Return roll-ups of the users, by id."""
    return _by(sessions, lambda row: row.user_id)


def _by(sessions: Iterable[SessionRow], key_of: Callable[[SessionRow], str]) -> dict[str, Rollup]:
    totals: dict[str, Rollup] = {}
    for row in sessions:
        key = key_of(row)
        totals[key] = add(totals.get(key, Rollup()), row)
    return {key: totals[key] for key in sorted(totals)}


def _sum(one: Summary, other: Summary) -> Summary:
    merged = {}
    for name in ("actors", "sources", "modalities", "notices", "abort_codes", "feedback"):
        counts = dict(getattr(one, name))
        for key, count in getattr(other, name).items():
            counts[key] = counts.get(key, 0) + count
        merged[name] = counts
    times = [ms for ms in (one.first_ms, other.first_ms) if ms is not None]
    lasts = [ms for ms in (one.last_ms, other.last_ms) if ms is not None]
    return replace(
        one,
        **merged,
        escalations=one.escalations + other.escalations,
        captures=one.captures + other.captures,
        confidence_sum=one.confidence_sum + other.confidence_sum,
        confidence_count=one.confidence_count + other.confidence_count,
        consented=one.consented + other.consented,
        first_ms=min(times, default=None),
        last_ms=max(lasts, default=None),
    )


def _count(counts: dict[str, int], key: str) -> None:
    if key not in counts and len(counts) >= KEYS_MAX:
        key = OTHERS
    counts[key] = counts.get(key, 0) + 1
