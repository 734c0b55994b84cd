"""The values that sessions are made of. Times are ms since the epoch, UTC.

Those made for every message are `NamedTuple`s: making one takes a quarter of the time of a frozen dataclass
(docs/performance.md), and both are immutable.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

CANARY: Final = "canary"
"""The source of what `a3cp canary` sends. It is passive, whatever else is."""

CANARY_USERS: Final = "a3cp-canary-"
"""How the names of its users begin. They are nobody."""


class Flag:
    """What is odd about a tagged message: bits that add up, each with a word in `WORDS`."""

    NONCONFORMING: Final = 1
    CLOCK_SKEW: Final = 2
    DUPLICATE: Final = 4
    LATE: Final = 8
    WHILE_PAUSED: Final = 16
    SESSION_MISMATCH: Final = 32
    NO_SESSION: Final = 64

    WORDS: Final = (
        "nonconforming",
        "clock_skew",
        "duplicate",
        "late",
        "while_paused",
        "session_mismatch",
        "no_session",
    )


@cache
def flag_words(flags: int) -> tuple[str, ...]:
    """Return the words for the bits in `flags`, in the order of `Flag.WORDS`."""
    return tuple(word for bit, word in enumerate(Flag.WORDS) if flags >> bit & 1)


class Odd:
    """Why a message is NONCONFORMING: bits that add up, each with a word in `WORDS`, which others rely on."""

    SCHEMA_VERSION_MISSING: Final = 1
    SCHEMA_VERSION_NOT_SEMVER: Final = 2
    RECORD_ID_MISSING: Final = 4
    RECORD_ID_NOT_UUID: Final = 8
    USER_ID_BLANKS: Final = 16
    USER_ID_INVISIBLE: Final = 32
    TIMESTAMP_WITHOUT_ZONE: Final = 64
    PERFORMER_ID_NOT_TEXT: Final = 128
    MODALITY_UNKNOWN: Final = 256
    SOURCE_NOT_TEXT: Final = 512
    CAPTURE_ID_NOT_TEXT: Final = 1024
    SESSION_ID_NOT_TEXT: Final = 2048
    TAG_FIELDS: Final = 4096
    SESSION_POLICY_WRONG: Final = 8192

    WORDS: Final = (
        "schema_version_missing",
        "schema_version_not_semver",
        "record_id_missing",
        "record_id_not_uuid",
        "user_id_blanks",
        "user_id_invisible",
        "timestamp_without_zone",
        "performer_id_not_text",
        "modality_unknown",
        "source_not_text",
        "capture_id_not_text",
        "session_id_not_text",
        "tag_fields",
        "session_policy_wrong",
    )


@cache
def odd_words(odd: int) -> tuple[str, ...]:
    """Return the words for the bits in `odd`, in the order of `Odd.WORDS`."""
    return tuple(word for bit, word in enumerate(Odd.WORDS) if odd >> bit & 1)


class EndReason(Enum):
    """Why a session ended."""

    TIMEOUT = "timeout"  # the user fell silent for longer than the gap
    PAUSE_TIMEOUT = "pause_timeout"  # a pause was never resumed
    MAX_DURATION = "max_duration"
    COMMAND = "command"  # somebody asked for it
    SUPERSEDED = "superseded"  # a `start` with `force_new`
    LATE = "late"  # a late message's own session, started and ended at once


class StartReason(Enum):
    """Why a session started."""

    MESSAGE = "message"
    COMMAND = "command"
    LATE = "late"


class CommandName(Enum):
    """What a person or a module can ask of a session (rule R7)."""

    START = "start"
    END = "end"
    PAUSE = "pause"
    RESUME = "resume"
    NOTE = "note"
    CONTEXT = "context"
    STEP = "step"
    STATUS = "status"
    TAG = "tag"
    TOUCH = "touch"


class RejectCode(Enum):
    """Why a command changed nothing."""

    NOT_FOUND = "not_found"
    USER_MISMATCH = "user_mismatch"
    ALREADY_CLOSED = "already_closed"


class IdFormat(Enum):
    """How a session id looks (rule R6)."""

    DATED = "dated"
    SHORT = "short"


class Policy(NamedTuple):
    """How long sessions may be, for one user or one template; None leaves a value to the next more general one."""

    gap_ms: int | None = None
    max_session_ms: int | None = None
    pause_ms: int | None = None
    template: str | None = None


BUILT_IN_TEMPLATES: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        "conversation": Policy(gap_ms=2 * HOUR_MS),
        "interview": Policy(gap_ms=2 * HOUR_MS, pause_ms=DAY_MS),
        "assessment": Policy(gap_ms=DAY_MS),
        "gateway": Policy(gap_ms=HOUR_MS),
    }
)
"""Templates that are known without any setting: each kind of application ends its sessions after its own silence."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that the rules depend on. Two runs with equal rules tag equally."""

    gap_ms: int = HOUR_MS
    max_session_ms: int = DAY_MS
    pause_ms: int = DAY_MS
    late_horizon_ms: int = DAY_MS
    quiet_ms: int = 10_000
    skew_ms: int = 300_000
    id_format: IdFormat = IdFormat.DATED
    passive_sources: frozenset[str] = frozenset(
        {"model_trainer", "retraining_scheduler", "model_registry", "user_profile_store", CANARY}
    )
    templates: Mapping[str, Policy] = field(default_factory=lambda: BUILT_IN_TEMPLATES)

    def __post_init__(self) -> None:
        assert min(self.gap_ms, self.max_session_ms, self.pause_ms, self.late_horizon_ms) > 0
        assert min(self.quiet_ms, self.skew_ms) >= 0


