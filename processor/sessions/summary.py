"""Adds up what belongs to a session, record by record, and sessions to roll-ups. No storage, no clock."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Final, NamedTuple

from processor.codec.events import EventView
from processor.core.model import Flag
from processor.sessions.arguments import details_of, has_note, phase_in, score_of, tags_with
from processor.sessions.model import MessageRow, SessionRow, Status, Sums
from processor.targets.paths import date_part
from processor.upstream.facts import Facts
from processor.upstream.notices import Notice, notice_words

KEYS_MAX: Final = 64  # sources, modalities or codes of one session that are told apart; senders may say anything there
OTHERS: Final = "(others)"
_NO_ACTIVITY: Final = frozenset({"ended", "rejected"})  # Every other event prolongs its session.


class SessionFold:
    """A session while it is added up. Messages and events may come in any mixture, each kind in its own order."""

    def __init__(self, row: SessionRow) -> None:
        """Go on from `row`, as the store holds it; a new one is not there yet."""
        self.stored_changes = row.changes
        self._row = row  # what its events say; the rest is older than what follows
        self._digest = None if row.held_digest is None else bytes.fromhex(row.held_digest)
        self._held = row.held_count
        self._notices = row.notices
        self._sums = _copied(row.summary)
        self._score: tuple[int, float] | None = None if row.score is None else (row.score_ms or 0, row.score)

    def note_stored(self) -> None:
        """Take note that the store holds it as it is now."""
        self.stored_changes = self._row.event_count + self._held

    @property
    def partition(self) -> int:
        """The latest partition of its user, as far as records were added."""
        return self._row.partition

    def follow(self, partition: int) -> bool:
        """Follow the user to the partition of the next record. Return whether they have left it: it is out of order.

        Who moves, moves to a partition with a higher number (docs/adr/0031).
        """
        known = self._row.partition
        if partition > known:
            self._row = self._row._replace(partition=partition)
        return partition < known

    def add_message(self, row: MessageRow, facts: Facts) -> None:
        """Add the session's next message."""
        assert row.seq is not None
        if self._digest is not None:
            # One is missing: whatever follows, these messages prove nothing (rule R12).
            is_next = row.seq == self._held + 1
            self._digest = sha256(self._digest + row.content_hash).digest() if is_next else None
        self._held += 1
        notable = row.notable
        self._notices |= notable
        sums = self._sums
        _count(sums.expressed_by, row.expressed_by)
        if row.source is not None:
            _count(sums.sources, row.source)
        if row.modality is not None:
            _count(sums.modalities, row.modality)
        if notable:
            for word in notice_words(notable):
                _count(sums.notices, word)
        if facts.abort_code is not None:
            _count(sums.abort_codes, facts.abort_code)
        if facts.feedback is not None:
            _count(sums.feedback, facts.feedback)
        if facts.confidence is not None:
            sums.confidence_sum += facts.confidence
            sums.confidence_count += 1
        sums.escalations += facts.escalates
        sums.captures += facts.opens_capture
        sums.consented += facts.consents
        at_ms = row.append_ms if row.notices & Flag.CLOCK_SKEW else row.timestamp_ms  # Rule R10.
        if sums.first_ms is None or at_ms < sums.first_ms:
            sums.first_ms = at_ms
        if sums.last_ms is None or at_ms > sums.last_ms:
            sums.last_ms = at_ms
        if facts.score is not None:
            self._add_score(at_ms, facts.score)

    def add_event(self, event: EventView) -> None:
        """Add the session's next event."""
        row = self._row._replace(
            event_count=self._row.event_count + 1, note_count=self._row.note_count + has_note(event)
        )
        details = details_of(event)
        if (score := score_of(details)) is not None:
            self._add_score(event.timestamp, score)
        if event.kind not in _NO_ACTIVITY:
            row = row._replace(acted_ms=max(event.timestamp, row.acted_ms or 0))
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
            case "status":
                row = row._replace(phase=phase_in(details) or row.phase)
            case "tag":
                row = row._replace(tags=tags_with(row.tags, details))
            case _:
                pass  # Notes and the like are events of the session and change none of its columns.
        self._row = row

    def row(self) -> SessionRow:
        """Return the session as it is now."""
        score_ms, score = self._score or (None, None)
        return self._row._replace(
            score=score,
            score_ms=score_ms,
            held_count=self._held,
            held_digest=None if self._digest is None else self._digest.hex(),
            notices=self._notices,
            summary=_copied(self._sums),
        )

    def _add_score(self, at_ms: int, score: float) -> None:
        """Keep the latest score; of one ms the greatest, so that it does not matter which topic was read first."""
        self._score = max(self._score or (at_ms, score), (at_ms, score))


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
        score=row.score,
        score_ms=row.score_ms,
    )


