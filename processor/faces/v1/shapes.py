"""What the reads of `/v1` answer, for the OpenAPI document: made of the types that JSON is written from."""

from typing import Annotated, Any, Final, Literal

import msgspec

from processor.faces.replica.standing import Standing
from processor.sessions.forms.shapes import Entry, Explanation, Proof, Resource

REF: Final = "#/components/schemas/{name}"


class SessionList(msgspec.Struct):
    """A page of sessions, newest first."""

    sessions: list[Resource]
    next_cursor: str | None
    complete_since: str | None
    position: str
    total: int | msgspec.UnsetType = msgspec.UNSET


class SessionCount(msgspec.Struct):
    """How many sessions there are."""

    count: int


class SessionMessages(msgspec.Struct):
    """Messages of a session, oldest first."""

    messages: list[dict[str, Any]]


class SessionEvents(msgspec.Struct):
    """The events of a session, as in schemas/avro/SessionEvent.avsc."""

    session_id: str
    events: list[dict[str, Any]]


class SessionTimeline(msgspec.Struct):
    """A session's messages and events in order of time."""

    session_id: str
    timeline: list[Entry]


class SessionExplanation(msgspec.Struct):
    """Why a session is as it is."""

    session_id: str
    explanations: list[Explanation]


class ToldEnd(msgspec.Struct):
    """An end that was told; a greater revision takes the place of the one before."""

    position: Annotated[str, msgspec.Meta(description="as `as_of` it shows the session as this end left it")]
    revision: int | None
    told_at: str
    reason: str | None
    end_time: str | None
    message_count: int | None
    digest: str | None


class SessionAudit(msgspec.Struct):
    """A session's steps, and what the log proves of it."""

    session_id: str
    user_id: str
    created_at: str
    status: str
    phase: str | None
    steps_completed: list[str]
    timing: dict[str, int]
    data: dict[str, Any]
    audit_path: str | None
    complete: bool
    words: str
    proof: Proof
    ends: list[ToldEnd]
    position: str


class SessionProof(Proof, kw_only=True, forbid_unknown_fields=False):
    """What proves a session: hashes that anybody can chain again."""

    session_id: str
    algorithm: str
    position: str
    hashes: list[str]


class TemplateHook(msgspec.Struct):
    """When a receiver is told of sessions."""

    name: str
    at: list[str]
    every_messages: int | None


class TemplateInfo(msgspec.Struct):
    """A session template: the limits that hold for its sessions, and what they may be told."""

    name: str
    title: str | None
    gap_ms: int
    max_session_ms: int
    pause_ms: int
    config_schema: dict[str, Any] | None
    phases: dict[str, list[str]] | None
    hooks: list[TemplateHook]


class TemplateList(msgspec.Struct):
    """The session templates, by name."""

    templates: list[TemplateInfo]


class SharedSession(msgspec.Struct):
    """A link to a session as it was known at one moment."""

    share_id: str
    session_id: str
    url: str
    status: Literal["valid", "expired", "revoked"]
    position: str
    as_of: str | None
    digest: str | None
    redact: list[str]
    created_at: str
    expires_at: str
    revoked_at: str | None


class SharedSessions(msgspec.Struct):
    """The links to a session, the newest first."""

    shares: list[SharedSession]


class SessionBookmark(msgspec.Struct):
    """A moment of a session that somebody marked: a message (`seq`) or a session event (`event`)."""

    seq: int | None
    event: int | None
    text: str
    performer_id: str | None
    created_at: str


class SessionBookmarks(msgspec.Struct):
    """The moments of a session that were marked, those that were marked first before the others."""

    bookmarks: list[SessionBookmark]


_TYPES: Final = (
    Resource, SessionList, SessionCount, SessionMessages, SessionEvents, SessionTimeline, SessionExplanation,
    SessionAudit, SessionProof, TemplateInfo, TemplateList, SharedSession, SharedSessions, SessionBookmark,
    SessionBookmarks, Standing,
)  # fmt: skip
COMPONENTS: Final[dict[str, Any]] = msgspec.json.schema_components(_TYPES, ref_template=REF)[1]


def answers(form: type, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return what a route's document says of its answer."""
    schema = {"$ref": REF.format(name=form.__name__)}
    return {status: {"description": (form.__doc__ or "").strip(), "content": {"application/json": {"schema": schema}}}}
