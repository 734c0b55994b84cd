"""What the store holds and bundles are made of. Times are ms since the epoch, UTC.

Rows are `NamedTuple`s: one is made for every message (see processor/core/model.py). Nothing here depends on when or in
how many batches the records were read, so two runs over one log give equal rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from processor.core.ids import owner_of
from processor.core.model import Flag
from processor.upstream.notices import ANSWERS, Notice, notice_words


class MessageRow(NamedTuple):
    """One tagged message."""

    session_id: str | None  # None with the flag no_session, then `seq` too
    seq: int | None
    user_id: str
    record_id: str  # "" when it has none
    timestamp_ms: int  # event time, as the message says it
    append_ms: int  # when its tagged record was written
    source: str | None
    modality: str | None
    performer_id: str | None
    expressed_by: str  # the value of a `Voice`
    capture_id: str | None
    notices: int  # bits of `Notice`, `Flag`'s among them
    claimed_session_id: str | None
    content_hash: bytes  # SHA-256 of the message as it came, 32 bytes
    size_bytes: int  # of the message as it came
    value: bytes | None  # as tagged; None when it is withheld
    withheld: str | None  # why its content is not kept: raw media, partial transcript
    encoding: int  # of `processor.codec.wire`
    trace_id: str | None  # of the trace that it belongs to, 32 hex digits
    partition: int  # of the tagged topic
    offset: int

    @property
    def flags(self) -> tuple[str, ...]:
        """Words of the tag's flags and of what its content shows."""
        return notice_words(self.notices)

    @property
    def notable(self) -> int:
        """The bits of `notices` that a reader of the session should know of."""
        return self.notices & ~Flag.LATE if self.source in ANSWERS else self.notices


class EventRow(NamedTuple):
    """One session event; `value` is the event in JSON, whatever encoding it came in (`events.from_json` reads it)."""

    session_id: str | None  # None when a refused command named none
    user_id: str
    kind: str  # started, ended, paused, … see schemas/avro/SessionEvent.avsc
    timestamp_ms: int
    append_ms: int
    value: bytes
    trace_id: str | None  # of the trace of what caused it
    partition: int  # of the sessions topic
    offset: int


class TextRow(NamedTuple):
    """Words that a person said or wrote, for full-text search."""

    session_id: str | None
    user_id: str
    at_ms: int
    expressed_by: str  # the value of a `Voice`
    place: str  # where they stand: the field's name, or `note`, `context`, …
    text: str
    topic: str  # `tagged` or `sessions`
    partition: int
    offset: int


class UnreadableRow(NamedTuple):
    """A record that is no tagged message or no session event: counted and told, never silently left out."""

    topic: str  # `tagged` or `sessions`
    error: str
    content_hash: bytes
    size_bytes: int
    partition: int
    offset: int

    @property
    def place(self) -> tuple[str, int, int]:
        """Where the record is."""
        return self.topic, self.partition, self.offset


class Status(Enum):
    """Whether all of a session is held."""

    OPEN = "open"  # it has not ended, as far as was read
    PARTIAL = "partial"  # it ended, and the messages held are not those that its end tells of
    COMPLETE = "complete"  # count and digest of its latest end match the messages held


@dataclass(slots=True)
class Sums:
    """What messages add up to."""

    expressed_by: dict[str, int] = field(default_factory=dict)  # messages by `Voice`
    sources: dict[str, int] = field(default_factory=dict)
    modalities: dict[str, int] = field(default_factory=dict)
    notices: dict[str, int] = field(default_factory=dict)  # messages by the words of `Notice`
    abort_codes: dict[str, int] = field(default_factory=dict)  # capture.abort by error_code
    feedback: dict[str, int] = field(default_factory=dict)  # confirmed, corrected, rejected
    escalations: int = 0  # messages that called for a person's attention
    captures: int = 0  # capture.open events
    confidence_sum: float = 0.0  # of the classifiers' best labels, in order of the session
    confidence_count: int = 0
    consented: int = 0  # messages that say `consent_given` true
    first_ms: int | None = None  # least and greatest event time
    last_ms: int | None = None

    @property
    def confidence(self) -> float | None:
        """Average confidence of the classifiers, 0 to 1."""
        return self.confidence_sum / self.confidence_count if self.confidence_count else None


class SessionRow(NamedTuple):
    """One session as far as it was read. Its messages and its events each decide their own columns."""

    session_id: str
    user_id: str
    partition: int
    start_ms: int
    # What its messages add up to.
    held_digest: str | None  # 64 hex digits; None when messages before the first held one are missing
    summary: Sums
    held_count: int = 0
    notices: int = 0  # bits of `Notice` that any of its messages has, or that it was opened twice
    # What its events say, the latest of each kind.
    state: str = "active"  # active, paused or ended
    end_ms: int | None = None  # None while it has not ended
    reason: str | None = None  # why it ended
    revision: int | None = None  # of its latest end
    expected_count: int | None = None
    expected_digest: str | None = None
    active_ms: int | None = None  # length without pauses, once it has ended
    paused_ms: int = 0
    start_reason: str | None = None
    previous_session_id: str | None = None
    performer_id: str | None = None  # who started it
    template: str | None = None
    is_training_data: bool | None = None
    session_notes: str | None = None  # given with its start; later notes are events
    training_intent_label: str | None = None
    event_count: int = 0
    acted_ms: int | None = None  # the time of its latest command that was not refused, or of its start
    phase: str | None = None  # the word of its latest `status` event
    tags: tuple[str, ...] = ()  # words that `tag` events added and did not remove again, sorted
    note_count: int = 0  # notes in its events, that of its start among them
    # What its messages and its events both may say; the latest by its own time counts.
    score: float | None = None  # the `overall_score` that one of them gives it
    score_ms: int | None = None  # the time of that one

    @property
    def owner(self) -> str:
        """The person whose session it is: the owner of the lane `user_id`, else `user_id` itself."""
        return owner_of(self.user_id)

    @property
    def status(self) -> Status:
        """Whether all of it is held."""
        if self.state != "ended":
            return Status.OPEN
        whole = (self.held_count, self.held_digest) == (self.expected_count, self.expected_digest)
        return Status.COMPLETE if whole else Status.PARTIAL

    @property
    def last_ms(self) -> int:
        """Its end, or the latest that is known of it."""
        if self.end_ms is not None:
            return self.end_ms
        return max(self.start_ms, self.summary.last_ms or 0, self.acted_ms or 0)

    @property
    def duration_ms(self) -> int:
        """Its length, pauses included."""
        return max(0, self.last_ms - self.start_ms)

    @property
    def flags(self) -> tuple[str, ...]:
        """Words of what any of its messages shows, or it itself."""
        return notice_words(self.notices)

    @property
    def is_opened_twice(self) -> bool:
        """Whether it holds two sessions of one id; no count and no digest can tell whether it is whole."""
        return bool(self.notices & Notice.OPENED_TWICE)

    @property
    def changes(self) -> int:
        """How many records made it what it is; it grows with each, so equal numbers mean the same content."""
        return self.event_count + self.held_count


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session with all that belongs to it, for one bundle. The iterators read the store as they go."""

    session: SessionRow
    messages: Callable[[], Iterator[MessageRow]]  # in order of `seq`, those that `session` counts and no later ones
    events: Callable[[], Iterator[EventRow]]  # in order of the log, likewise
