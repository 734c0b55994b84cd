"""A tagged message in full, alike for every encoding."""

from typing import Any, NamedTuple

from processor.codec.jsonvalue import plain_object
from processor.codec.spine import claim_of
from processor.errors import DecodeError


class TaggedView(NamedTuple):
    """One tagged message in full."""

    user_id: str
    record_id: str  # "" when it has none
    timestamp_ms: int
    source: str | None
    session_id: str | None
    session_seq: int | None
    session_start_ms: int | None
    flags: tuple[str, ...]
    claimed_session_id: str | None  # None when the producer claimed none
    encoding: int
    fields: dict[str, Any]  # its own, flat, as JSON has them; `session_id` set right, time as text, none that is absent


class Tag(NamedTuple):
    """The fields of a tag, in their order."""

    session_id: str | None
    seq: int | None
    start_ms: int | None
    flags: tuple[str, ...]


def view_of(fields: dict[str, Any], timestamp_ms: int, tag: Tag, claim: object, encoding: int) -> TaggedView:
    """Return what the message with these `fields`, its own, says beside its `tag`."""
    session_id = tag.session_id
    if session_id is None:
        fields.pop("session_id", None)
    else:
        fields["session_id"] = session_id
    record_id, source = fields.get("record_id"), fields.get("source")
    return TaggedView(
        str(fields["user_id"]),
        record_id if isinstance(record_id, str) else "",
        timestamp_ms,
        source if isinstance(source, str) else None,
        *tag,
        claim_of(claim) if isinstance(claim, str) else None,
        encoding,
        fields,
    )


def with_extra(fields: dict[str, Any], extra: str | None) -> dict[str, Any]:
    """Return `fields` and those in `extra`; one that is no JSON object is what it is."""
    if extra is None:
        return fields
    try:
        return {**plain_object(extra), **fields}
    except ValueError:
        return {**fields, "extra": extra}


def no_tag() -> DecodeError:
    """Return what is wrong with a value that is no tagged message."""
    return DecodeError("value has no whole session tag", remedy="give a record of the tagged topic")