def new_session(session_id: str, user_id: str, partition: int, start_ms: int) -> SessionRow:
    """Return a session of which nothing was read yet."""
    digest = sha256(session_id.encode()).hexdigest()
    return SessionRow(session_id, user_id, partition, start_ms, digest, Sums())


@dataclass(slots=True)
class Rollup:
    """Several sessions together."""

    sessions: int = 0
    messages: int = 0
    duration_ms: int = 0
    paused_ms: int = 0
    partial: int = 0  # sessions of which not all is held
    summary: Sums = field(default_factory=Sums)

    def add(self, row: SessionRow) -> None:
        """Add a session."""
        self.sessions += 1
        self.messages += row.held_count
        self.duration_ms += row.duration_ms
        self.paused_ms += row.paused_ms
        self.partial += row.status is Status.PARTIAL
        _add(self.summary, row.summary)


def by_day(sessions: Iterable[SessionRow]) -> dict[str, Rollup]:
    """Return roll-ups of the days on which sessions started, oldest first."""
    return _by(sessions, lambda row: date_part(row.start_ms))


def by_user(sessions: Iterable[SessionRow]) -> dict[str, Rollup]:
    """Return roll-ups of the persons whose sessions they are, by id."""
    return _by(sessions, lambda row: row.owner)


def by_template(sessions: Iterable[SessionRow]) -> dict[str, Rollup]:
    """Return roll-ups of the templates that sessions started with, by name; "" of those without one."""
    return _by(sessions, lambda row: row.template or "")


class DaySums(NamedTuple):
    """What the sessions that started on one day add up to, in short: there is one for each person and day."""

    sessions: int = 0
    messages: int = 0
    duration_ms: int = 0
    flags: int = 0  # of all words together

    def plus(self, row: SessionRow) -> "DaySums":
        """Return the sums with one more session."""
        flags = sum(row.summary.notices.values())
        return DaySums(
            self.sessions + 1, self.messages + row.held_count, self.duration_ms + row.duration_ms, self.flags + flags
        )


def trends_of_users(sessions: Iterable[SessionRow]) -> tuple[dict[str, Rollup], dict[str, dict[str, DaySums]]]:
    """Return roll-ups of persons, by id, and what those are of each day; the sessions are read once."""
    totals: dict[str, Rollup] = {}
    days: dict[str, dict[str, DaySums]] = {}
    for row in sessions:
        totals.setdefault(row.owner, Rollup()).add(row)
        own, day = days.setdefault(row.owner, {}), date_part(row.start_ms)
        own[day] = own.get(day, DaySums()).plus(row)
    return dict(sorted(totals.items())), days


def _by(sessions: Iterable[SessionRow], key_of: Callable[[SessionRow], str]) -> dict[str, Rollup]:
    totals: dict[str, Rollup] = {}
    for row in sessions:
        totals.setdefault(key_of(row), Rollup()).add(row)
    return dict(sorted(totals.items()))


def _copied(sums: Sums) -> Sums:
    return replace(
        sums,
        expressed_by=sums.expressed_by.copy(),
        sources=sums.sources.copy(),
        modalities=sums.modalities.copy(),
        notices=sums.notices.copy(),
        abort_codes=sums.abort_codes.copy(),
        feedback=sums.feedback.copy(),
    )


def _add(sums: Sums, other: Sums) -> None:
    """Add `other` to `sums`: counts and numbers are summed, and the times are the least and the greatest."""
    for each in fields(Sums):
        mine, theirs = getattr(sums, each.name), getattr(other, each.name)
        if isinstance(mine, dict):
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + count
        elif not each.name.endswith("_ms"):
            setattr(sums, each.name, mine + theirs)
    sums.first_ms = min((ms for ms in (sums.first_ms, other.first_ms) if ms is not None), default=None)
    sums.last_ms = max((ms for ms in (sums.last_ms, other.last_ms) if ms is not None), default=None)


def _count(counts: dict[str, int], key: str) -> None:
    if key not in counts and len(counts) >= KEYS_MAX:
        key = OTHERS
    counts[key] = counts.get(key, 0) + 1
