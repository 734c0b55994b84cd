"""The JSON files of a bundle, field by field. The schemas in schemas/bundle/ are made of these types and published.

Times are ISO 8601 text, UTC, ms, Z; lengths of time are ms.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

FORMAT: Final = "a3cp-bundle/1"
SCHEMA_BASE: Final = "https://json-schema.org/draft/2020-12/schema"

Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="ISO 8601, UTC, ms")]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="SHA-256, hex")]
Count = Annotated[int, Meta(ge=0)]
Seq = Annotated[int, Meta(ge=1, description="of the message that says it; null where a session command does")]
Voice = Annotated[Literal["user", "carer", "system", "session"], Meta(description="whose expression it is")]
Speaker = Annotated[Literal["user", "carer", "system"], Meta(description="whose expression that message is")]
Trace = Annotated[
    str, Meta(pattern="^[0-9a-f]{32}$", description="of the trace that it belongs to (W3C Trace Context)")
]
Ms = Annotated[int, Meta(ge=0, description="milliseconds")]


class Proof(msgspec.Struct, forbid_unknown_fields=True):
    """What shows that the bundle is whole: the session's end tells how many messages there were, and their digest."""

    status: Literal["open", "partial", "complete"]
    expected_count: Count | None
    expected_digest: Hash | None
    held_count: Count
    held_digest: Annotated[Hash, Meta(description="chained over content_hash in order of seq")]
    revision: Count | None


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """A named unit of work."""

    at: Time
    performer_id: str | None
    name: str
    status: str | None
    duration_ms: float | None
    data: Any


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody wrote about the session, or about a moment of it."""

    at: Time
    performer_id: str | None
    note: str
    seq: Seq | None = None
    expressed_by: Speaker | None = None


class Context(msgspec.Struct, forbid_unknown_fields=True):
    """Circumstances, or a status, that somebody told."""

    at: Time
    performer_id: str | None
    context: Any
    seq: Seq | None = None
    expressed_by: Speaker | None = None


class Summary(msgspec.Struct, forbid_unknown_fields=True):
    """What the messages add up to."""

    duration_ms: Ms
    active_ms: Ms | None
    paused_ms: Ms
    messages: Count
    events: Count
    expressed_by: Annotated[dict[str, int], Meta(description="messages by whose expression they are")]
    sources: dict[str, int]
    modalities: dict[str, int]
    flags: Annotated[dict[str, int], Meta(description="messages by what is notable about them")]
    abort_codes: dict[str, int]
    feedback: dict[str, int]
    escalations: Count
    captures: Count
    average_confidence: float | None
    consented: Count


class Session(msgspec.Struct):
    """A session, as `--json` and HTTP tell it."""

    session_id: str
    user_id: str
    owner: str
    status: Literal["active", "paused", "closed"]
    phase: str | None
    completeness: Literal["open", "partial", "complete"]
    template: str | None
    created_at: Time
    start_time: Time
    last_activity: Time
    end_time: Time | None
    start_reason: str | None
    end_reason: str | None
    revision: Count | None
    performer_id: str | None
    previous_session_id: str | None
    is_training_data: bool | None
    training_intent_label: str | None
    session_notes: str | None
    flags: list[str]
    tags: list[str]
    score: float | None
    note_count: Count
    message_count: Count
    event_count: Count
    duration_ms: Ms
    active_ms: Ms | None
    paused_ms: Ms
    expected_count: Count | None
    expected_digest: Hash | None
    held_digest: Hash | None
    summary: Summary


class Resource(Session, kw_only=True):
    """A session as HTTP tells it: its `user_id` is the person, never a lane. A list leaves out what is `Unset`."""

    steps_completed: list[str] | UnsetType = UNSET
    timing: dict[str, int] | UnsetType = UNSET
    context: Annotated[dict[str, Any], Meta(description="the latest of each name")] | UnsetType = UNSET
    notes: Annotated[dict[str, str], Meta(description="the latest of each kind")] | UnsetType = UNSET
    position: Annotated[str, Meta(description="how much of the log this reflects")] | UnsetType = UNSET
    backend: Literal["kafka", "fallback"] = "kafka"


class RecordPlace(msgspec.Struct):
    """Where a record is."""

    position: Annotated[str, Meta(description="topic[partition]@offset")]
    record_id: str | None


class Explanation(msgspec.Struct):
    """Why one thing about a session is as it is."""

    what: Annotated[str, Meta(description="message, or the kind of session event: started, ended, …")]
    at: Time
    rule: Annotated[str, Meta(description="of docs/sessions.md: R1 to R16")]
    words: str
    phrase: Annotated[str, Meta(description="the name of what is said, for other languages")]
    values: Annotated[dict[str, Any], Meta(description="what stands in the phrase's places")]
    numbers: Annotated[dict[str, int], Meta(description="lengths of time in ms, and counts")]
    record: RecordPlace
    seq: Annotated[int, Meta(ge=1, description="of a message")] | None = None
    flag: Annotated[str, Meta(description="of a message")] | None = None


class Metadata(msgspec.Struct, forbid_unknown_fields=True):
    """session_metadata.json: the session in short."""

    format: Literal["a3cp-bundle/1"]
    session_id: str
    created_at: Time
    status: Literal["active", "paused", "closed"]
    user_id: str
    audit_path: Annotated[str, Meta(description="the audit log, relative to this file; null without one")] | None
    steps_completed: list[str]
    timing: dict[str, int]
    data: Annotated[dict[str, Any], Meta(description="what steps and contexts told, the latest of each name")]
    start_time: Time
    end_time: Time | None
    last_activity: Time
    start_reason: str | None
    end_reason: str | None
    performer_id: str | None
    previous_session_id: str | None
    template: str | None
    is_training_data: bool | None
    training_intent_label: str | None
    session_notes: str | None
    flags: list[str]
    message_count: Count
    event_count: Count
    completeness: Literal["open", "partial", "complete"]
    # Earlier releases left these out.
    owner: Annotated[str, Meta(description="the person whose session it is")] = ""
    phase: Annotated[str | None, Meta(description="the latest status that somebody told")] = None
    tags: list[str] = []


class Entry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One line of a timeline: a message, or a session event."""

    kind: Annotated[str, Meta(description="message, or the kind of session event: started, paused, …")]
    seq: Annotated[int, Meta(ge=1, description="of a message")] | None
    number: Annotated[int, Meta(ge=1, description="of a session event, in order of the log")] | None
    at: Annotated[Time, Meta(description="where it stands in time")]
    recorded_at: Annotated[Time, Meta(description="when the log took it")]
    expressed_by: Voice | None = None  # None only in bundles of earlier releases, which had `actor`.
    actor: Annotated[str, Meta(description="of earlier releases: who sent it")] | UnsetType = UNSET
    source: str | None
    modality: str | None
    words: Annotated[str, Meta(description="one line in plain words")]
    detail: str
    notices: list[str]
    content_hash: Hash | None
    record: Annotated[dict[str, Any], Meta(description="the record's own fields; of a withheld one what may be kept")]
    reasons: Annotated[
        list[str], Meta(description="why it is nonconforming, if it is; docs/schemas.md has the words")
    ] = []
    trace_id: Trace | None = None
    phrase: Annotated[str, Meta(description="the name that `words` has in the tables of words")] = ""
    values: Annotated[dict[str, Any], Meta(description="what stands in the phrase's places")] = {}


