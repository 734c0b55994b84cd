"""What an interview is: its configuration, its status, and what its evaluation says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from processor.client.interview.errors import DataStoreError, failing
from processor.client.service import forms
from processor.codec.isotime import format_time, wall_ms

TEMPLATE: Final = "interview"
_HEX: Final = 32


class CommunicationMode(StrEnum):
    """A way in which interviewer and candidate communicate."""

    TEXT = "text"
    WHITEBOARD = "whiteboard"
    AUDIO = "audio"
    VIDEO = "video"


class SessionStatus(StrEnum):
    """Where an interview is."""

    CREATED = "created"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ERROR = "error"


@dataclass(frozen=True)
class SessionConfig:
    """How an interview is to be held."""

    enabled_modes: Sequence[CommunicationMode]
    ai_provider: str
    ai_model: str
    resume_data: Any = field(default=None, repr=False)
    """What the interview begins with; its `user_id` says whose it is. It goes to the profile store alone."""
    duration_minutes: float | None = None
    """The planned length. It is shown, and ends nothing."""

    def context(self) -> dict[str, Any]:
        """Return what the log holds of it; the service checks it."""
        modes = [str(mode) for mode in self.enabled_modes]
        length = {} if self.duration_minutes is None else {"duration_minutes": self.duration_minutes}
        return {"enabled_modes": modes, "ai_provider": self.ai_provider, "ai_model": self.ai_model, **length}


@dataclass(frozen=True, kw_only=True)
class SessionSummary:
    """An interview in a list."""

    id: str
    user_id: str | None
    status: SessionStatus
    created_at: datetime
    ended_at: datetime | None
    duration: timedelta
    """How long it was active, once it has ended; until then how long it has been there."""
    overall_score: float | None

    @property
    def date(self) -> datetime:
        """When it was created."""
        return self.created_at

    @property
    def uuid(self) -> UUID | None:
        """The 32 hex digits of its id, for those who need a UUID; None if the site's ids are short."""
        digits = self.id[-_HEX:]
        return UUID(digits) if "_" not in digits else None


@dataclass(frozen=True, kw_only=True)
class Session(SessionSummary):
    """An interview."""

    config: SessionConfig


@dataclass(frozen=True)
class EvaluationReport:
    """What a webhook says of an interview; whoever evaluates in Python may return an object of their own."""

    session_id: str
    overall_score: float
    details: Mapping[str, Any] = field(default_factory=dict)
    recording_path: str | None = None  # where the session's bundle is, if the service knows that


def status_of(session: forms.Session) -> SessionStatus:
    """Return where an interview is; one that ended before it was active went wrong."""
    match session.status, session.phase:
        case (_, "completed") | ("closed", "active"):
            return SessionStatus.COMPLETED
        case ("closed", _) | (_, "error"):
            return SessionStatus.ERROR
        case ("paused", "active"):
            return SessionStatus.PAUSED
        case (_, "active"):
            return SessionStatus.ACTIVE
        case _:
            return SessionStatus.CREATED


def summary_of(session: forms.Session) -> SessionSummary:
    """Return how a session is listed."""
    return SessionSummary(**_summary(session))


def session_of(session: forms.Session) -> Session:
    """Return an interview; its resume is not part of it."""
    told = session.context
    with failing(DataStoreError, "to read the configuration"):  # Others may have told another one.
        config = SessionConfig(
            enabled_modes=[CommunicationMode(mode) for mode in told.get("enabled_modes", ())],
            ai_provider=told.get("ai_provider", ""),
            ai_model=told.get("ai_model", ""),
            duration_minutes=told.get("duration_minutes"),
        )
    return Session(**_summary(session), config=config)


def members_of(value: object) -> dict[str, Any]:
    """Return the members of an object as JSON has them: of a dataclass, a model, a mapping or any other object.

    Raises:
        TypeError, ValueError, RecursionError: it has none, or JSON has nothing for one of them.
    """
    members = msgspec.to_builtins(value, str_keys=True, enc_hook=_members)
    if not isinstance(members, dict):
        raise TypeError("it has no members")
    return members


def now() -> str:
    """Return the time, as messages have it."""
    return format_time(wall_ms())


def _members(value: Any) -> object:
    if hasattr(type(value), "model_dump"):  # of pydantic
        return value.model_dump(mode="json")
    return {name: each for name, each in vars(value).items() if not name.startswith("_")}


def _summary(session: forms.Session) -> dict[str, Any]:
    length_ms = session.duration_ms if session.active_ms is None else session.active_ms
    return {
        "id": session.session_id,
        "user_id": session.user_id,
        "status": status_of(session),
        "created_at": session.created_at,
        "ended_at": session.end_time,
        "duration": timedelta(milliseconds=length_ms or 0),
        "overall_score": session.score,
    }
