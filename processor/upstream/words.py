"""Plain words for what a message or a session event says: one line that a carer understands.

Upstream's modules disagree about their fields (docs/bundles.md), so each line is made of whatever is there; what is not
known is named by its module.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from processor.codec.events import EventView
from processor.upstream.vocabulary import ENDS, REJECTED, UNCHANGED

WORDS_CHARS_MAX: Final = 400  # of one line; the whole text is in the record


def message_words(fields: Mapping[str, Any]) -> str:
    """Return one line for the message with `fields`."""
    for say in _sayings_of(_NAMES.intersection(fields)):
        line = say(fields)
        if line:
            return _short(line)
    name = _text(fields, "event") or _text(fields, "source") or _text(fields, "source_module")
    return _short(f"{_readable(name)}" if name else "Message")


def event_words(event: EventView) -> str:
    """Return one line for a session event."""
    who = event.performer_id
    by = f" by {who}" if who and who != "system" else ""
    reason = event.reason or ""
    match event.kind:
        case "started":
            how = {"message": " with the first message", "late": " for messages that came late"}.get(reason, by)
            line = f"Session started{how}" + _quoted(": ", event.session_notes)
        case "ended":
            line = f"Session ended{by or f' {ENDS.get(reason, reason)}'}"
            if event.revision:
                line = f"The end is told again, since a message came later (revision {event.revision})"
        case "reopened":
            line = "Session goes on: a message came after all"
        case "paused":
            line = f"Paused{by}"
        case "resumed":
            line = f"Resumed{by}"
        case "note":
            line = f"Note{by}" + _quoted(": ", event.session_notes)
        case "context" | "step" | "status":
            line = f"{event.kind.capitalize()}{by}"
        case "tag":
            line = f"Tags changed{by}"
        case "unchanged":
            line = f"Request{by} changed nothing: {UNCHANGED.get(reason, reason)}"
        case "rejected":
            line = f"Request{by} refused: {REJECTED.get(reason, reason)}"
        case _:
            line = _readable(event.kind)
    return _short(line)


def span_words(ms: int) -> str:
    """Return a length of time in words."""
    minutes = round(ms / 60_000)
    if ms < 59_500:
        return f"{round(ms / 1000)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def detail_words(kind: str, details: Mapping[str, Any]) -> str:
    """Return the arguments of a `context`, `step`, `status` or `tag` in words; "" for other events."""
    if kind == "step" and isinstance(step := details.get("step"), Mapping):
        parts = [str(step.get("name", "")), str(step.get("status") or "")]
        return _short(", ".join(part for part in parts if part))
    if kind == "context" and isinstance(context := details.get("context"), Mapping):
        return _short(", ".join(f"{_readable(key).lower()} {value}" for key, value in context.items()))
    if kind == "tag" and isinstance(tags := details.get("tags"), Mapping):
        lists = (tags.get(key) for key in ("add", "remove"))
        added, removed = (", ".join(map(str, words)) if isinstance(words, list) else "" for words in lists)
        return _short("; ".join(part for part in (added, removed and f"without {removed}") if part))
    return _short(str(details["status"])) if kind == "status" and "status" in details else ""


def top_label(output: Any) -> tuple[str, float | None] | None:
    """Return the likeliest label in a classifier's output and its confidence, in whichever form it came."""
    if isinstance(output, Mapping):
        if isinstance(output.get("intent"), str):
            return output["intent"], number(output.get("confidence"))
        scores = {str(key): score for key, value in output.items() if (score := number(value)) is not None}
        if scores:
            label = max(sorted(scores), key=scores.__getitem__)
            return label, scores[label]
    if isinstance(output, list):
        ranked = [(found, score) for item in output if (found := _label(item)) for score in (_score(item),)]
        if ranked:
            return max(ranked, key=lambda pair: pair[1] if pair[1] is not None else -1.0)
    return None


def _label(item: Any) -> str | None:
    if not isinstance(item, Mapping):
        return None
    return next((item[key] for key in ("intent", "label") if isinstance(item.get(key), str)), None)


def _score(item: Mapping[str, Any]) -> float | None:
    keys = ("final_score", "adjusted_score", "confidence", "score", "base_confidence")
    return next((score for key in keys if (score := number(item.get(key))) is not None), None)


def _capture(fields: Mapping[str, Any]) -> str | None:
    annotation = fields.get("annotation")
    label = _text(annotation, "intent") if isinstance(annotation, Mapping) else None
    match fields.get("event"):
        case "capture.open":
            return "Camera recording starts" + _quoted(" for ", label)
        case "capture.frame_meta":
            return f"Camera picture {fields['seq']}" if isinstance(fields.get("seq"), int) else "Camera picture"
        case "capture.close":
            return "Camera recording stops"
        case "capture.abort":
            code = _text(fields, "error_code")
            return "Camera recording broke off" + (f": {_readable(code).lower()}" if code else "")
        case "raw_features.ready":
            return "Movement is ready to be recognised"
    return None


def _feedback(fields: Mapping[str, Any]) -> str | None:
    label, correction = _text(fields, "intent_label"), _text(fields, "label_correction")
    match fields.get("label_status"):
        case "confirmed":
            return "Confirmed" + _quoted(": ", label)
        case "corrected":
            return f"Corrected{_quoted(': ', label)}{_quoted(' means ', correction)}"
        case "rejected":
            return "Not right" + _quoted(": ", label)
    return f"Corrected to {_quoted('', correction)}" if correction else None