class Bundle(msgspec.Struct, forbid_unknown_fields=True):
    """bundle.json: the whole session. Written with one line for each member and each entry, to be read by lines."""

    format: Literal["a3cp-bundle/1"]
    metadata: Metadata
    summary: Summary
    proof: Proof
    notes: Annotated[list[Note], Meta(description="in order of time")]
    context: Annotated[list[Context], Meta(description="in order of time")]
    steps: list[Step]
    session_events: Annotated[list[dict[str, Any]], Meta(description="as in schemas/avro/SessionEvent.avsc")]
    timeline: Annotated[list[Entry], Meta(description="in order of time")]


class AuditLine(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A line of timeline.jsonl, in order of the log."""

    recorded_at: Time
    event: dict[str, Any]
    trace_id: Trace | None = None


class RecordLine(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A line of records.jsonl: a message as it came, byte for byte, in order of `seq`."""

    seq: Annotated[int, Meta(ge=1)]
    position: Annotated[str, Meta(description="partition@offset in the tagged topic")]
    appended_at: Time
    key: Annotated[str, Meta(description="the user's id")]
    content_hash: Annotated[Hash, Meta(description="of the message as it came")]
    size: Annotated[int, Meta(ge=0, description="bytes of the message as it came")]
    text: Annotated[str, Meta(description="the message, when it is text")] | None = None
    base64: Annotated[str, Meta(description="the message, when it is Avro")] | None = None
    withheld: Annotated[str, Meta(description="why it is not kept")] | None = None
    flags: Annotated[list[str], Meta(description="of its tag; of a withheld one also what its content showed")] = []
    known: Annotated[dict[str, str], Meta(description="of a withheld one: what may be kept of its fields")] | None = (
        None
    )
    trace_id: Trace | None = None


class File(msgspec.Struct, forbid_unknown_fields=True):
    """A file of the bundle."""

    name: str
    size: Count
    sha256: Hash


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """manifest.json: what the bundle consists of, and the only place that tells when it was written, and by what."""

    format: Literal["a3cp-bundle/1"]
    session_id: str
    written_at: Time
    written_by: str
    files: list[File]
    sha256: Annotated[Hash, Meta(description="of this file with 64 zeros in the place of this hash")]


class Signature(msgspec.Struct, forbid_unknown_fields=True):
    """Who signed: manifest.sig has it of the manifest beside it, a seal of itself."""

    format: Literal["a3cp-signature/1"]
    key_id: Annotated[
        str, Meta(pattern="^[0-9a-f]{16}$", description="first 16 digits of the SHA-256 of the public key's 32 bytes")
    ]
    signature: Annotated[bytes, Meta(description="Ed25519, of a bundle over all bytes of manifest.json")]


class Seal(msgspec.Struct, forbid_unknown_fields=True):
    """What a seal says of the bundles that a store wrote below a root; the log has it as `details` of an event."""

    day: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$", description="UTC, the day that had ended")]
    chain: Annotated[str, Meta(description="the same in all seals of one store below one root")]
    made_at: Annotated[Time, Meta(description="bundles written before are in it, or in a seal before it")]
    leaves: Count
    root: Annotated[Hash, Meta(description="of the Merkle tree (RFC 6962) over the leaves")]
    previous: Annotated[Hash | None, Meta(description="SHA-256 of the `seal` before this one, as compact JSON")]


class SealFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file below seals/: a seal, and what it was made of."""

    format: Literal["a3cp-seal/1"]
    seal: Seal
    signature: Annotated[Signature | None, Meta(description="over `seal` as compact JSON")]
    position: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z0-9._-]{1,249}\[\d{1,9}\]@\d{1,18}$",
                description="topic[partition]@offset of its record; null until it has one",
            ),
        ]
        | None
    )
    hashes: Annotated[list[Hash], Meta(description="of the leaves, sorted; docs/bundles.md says what a leaf is")]


class Index(msgspec.Struct, forbid_unknown_fields=True):
    """A file of a root's index: the bundles that a store has written of sessions that started on one date."""

    format: Literal["a3cp-index/1"]
    date: str
    sessions: Annotated[list[str], Meta(description="their ids, sorted")]
    removed: Annotated[Count, Meta(description="how many were listed before and were removed since")]
    sha256: Annotated[str, Meta(description="of this file with an empty text in the place of this hash")]


PUBLISHED: Final[dict[str, type]] = {
    "session_metadata": Metadata,
    "bundle": Bundle,
    "timeline-line": AuditLine,
    "records-line": RecordLine,
    "manifest": Manifest,
    "signature": Signature,
    "seal": SealFile,
    "index": Index,
}


def schema_text(name: str) -> str:
    """Return the JSON schema of a kind of file, as it is published in schemas/bundle/."""
    schema = {"$schema": SCHEMA_BASE, "title": name, **msgspec.json.schema(PUBLISHED[name])}
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"
