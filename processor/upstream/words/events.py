"""What a session event says."""

from collections.abc import Mapping
from typing import Any, Final

from processor.codec.events import EventView
from processor.upstream.words.table import Said, filled, readable, short

_SIMPLE: Final = frozenset({"paused", "resumed", "note", "context", "step", "status", "tag", "unchanged"})


def event_words(event: EventView) -> str:
    """Return one line for a session event."""
    return filled(said_in_event(event))


def said_in_event(event: EventView) -> Said:
    """Return what a session event says."""
    who = event.performer_id if event.performer_id != "system" else None
    told = {"who": who, "reason": event.reason, "note": event.session_notes}
    values = {name: short(value) for name, value in told.items() if value}
    match event.kind:
        case "started" if event.reason in ("message", "late"):
            return Said(f"started_{event.reason}", values)
        case "started":
            return Said("started", values)
        case "ended" if event.revision:
            return Said("ended_again", values)
        case "ended":
            return Said("ended_by" if who else "ended", values)
        case "reopened":
            return Said("reopened")
        case "rejected":
            return Said("rejected_event", values)
        case kind if kind in _SIMPLE:
            return Said(kind, values)
    return Said("other_event", {"kind": readable(event.kind)})


def detail_words(kind: str, details: Mapping[str, Any]) -> str:
    """Return the arguments of a `context`, `step`, `status` or `tag` in words; "" for other events."""
    if kind == "step" and isinstance(step := details.get("step"), Mapping):
        parts = [str(step.get("name", "")), str(step.get("status") or "")]
        return short(", ".join(part for part in parts if part))
    if kind == "context" and isinstance(context := details.get("context"), Mapping):
        return short(", ".join(f"{readable(key).lower()} {value}" for key, value in context.items()))
    if kind == "tag" and isinstance(tags := details.get("tags"), Mapping):
        lists = (tags.get(key) for key in ("add", "remove"))
        added, removed = (", ".join(map(str, words)) if isinstance(words, list) else "" for words in lists)
        return short("; ".join(part for part in (added, removed and f"without {removed}") if part))
    return short(str(details["status"])) if kind == "status" and "status" in details else ""
