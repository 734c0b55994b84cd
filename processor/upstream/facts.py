"""What is looked for in a message: whose expression it is, what a reviewer wants to find, and words to search.

Upstream's modules name the same thing differently, and most of their examples fit no schema: so everything is looked
for, nothing is demanded.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from processor.codec.events import SEALED, EventView
from processor.codec.jsonvalue import plain_value
from processor.upstream.expression import voice_of
from processor.upstream.notices import Notice
from processor.upstream.words import socket_text, top_label

TEXT_CHARS_MAX: Final = 10_000  # of one text that can be searched
TEXTS_MAX: Final = 32  # of one record

_WORDS: Final = {word: 1 << bit for bit, word in enumerate(Notice.WORDS)}
_TEXT_KEYS: Final = (
    "content",
    "text",
    "transcript",
    "partner_speech",
    "context_partner_speech",
    "output_phrase",
    "prompt_text",
    "user_response",
    "session_notes",
    "annotation_context",
    "environment_label",
    "context_location",
    "context_prompt_type",
    "context_topic_tag",
    "intent_label",
    "label_correction",
    "phrase",
    "notes",
)
_FEEDBACK: Final = {
    "confirmed": "confirmed",
    "accept": "confirmed",
    "accepted": "confirmed",
    "corrected": "corrected",
    "correct": "corrected",
    "rejected": "rejected",
    "reject": "rejected",
}
_FEEDBACK_NOTICES: Final = {"corrected": Notice.CORRECTED, "rejected": Notice.REJECTED}
_NUMBERS: Final = (int, float)  # By type: a truth value is an `int` to `isinstance`.
_SCORE_END: Final = 1e15  # Beyond it, and of what is no number at all, nobody means a score.
_TEXT_SETS: Final = frozenset((*_TEXT_KEYS, "context", "annotation", "clarification", "payload"))


class Facts(NamedTuple):
    """What the content of one message shows."""

    expressed_by: str  # the value of a `Voice`
    notices: int  # bits of `Notice`, without those of the tag
    confidence: float | None  # of a classifier's best label
    feedback: str | None  # confirmed, corrected or rejected; in a conversation positive or negative
    abort_code: str | None
    escalates: bool
    opens_capture: bool
    consents: bool
    score: float | None  # that an evaluation gives its session
    texts: tuple[tuple[str, str], ...]  # where they stand, and what they say


def facts_of(fields: Mapping[str, Any]) -> Facts:
    """Return what the message with `fields`, as `TaggedView` has them, shows."""
    notices = 0
    confidence = abort_code = None
    event = fields.get("event")
    output = fields.get("classifier_output") or fields.get("intent_predictions")
    if output is not None:
        confidence, is_unknown = _judgement(output)
        if is_unknown:
            notices |= Notice.UNKNOWN
    if event == "capture.abort":
        notices |= Notice.CAPTURE_ABORT
        abort_code = _word(fields.get("error_code")) or "unknown"
    clarification = fields.get("clarification")
    if fields.get("output_type") == "clarification" or (
        isinstance(clarification, dict) and clarification.get("needed") is True
    ):
        notices |= Notice.CLARIFICATION
    judged = fields.get("label_status") or fields.get("partner_action")
    feedback = None if judged is None else _FEEDBACK.get(_word(judged) or "")
    if feedback is not None:
        notices |= _FEEDBACK_NOTICES.get(feedback, 0)
    context = fields.get("context")
    flags = context.get("flags") if isinstance(context, dict) else fields.get("context_flags")
    escalates = isinstance(flags, dict) and flags.get("requires_attention") is True
    if escalates:
        notices |= Notice.REQUIRES_ATTENTION
    escalates = escalates or event in ("escalation", "escalated") or fields.get("final_decision") == "escalate"
    metadata = fields.get("metadata")
    if isinstance(metadata, dict) and fields.get("role") in ("user", "assistant"):
        confidence = _share(metadata.get("confidence"))
        feedback = metadata["feedback"] if metadata.get("feedback") in ("positive", "negative") else None
        escalates = escalates or metadata.get("escalated") is True
    consent = fields.get("consent_given", "final_label" not in fields)  # A training example must tell.
    if consent is not True:
        notices |= Notice.NO_CONSENT
    if fields.get("is_demo") is True:
        notices |= Notice.DEMO
    texts = () if _TEXT_SETS.isdisjoint(fields) else tuple(islice(_texts(fields), TEXTS_MAX))
    return Facts(
        voice_of(fields).value,
        notices,
        confidence,
        feedback,
        abort_code,
        escalates,
        event == "capture.open",
        consent is True and "consent_given" in fields,
        score_in(fields) if "overall_score" in fields else None,
        texts,
    )


def score_in(fields: Mapping[str, Any]) -> float | None:
    """Return the `overall_score` among `fields`, if it is a number."""
    score: Any = fields.get("overall_score")
    return float(score) if type(score) in _NUMBERS and abs(score) < _SCORE_END else None


def tag_notices(flags: tuple[str, ...]) -> int:
    """Return the bits for the words of a tag's flags; one that a newer release made is left out."""
    bits = 0
    for word in flags:
        bits |= _WORDS.get(word, 0)
    return bits


def event_texts(event: EventView) -> list[tuple[str, str]]:
    """Return the words in a session event: its notes, what it trains, and every text among its arguments."""
    texts = []
    if event.session_notes:
        texts.append(("note" if event.kind == "note" else "session_notes", event.session_notes))
    if event.training_intent_label:
        texts.append(("training_intent_label", event.training_intent_label))
    if event.details and event.kind != SEALED:
        try:
            details = plain_value(event.details)
        except ValueError:
            details = event.details
        texts += [(event.kind, text) for text in _leaves(details)]
    return [(place, text[:TEXT_CHARS_MAX]) for place, text in texts[:TEXTS_MAX]]


def _judgement(output: Any) -> tuple[float | None, bool]:
    """Return the confidence of the best label, and whether the classifier knew none."""
    if isinstance(output, dict):
        confidence = _share(output.get("confidence"))
        if "intent" in output or confidence is not None:
            return confidence, output.get("intent") == "unknown"
        shares = [
            share for label, value in output.items() if (share := _share(value)) is not None and label != "unknown"
        ]
        return max(shares, default=None), _share(output.get("unknown")) == 1.0
    label, score = top_label(output) or (None, None)
    return _share(score), label == "unknown"


def _share(value: Any) -> float | None:
    """Return a number from 0 to 1, and None for anything else, truth values among it."""
    return float(value) if type(value) in _NUMBERS and 0 <= value <= 1 else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _texts(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in _TEXT_KEYS:
        if key in fields:
            value = fields[key]
            if type(value) is str and value.strip():  # By far the most common case, and four times as quick.
                yield key, value[:TEXT_CHARS_MAX]
            else:
                yield from _texts_at(key, value)
    if text := socket_text(fields.get("payload")):
        yield "payload.payload", text[:TEXT_CHARS_MAX]
    for key, inner in (("context", None), ("annotation", "intent"), ("clarification", "reason")):
        value = fields.get(key)
        if isinstance(value, dict):
            yield from _texts_at(key, value) if inner is None else _texts_at(f"{key}.{inner}", value.get(inner))


def _texts_at(place: str, value: Any) -> Iterator[tuple[str, str]]:
    return ((place, text[:TEXT_CHARS_MAX]) for text in _leaves(value))


def _leaves(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts in `value`, at most a few levels deep."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif depth < 8 and isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner, depth + 1)
    elif depth < 8 and isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, depth + 1)
