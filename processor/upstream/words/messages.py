"""What a message says.

Upstream's modules disagree about their fields (docs/bundles.md), so each line is made of whatever is there; what is not
known is named by its module.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from processor.upstream.words.table import Said, filled, readable, short


def message_words(fields: Mapping[str, Any]) -> str:
    """Return one line for the message with `fields`."""
    return filled(said_in_message(fields))


def said_in_message(fields: Mapping[str, Any]) -> Said:
    """Return what the message with `fields` says."""
    for say in _sayings_of(_NAMES.intersection(fields)):
        said = say(fields)
        if said is not None:
            return said
    event = _text(fields, "event")
    if event is not None:
        return Said("other_event", {"kind": readable(event)})
    module = _text(fields, "source") or _text(fields, "source_module")
    return Said("other") if module is None else Said("other_of", {"module": module})


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


def _camera(fields: Mapping[str, Any]) -> Said | None:
    annotation = fields.get("annotation")
    label = _text(annotation, "intent") if isinstance(annotation, Mapping) else None
    match fields.get("event"):
        case "capture.open":
            return _said("camera_starts", label=label)
        case "capture.frame_meta":
            seq = fields.get("seq")
            return Said("camera_picture", {"number": seq} if isinstance(seq, int) else {})
        case "capture.close":
            return Said("camera_stops")
        case "capture.abort":
            code = _text(fields, "error_code")
            return _said("camera_broke_off", code=code and readable(code).lower())
        case "raw_features.ready":
            return Said("movement_ready")
    return None


def _feedback(fields: Mapping[str, Any]) -> Said | None:
    label, correction = _text(fields, "intent_label"), _text(fields, "label_correction")
    status = fields.get("label_status")
    if status in ("confirmed", "rejected"):
        return _said(status, label=label)
    if status == "corrected":
        return _said(status, label=label, correction=correction)
    return _said("corrected_to", correction=correction) if correction else None


def _example(fields: Mapping[str, Any]) -> Said | None:
    final, predicted = _text(fields, "final_label"), _text(fields, "predicted_label")
    if final is None:
        return None
    return _said("example", label=final, predicted=None if predicted == final else predicted)


def _clarification(fields: Mapping[str, Any]) -> Said | None:
    doubt = fields.get("clarification")
    if not isinstance(doubt, Mapping):
        return None
    if doubt.get("needed") is not True:
        return Said("no_doubt")
    return Said("not_sure", {"candidates": _texts(doubt.get("candidates"))})


def _phrase(fields: Mapping[str, Any]) -> Said | None:
    text, mode = _text(fields, "output_phrase"), fields.get("output_mode")
    if text is None:
        return None
    if fields.get("output_type") == "clarification" or mode in ("multiple_choice", "yes_no"):
        return _said("asked_back", text=text)
    spoken = {"speech": "spoken", "text": "shown", "symbol": "symbol"}
    return _said(spoken.get(str(mode), "phrase"), text=text)


def _heard(fields: Mapping[str, Any]) -> Said | None:
    text = _text(fields, "transcript") or _text(fields, "context_partner_speech")
    text = text or " ".join(_texts(fields.get("partner_speech")))
    return _said("heard", text=text) if text else None


def _spoke(fields: Mapping[str, Any]) -> Said | None:
    text = _text(fields, "content")
    return _said("wrote", text=text) if text and _text(fields, "role") else None


def _wrote(fields: Mapping[str, Any]) -> Said | None:
    text = _text(fields, "text")
    return _said("wrote", text=text) if text else None


def _said_on_socket(fields: Mapping[str, Any]) -> Said | None:
    text = socket_text(fields.get("payload"))
    return _said("wrote", text=text) if text else None


def socket_text(payload: Any) -> str | None:
    """Return what was said over a socket: the gateway keeps what a client sent as the `payload` of the `payload`."""
    sent = payload.get("payload") if isinstance(payload, Mapping) else None
    if isinstance(sent, str):
        return sent if sent.strip() else None
    return _text(sent, "text") if isinstance(sent, Mapping) else None


def _decided(fields: Mapping[str, Any]) -> Said | None:
    decision = _text(fields, "final_decision")
    return _said("decided", label=decision) if decision else None


def _recognised(fields: Mapping[str, Any]) -> Said | None:
    found = top_label(fields.get("classifier_output")) or top_label(fields.get("intent_predictions"))
    if found is None:
        return None
    label, score = found
    sure = {} if score is None or not 0 <= score <= 1 else {"percent": round(score * 100)}
    if fields.get("source") == "confidence_evaluator" or "audit_log" in fields:
        phrase = "weighed"
    elif label == "unknown":
        return Said("not_recognised", sure)
    else:
        phrase = "signed" if fields.get("modality") == "gesture" else "recognised"
    return Said(phrase, {"label": short(label), **sure})


def notes_in(fields: Mapping[str, Any]) -> list[str]:
    """Return the notes in a message, each once: texts in the fields where upstream's modules have them."""
    context = fields.get("context")
    places = [(fields, key) for key in _NOTES]
    if isinstance(context, Mapping):
        places.append((context, "session_notes"))
    return list(dict.fromkeys(note for place, key in places if (note := _text(place, key))))


