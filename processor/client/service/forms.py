"""What the service answers, as Python has it: the fields of docs/api.md, times as `datetime`, all values frozen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal["active", "paused", "closed"]
Validity: TypeAlias = Literal["active", "closed", "invalid"]
Message: TypeAlias = Mapping[str, Any]
"""A message's own fields, with `session_id` and `session_seq`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session. Lists leave out some of what a single one tells."""

    session_id: str
    user_id: str | None
    status: Status
    created_at: datetime
    phase: str | None = None  # the last word of `update_status`
    template: str | None = None
    start_time: datetime | None = None
    last_activity: datetime | None = None
    end_time: datetime | None = None
    start_reason: str | None = None
    end_reason: str | None = None  # command, timeout, superseded, …
    revision: int | None = None  # of the end; greater when a late message changed it
    message_count: int = 0
    event_count: int = 0
    note_count: int = 0
    duration_ms: int | None = None
    active_ms: int | None = None
    paused_ms: int | None = None
    performer_id: str | None = None
    session_notes: str | None = None
    is_training_data: bool | None = None
    training_intent_label: str | None = None
    previous_session_id: str | None = None
    steps_completed: tuple[str, ...] = ()
    timing: Mapping[str, int] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)  # the latest of each kind
    summary: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    score: float | None = None
    completeness: Literal["open", "partial", "complete"] = "open"
    position: str | None = None  # in the log, for another replica
    backend: str = "kafka"

    @property
    def is_open(self) -> bool:
        """Whether it still takes messages and commands."""
        return self.status != "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a command caused: a session event."""

    kind: str  # started, ended, paused, resumed, note, context, step, status, tag, unchanged, …
    record_id: str
    session_id: str
    user_id: str | None = None
    timestamp: datetime | None = None
    performer_id: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    reason: str | None = None
    revision: int | None = None
    message_count: int | None = None
    digest: str | None = None
    command_record_id: str | None = None
    template: str | None = None
    session_notes: str | None = None
    details: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of sessions, newest first."""

    sessions: tuple[Session, ...]
    next_cursor: str | None = None  # for the page behind it; None: this is the last
    total: int | None = None
    complete_since: datetime | None = None  # the answer knows every session that started since then
    position: str | None = None

    def __iter__(self) -> Iterator[Session]:
        """Yield the sessions."""
        return iter(self.sessions)

    def __len__(self) -> int:
        return len(self.sessions)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCounts:
    """How many sessions are open, paused ones among them."""

    kafka: int
    fallback: int  # that wait for Kafka in an outbox
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What became of a session's steps, and what they told."""

    session_id: str
    status: Status
    created_at: datetime
    phase: str | None = None
    steps_completed: tuple[str, ...] = ()
    timing: Mapping[str, int] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    audit_path: str | None = None  # where its bundle is, if the service knows that


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A message that was taken."""

    record_id: str
    session_id: str | None = None  # another one if it is of a time when this one was not there; None as for `seq`
    seq: int | None = None  # its number in that session; None when it was not waited for, or is of no session
    flags: tuple[str, ...] = ()
    backend: str = "kafka"  # fallback: it waits in an outbox


class Live(NamedTuple):
    """One thing that has just happened."""

    kind: str  # message, event, session or reset
    position: str | None  # to go on behind it
    data: Mapping[str, Any]