class Message(NamedTuple):
    """One A3CPMessage, as far as the rules look at it."""

    user_id: str
    record_id: str  # "" when the message has none
    timestamp_ms: int
    append_ms: int  # when the broker appended it
    content_hash: bytes  # SHA-256 of the value as it came, 32 bytes
    source: str | None = None
    claimed_session_id: str | None = None  # None when absent or blank
    flags: int = 0  # what the codec noticed: NONCONFORMING or nothing
    encoding: int = 0  # the codec's number of the encoding; an event with no record of its own speaks it too
    policy: Policy | None = None  # a profile update's
    odd: int = 0  # why it is NONCONFORMING: bits of `Odd`


class Command(NamedTuple):
    """One SessionCommand."""

    user_id: str
    record_id: str
    timestamp_ms: int
    append_ms: int
    content_hash: bytes
    name: CommandName
    session_id: str | None = None  # the session it names; None means the open one
    performer_id: str | None = None
    encoding: int = 0
    force_new: bool = False
    template: str | None = None
    is_training_data: bool = False
    session_notes: str | None = None
    training_intent_label: str | None = None
    details: str | None = None  # further arguments, JSON text
    odd: int = 0  # as of a message


class Erase(NamedTuple):
    """Somebody asks that a user be erased (rule R14)."""

    user_id: str
    record_id: str
    timestamp_ms: int
    append_ms: int
    content_hash: bytes
    encoding: int = 0
    odd: int = 0  # as of a message


Record: TypeAlias = Message | Command | Erase


class Session(NamedTuple):
    """A session so far. `digest` is SHA-256, chained over the content hashes of its messages in order."""

    session_id: str
    start_ms: int
    last_ms: int  # event time of the latest activity
    messages: int
    digest: bytes
    template: str | None = None
    paused_at_ms: int | None = None  # None while not paused
    paused_total_ms: int = 0  # pauses that are over
    end_ms: int | None = None  # set once an end was announced
    end_reason: EndReason | None = None
    ends: int = 0  # how many end events were emitted; the next one's revision
    touched_ms: int = 0  # of a closed session: the user's newest event time when it last changed


class UserState(NamedTuple):
    """All that is remembered of a user; None in its place means nothing.

    `current` is the latest session that silence has not certainly ended: once the clock has announced its end
    (`end_ms` set), a message within the gap still belongs to it and reopens it.
    """

    current: Session | None
    closed: tuple[Session, ...]  # oldest start first, at most RECENT_SESSIONS_MAX
    recent: bytes  # the first FINGERPRINT_BYTES of the content hashes of the latest records, oldest first
    policy: Policy | None
    last_append_ms: int
    encoding: int
    last_offset: int  # where the user's latest record is in the partition of the raw topic; -1 when that is not known


RECENT_SESSIONS_MAX: Final = 8  # closed sessions that a late message can still join
RECENT_RECORDS_MAX: Final = 24  # records among which a repeat is recognised
FINGERPRINT_BYTES: Final = 8


class Started(NamedTuple):
    """A session began."""

    session_id: str
    start_ms: int
    reason: StartReason
    previous_session_id: str | None
    keep_from_ms: int  # closed sessions last touched before this are out of reach (late horizon)
    command: Command | None = None


class Reopened(NamedTuple):
    """A session whose end the clock had announced goes on."""

    session_id: str
    start_ms: int
    at_ms: int
    revision: int  # of the end that it takes back


class Tagged(NamedTuple):
    """A message got its place: `seq` in `session_id`, or none of both (flag NO_SESSION)."""

    session_id: str | None
    seq: int
    start_ms: int
    flags: int
    at_ms: int  # event time, bounded by rule R10
    content_hash: bytes
    active: bool  # whether it prolongs its session (rule R15)


class Paused(NamedTuple):
    """A session was paused."""

    session_id: str
    start_ms: int
    at_ms: int
    command: Command


class Resumed(NamedTuple):
    """A paused session goes on."""

    session_id: str
    start_ms: int
    at_ms: int
    paused_ms: int
    command: Command


class Ended(NamedTuple):
    """A session ended, or its end is told again (`revision` above 0) because a message was added."""

    session_id: str
    start_ms: int
    end_ms: int
    reason: EndReason
    revision: int
    messages: int
    digest: bytes
    paused_ms: int
    at_ms: int
    command: Command | None = None


class Noted(NamedTuple):
    """A note, context, step, status or change of tags was added to a session."""

    session_id: str
    start_ms: int
    at_ms: int
    command: Command


class Unchanged(NamedTuple):
    """A command was right but had nothing to do."""

    session_id: str
    start_ms: int
    at_ms: int
    why: str  # already_active, already_paused, not_paused, touched or duplicate
    command: Command


class Rejected(NamedTuple):
    """A command was refused."""

    session_id: str | None
    at_ms: int
    code: RejectCode
    command: Command


class PolicySet(NamedTuple):
    """A profile update set the user's own limits."""

    policy: Policy


class Forgotten(NamedTuple):
    """The late horizon has passed: all but the user's policy is forgotten (rule R14)."""


class Erased(NamedTuple):
    """Somebody asked for it: all of the user is forgotten, the policy too (rule R14)."""


SessionEvent: TypeAlias = Started | Reopened | Paused | Resumed | Ended | Noted | Unchanged | Rejected
Event: TypeAlias = SessionEvent | Tagged | PolicySet | Forgotten | Erased