def _note(fields: Mapping[str, Any]) -> Said | None:
    notes = notes_in(fields)
    return _said("noted", note=notes[0]) if notes else None


def _place(fields: Mapping[str, Any]) -> Said | None:
    place = _text(fields, "environment_label") or _text(fields, "context_location")
    return _said("place", place=readable(place).lower()) if place else None


def _memory(fields: Mapping[str, Any]) -> Said | None:
    if isinstance(fields.get("memory"), Mapping):
        return _said("remembered", label=_text(fields, "intent_label"))
    return None


def _evaluated(fields: Mapping[str, Any]) -> Said | None:
    score = number(fields.get("overall_score"))
    return None if score is None else Said("evaluated", {"score": f"{score:g}"})


def _movement(fields: Mapping[str, Any]) -> Said:
    del fields
    return Said("movement_ready")


def _sound(fields: Mapping[str, Any]) -> Said:
    del fields
    return Said("microphone")


def _picture(fields: Mapping[str, Any]) -> Said:
    del fields
    return Said("camera_picture")


def _look_back(fields: Mapping[str, Any]) -> Said:
    return Said("played_back" if "file_uri" in fields else "looked_at")


def _together(fields: Mapping[str, Any]) -> Said | None:
    return Said("together") if isinstance(fields.get("aligned_messages"), list) else None


def _training(fields: Mapping[str, Any]) -> Said | None:
    if isinstance(fields.get("training_config"), Mapping):
        return _said("trained", status=_text(fields, "status"))
    return Said("training_due") if _text(fields, "trigger") else None


_NOTES: Final = ("session_notes", "notes", "annotation_context")
_Saying = Callable[[Mapping[str, Any]], Said | None]
_SAYINGS: Final[tuple[tuple[_Saying, frozenset[str]], ...]] = (  # Each with the fields without which it says nothing.
    (_camera, frozenset({"event"})),
    (_feedback, frozenset({"label_status", "label_correction"})),
    (_example, frozenset({"final_label"})),
    (_clarification, frozenset({"clarification"})),
    (_phrase, frozenset({"output_phrase"})),
    (_heard, frozenset({"transcript", "context_partner_speech", "partner_speech"})),
    (_spoke, frozenset({"content"})),
    (_memory, frozenset({"memory"})),
    (_recognised, frozenset({"classifier_output", "intent_predictions"})),
    (_look_back, frozenset({"parquet_path", "artifact_path", "file_uri"})),
    (_decided, frozenset({"final_decision"})),
    (_note, frozenset({*_NOTES, "context"})),
    (_place, frozenset({"environment_label", "context_location"})),
    (_movement, frozenset({"raw_features_ref", "landmarks"})),
    (_sound, frozenset({"sample_rate", "audio_payload"})),
    (_picture, frozenset({"frame_data", "frame_index"})),
    (_together, frozenset({"aligned_messages"})),
    (_training, frozenset({"training_config", "trigger"})),
    (_evaluated, frozenset({"overall_score"})),
    (_wrote, frozenset({"text"})),
    (_said_on_socket, frozenset({"payload"})),
)
_NAMES: Final = frozenset(name for _, needed in _SAYINGS for name in needed)


@lru_cache(maxsize=256)  # The messages of one module have the same fields.
def _sayings_of(names: frozenset[str]) -> tuple[_Saying, ...]:
    """Return those that may have something to say of a message that has the fields `names` of `_NAMES`."""
    return tuple(say for say, needed in _SAYINGS if not needed.isdisjoint(names))


def _said(phrase: str, **values: str | None) -> Said:
    return Said(phrase, {name: short(value) for name, value in values.items() if value})


def _text(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) and value.strip() else None


def _texts(value: Any) -> list[str]:
    return [short(each) for each in value if isinstance(each, str)] if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """Return `value` as a float if it is a number that fits one. True and False are no numbers."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON's whole numbers have no end.
        return None
