"""The one JSON form of a session and of a session event: for `--json`, bundles and all others.

An entry of a timeline is `shapes.Entry`. Times are ISO 8601 text.
"""

from dataclasses import fields
from typing import Any

from processor.codec.events import EventView, to_json
from processor.codec.isotime import format_time
from processor.codec.jsonvalue import plain_object
from processor.core.ids import owner_of
from processor.sessions.forms.shapes import Resource, Session, Summary
from processor.sessions.model import SessionRow, Sums
from processor.sessions.ports import Found, Removed
from processor.sessions.summary import Rollup
from processor.sessions.what_if import WhatIf

_SAME = frozenset(SessionRow._fields).intersection(Session.__struct_fields__) - {"summary", "tags"}


def session_of(row: SessionRow) -> Session:
    """Return a session as JSON tells it."""
    return Session(**_fields(row))


def resource_of(row: SessionRow, **more: Any) -> Resource:
    """Return a session as HTTP tells it; `more` are the fields that `Session` has not."""
    return Resource(**{**_fields(row), "user_id": row.owner, **more})


def _fields(row: SessionRow) -> dict[str, Any]:
    start = format_time(row.start_ms)
    return {
        **{name: getattr(row, name) for name in _SAME},
        "status": "closed" if row.state == "ended" else row.state,
        "completeness": row.status.value,
        "created_at": start,
        "start_time": start,
        "last_activity": format_time(row.last_ms),
        "end_time": None if row.end_ms is None else format_time(row.end_ms),
        "end_reason": row.reason,
        "owner": row.owner,
        "flags": list(row.flags),
        "tags": list(row.tags),
        "message_count": row.held_count,
        "duration_ms": row.duration_ms,
        "summary": summary_of(row),
    }


def summary_of(row: SessionRow) -> Summary:
    """Return what a session's messages add up to."""
    return Summary(
        duration_ms=row.duration_ms,
        active_ms=row.active_ms,
        paused_ms=row.paused_ms,
        messages=row.held_count,
        events=row.event_count,
        **sums_fields(row.summary),
    )


def sums_fields(sums: Sums) -> dict[str, Any]:
    """Return sums by the names that they have in JSON, each count's keys sorted."""
    return {
        "expressed_by": dict(sorted(sums.expressed_by.items())),
        "sources": dict(sorted(sums.sources.items())),
        "modalities": dict(sorted(sums.modalities.items())),
        "flags": dict(sorted(sums.notices.items())),
        "abort_codes": dict(sorted(sums.abort_codes.items())),
        "feedback": dict(sorted(sums.feedback.items())),
        "escalations": sums.escalations,
        "captures": sums.captures,
        "average_confidence": None if sums.confidence is None else round(sums.confidence, 6),
        "consented": sums.consented,
    }


def event_fields(event: EventView) -> dict[str, Any]:
    """Return a session event as the sessions topic has it in JSON."""
    return plain_object(to_json(event))


def found_fields(found: Found) -> dict[str, Any]:
    """Return a text that a search found."""
    return {
        "session_id": found.session_id,
        "user_id": found.user_id,
        "time": format_time(found.at_ms),
        "expressed_by": found.expressed_by,
        "place": found.place,
        "text": found.text,
    }


def what_if_fields(told: WhatIf) -> dict[str, Any]:
    """Return what other limits would make of sessions."""
    return {
        "sessions": told.sessions,
        "would_be": told.would_be,
        "split": told.split,
        "joined": told.joined,
        "not_repeated": told.not_repeated,
        "commands_from": told.commands_from,
        "splits": [
            {
                "session_id": each.session_id,
                "user_id": owner_of(each.user_id),
                "parts": [
                    {"start_time": format_time(start_ms), "message_count": count}
                    for start_ms, count in zip(each.starts_ms, each.messages, strict=True)
                ],
            }
            for each in told.splits
        ],
        "joins": [
            {
                "session_ids": list(each.session_ids),
                "user_id": owner_of(each.user_id),
                "start_time": format_time(each.start_ms),
                "message_count": each.messages,
            }
            for each in told.joins
        ],
    }


def rollup_fields(total: Rollup) -> dict[str, Any]:
    """Return several sessions together."""
    counts = {each.name: getattr(total, each.name) for each in fields(total) if each.name != "summary"}
    return {**counts, "summary": sums_fields(total.summary)}


def removal_fields(removed: Removed) -> dict[str, Any]:
    """Return what was removed from a store."""
    starts = [start_ms for _, start_ms, _ in removed.sessions]
    return {
        **removed._asdict(),
        "sessions": len(starts),
        "first_start": format_time(starts[0]) if starts else None,
        "last_start": format_time(starts[-1]) if starts else None,
    }
