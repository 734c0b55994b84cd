"""What the arguments of session commands tell, read from the events that keep them. Anything may stand there."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from processor.codec.events import EventView
from processor.codec.jsonvalue import plain_value
from processor.codec.spine import is_tag
from processor.upstream.facts import score_in

PHASE_CHARS_MAX: Final = 256
TAGS_MAX: Final = 100  # of one session


def details_of(event: EventView) -> Mapping[str, Any]:
    """Return the further arguments of a command, as its event keeps them."""
    if event.details is None:
        return {}
    try:
        details = plain_value(event.details)
    except ValueError:  # Then they are no arguments of ours; the record shows them.
        return {}
    return details if isinstance(details, dict) else {}


def has_note(event: EventView) -> bool:
    """Whether somebody wrote a note about the session with this event."""
    return bool(event.session_notes) and event.kind in ("started", "note")


def phase_in(details: Mapping[str, Any]) -> str | None:
    """Return the word that a `status` event tells."""
    status = details.get("status")
    return status.strip()[:PHASE_CHARS_MAX].replace("\0", "") or None if isinstance(status, str) else None


def tags_with(tags: Iterable[str], details: Mapping[str, Any]) -> tuple[str, ...]:
    """Return `tags` as a `tag` event leaves them, sorted; what is both added and removed is removed."""
    change = details.get("tags")
    if not isinstance(change, dict):
        return tuple(tags)
    kept = {*tags, *_words(change.get("add"))} - _words(change.get("remove"))
    return tuple(sorted(kept)[:TAGS_MAX])


def score_of(details: Mapping[str, Any]) -> float | None:
    """Return the `overall_score` of an event: one of its arguments, or in its context or its step's data."""
    step = details.get("step")
    places = (details, details.get("context"), step.get("data") if isinstance(step, dict) else None)
    scores = (score_in(place) for place in places if isinstance(place, dict))
    return next((score for score in scores if score is not None), None)


def _words(listed: object) -> set[str]:
    return {word for word in listed if is_tag(word)} if isinstance(listed, list) else set()
