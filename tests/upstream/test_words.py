"""Plain words: what each kind of message and event is called on a timeline."""

from typing import Any

import pytest
from hypothesis import given

from processor.codec.events import from_json
from processor.upstream.words import WORDS_CHARS_MAX, detail_words, event_words, message_words, span_words, top_label
from tests.sessions.views import day_views
from tests.upstream.odd_fields import JSON, ODD_FIELDS


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"event": "capture.open", "annotation": {"intent": "drink"}}, "Camera recording starts for “drink”"),
        ({"event": "capture.frame_meta", "seq": 4}, "Camera picture 4"),
        ({"event": "capture.abort", "error_code": "session_closed"}, "Camera recording broke off: session closed"),
        ({"event": "raw_features.ready"}, "Movement is ready to be recognised"),
        ({"classifier_output": {"drink": 0.81, "unknown": 0.19}}, "Recognised: “drink” (81 % sure)"),
        ({"classifier_output": {"drink": 0.81}, "modality": "gesture"}, "Signed: “drink” (81 % sure)"),
        ({"classifier_output": {"drink": 0.86}, "source": "confidence_evaluator"}, "Weighed up: “drink” (86 % sure)"),
        ({"classifier_output": {"drink": 0.0, "unknown": 1.0}}, "Not recognised (100 % sure)"),
        ({"classifier_output": {"intent": "yes", "confidence": 0.6}}, "Recognised: “yes” (60 % sure)"),
        ({"intent_predictions": [{"intent": "no", "confidence": 0.2}]}, "Recognised: “no” (20 % sure)"),
        ({"clarification": {"needed": True, "candidates": ["eat", "play"]}}, "Not sure: “eat” or “play”?"),
        ({"output_phrase": "Eat?", "output_type": "clarification"}, "Asked back: “Eat?”"),
        ({"output_phrase": "Yes.", "output_mode": "speech"}, "Spoken: “Yes.”"),
        ({"intent_label": "eat", "label_status": "confirmed"}, "Confirmed: “eat”"),
        ({"intent_label": "eat", "label_status": "rejected"}, "Not right: “eat”"),
        (
            {"intent_label": "eat", "label_status": "corrected", "label_correction": "play"},
            "Corrected: “eat” means “play”",
        ),
        ({"predicted_label": "eat", "final_label": "play"}, "Kept as a training example: “play” (recognised as “eat”)"),
        ({"transcript": "Shall we?"}, "Heard: “Shall we?”"),
        ({"final_decision": "eat"}, "Decided: “eat”"),
        ({"context": {"session_notes": "Tired."}}, "Note: “Tired.”"),
        ({"environment_label": "living_room"}, "Place: living room"),
        ({"label_correction": "play"}, "Corrected to “play”"),
        ({"context_partner_speech": "Shall we?"}, "Heard: “Shall we?”"),
        ({"memory": {}, "intent_label": "eat"}, "Remembered from before: “eat”"),
        ({"session_notes": "Tired."}, "Note: “Tired.”"),
        ({"context_location": "garden"}, "Place: garden"),
        ({"sample_rate": 16_000, "chunk_size": 1_024}, "Microphone is listening"),
        ({"aligned_messages": []}, "Several inputs were joined"),
        ({"training_config": {}, "status": "done"}, "The model was trained: “done”"),
        ({"trigger": "enough examples"}, "Training is due"),
        ({"source": "evaluation_manager", "overall_score": 82.5}, "Evaluation: 82.5"),
        ({"source": "landmark_visualizer"}, "Message from the playback of movements"),
        ({"source": "newer_module"}, "Message from newer_module"),
        ({"parquet_path": "a"}, "A recorded movement was looked at"),
        ({"file_uri": "a"}, "A recorded sound was played"),
        ({"output_phrase": "Yes."}, "Phrase prepared: “Yes.”"),
        ({"role": "user", "content": "Hello"}, "“Hello”"),
        ({"source": "ui", "text": "hello"}, "“hello”"),  # The form of the README's first message.
        ({"source": "gateway", "payload": {"command": "say", "payload": {"text": "hello"}}}, "“hello”"),
        ({"source": "gateway", "payload": {"command": "say", "payload": "hello"}}, "“hello”"),
        ({"source": "gateway", "payload": {"command": "say", "payload": {"x": 1}}}, "Message from the gateway"),
        ({"source": "ui", "text": "hello", "event": "capture.close"}, "Camera recording stops"),
        ({"partner_speech": ["Shall", "we?"]}, "Heard: “Shall we?”"),
        ({"audio_payload": ""}, "Microphone is listening"),
        ({"frame_index": 4}, "Camera picture"),
        ({"raw_features_ref": {}}, "Movement is ready to be recognised"),
        ({"event": "training.began"}, "Training began"),
        ({"source": "partner_ui", "notes": "Looked at the cup."}, "Note: “Looked at the cup.”"),
        ({"source": "sound_playback", "annotation_context": "play or music?"}, "Note: “play or music?”"),
        ({"source": "ui", "context": {"session_notes": "tired"}}, "Note: “tired”"),
        ({}, "Message from an unnamed module"),
    ],
)
def test_messages(fields: dict[str, Any], words: str) -> None:
    """The table is what a carer reads."""
    assert message_words(fields) == words


def test_every_event_of_the_day_has_words() -> None:
    """No event of the demo's day is told by its bare name."""
    for view in day_views():
        for row in view.events():
            assert len(event_words(from_json(row.value)).split()) > 1 or row.kind in ("paused", "step", "context")


def test_details() -> None:
    """What was said with a step, a context or a status."""
    assert detail_words("step", {"step": {"name": "walk", "status": "done"}}) == "walk, done"
    assert detail_words("context", {"context": {"location": "home", "room": 2}}) == "location home, room 2"
    assert detail_words("status", {"status": "calm"}) == "calm"
    assert detail_words("tag", {"tags": {"add": ["a", "b"], "remove": ["c"]}}) == "a, b; without c"
    assert detail_words("tag", {"tags": {"add": 5, "remove": ["c"]}}) == "without c"
    assert detail_words("note", {}) == ""


@given(ODD_FIELDS)
def test_anything_has_words(fields: dict[str, Any]) -> None:
    """Modules write what they like: there is always one line, not too long."""
    words = message_words(fields)
    assert 0 < len(words) <= WORDS_CHARS_MAX
    assert "\n" not in words


@given(JSON)
def test_any_output_has_a_label_or_none(output: Any) -> None:
    """A classifier's output in any form gives a label with its confidence, or nothing."""
    found = top_label(output)
    assert found is None or isinstance(found[0], str)


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 s"),
        (1, "less than a second"),
        (999, "less than a second"),
        (1_000, "1 s"),
        (59_499, "59 s"),
        (60_000, "1 min"),
    ],
)
def test_lengths_of_time(ms: int, words: str) -> None:
    """As people say them; nobody who looks after somebody counts in milliseconds."""
    assert span_words(ms) == words