def _example(fields: Mapping[str, Any]) -> str | None:
    final, predicted = _text(fields, "final_label"), _text(fields, "predicted_label")
    if final is None:
        return None
    was = f" (recognised as “{predicted}”)" if predicted and predicted != final else ""
    return f"Kept as a training example: “{final}”{was}"


def _clarification(fields: Mapping[str, Any]) -> str | None:
    doubt = fields.get("clarification")
    if not isinstance(doubt, Mapping):
        return None
    if doubt.get("needed") is not True:
        return "No need to ask back"
    listed = doubt.get("candidates")
    candidates = [str(one) for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    return "Not sure" + (f": {' or '.join(f'“{one}”' for one in candidates)}?" if candidates else "")


def _phrase(fields: Mapping[str, Any]) -> str | None:
    phrase = _text(fields, "output_phrase")
    if phrase is None:
        return None
    if fields.get("output_type") == "clarification" or fields.get("output_mode") in ("multiple_choice", "yes_no"):
        return f"Asked back: “{phrase}”"
    spoken = {"speech": "Spoken", "text": "Shown", "symbol": "Shown as a symbol"}
    return f"{spoken.get(str(fields.get('output_mode')), 'Phrase')}: “{phrase}”"


def _heard(fields: Mapping[str, Any]) -> str | None:
    transcript = _text(fields, "transcript") or _text(fields, "context_partner_speech")
    return f"Heard: “{transcript}”" if transcript else None


def _decided(fields: Mapping[str, Any]) -> str | None:
    decision = _text(fields, "final_decision")
    return f"Decided: “{decision}”" if decision else None


def _recognised(fields: Mapping[str, Any]) -> str | None:
    found = top_label(fields.get("classifier_output")) or top_label(fields.get("intent_predictions"))
    if found is None:
        return None
    label, score = found
    sure = "" if score is None else f" ({round(score * 100)} % sure)" if 0 <= score <= 1 else ""
    return f"Not recognised{sure}" if label == "unknown" else f"Recognised: “{label}”{sure}"


def notes_in(fields: Mapping[str, Any]) -> list[str]:
    """Return the notes in a message, each once: texts in the fields where upstream's modules have them."""
    context = fields.get("context")
    places = [(fields, key) for key in _NOTES]
    if isinstance(context, Mapping):
        places.append((context, "session_notes"))
    return list(dict.fromkeys(note for place, key in places if (note := _text(place, key))))


def _note(fields: Mapping[str, Any]) -> str | None:
    notes = notes_in(fields)
    return f"Note: “{notes[0]}”" if notes else None


def _place(fields: Mapping[str, Any]) -> str | None:
    place = _text(fields, "environment_label") or _text(fields, "context_location")
    return f"Place: {_readable(place).lower()}" if place else None


def _memory(fields: Mapping[str, Any]) -> str | None:
    if isinstance(fields.get("memory"), Mapping):
        return "Remembered from before" + _quoted(": ", _text(fields, "intent_label"))
    return None


def _sound(fields: Mapping[str, Any]) -> str | None:
    return "Microphone is listening" if "sample_rate" in fields and "chunk_size" in fields else None


def _other(fields: Mapping[str, Any]) -> str | None:
    if isinstance(fields.get("aligned_messages"), list):
        return "Inputs brought together"
    if isinstance(fields.get("training_config"), Mapping):
        return f"The model was trained{_quoted(': ', _text(fields, 'status'))}"
    return "Training is due" if _text(fields, "trigger") else None


_NOTES: Final = ("session_notes", "notes", "annotation_context")
_Saying = Callable[[Mapping[str, Any]], str | None]
_SAYINGS: Final[tuple[tuple[_Saying, frozenset[str]], ...]] = (  # Each with the fields without which it says nothing.
    (_capture, frozenset({"event"})),
    (_feedback, frozenset({"label_status", "label_correction"})),
    (_example, frozenset({"final_label"})),
    (_clarification, frozenset({"clarification"})),
    (_phrase, frozenset({"output_phrase"})),
    (_heard, frozenset({"transcript", "context_partner_speech"})),
    (_memory, frozenset({"memory"})),
    (_recognised, frozenset({"classifier_output", "intent_predictions"})),
    (_decided, frozenset({"final_decision"})),
    (_note, frozenset({*_NOTES, "context"})),
    (_place, frozenset({"environment_label", "context_location"})),
    (_sound, frozenset({"sample_rate"})),
    (_other, frozenset({"aligned_messages", "training_config", "trigger"})),
)
_NAMES: Final = frozenset(name for _, needed in _SAYINGS for name in needed)


@lru_cache(maxsize=256)  # The messages of one module have the same fields.
def _sayings_of(names: frozenset[str]) -> tuple[_Saying, ...]:
    """Return those that may have something to say of a message that has the fields `names` of `_NAMES`."""
    return tuple(say for say, needed in _SAYINGS if not needed.isdisjoint(names))


def _text(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) and value.strip() else None


def number(value: Any) -> float | None:
    """Return `value` as a float if it is a number that fits one. True and False are no numbers."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON's whole numbers have no end.
        return None


def _quoted(before: str, text: str | None) -> str:
    return f"{before}“{text}”" if text else ""


def _readable(name: str) -> str:
    words = name.replace("_", " ").replace(".", " ").strip()
    return words[:1].upper() + words[1:]


def _short(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= WORDS_CHARS_MAX else line[: WORDS_CHARS_MAX - 1] + "…"
