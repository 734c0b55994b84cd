"""Whose expression a message or an event is, for the forms that upstream's modules use."""

from typing import Any

import pytest
from hypothesis import given

from processor.codec.events import from_json
from processor.upstream.expression import Voice, voice_of, voice_of_event
from processor.upstream.words import said_in_message, table
from tests.sessions.views import day_view, day_views
from tests.upstream.odd_fields import ODD_FIELDS

RECOGNISED = {"classifier_output": {"drink": 0.8, "unknown": 0.2}}


@pytest.mark.parametrize(
    ("fields", "whose"),
    [
        # What was recognised of the user is the user's, whoever sent it and held the camera.
        ({**RECOGNISED, "modality": "gesture", "performer_id": "system"}, "user"),
        ({**RECOGNISED, "modality": "audio", "source": "communicator"}, "user"),
        ({**RECOGNISED, "performer_id": "carer01"}, "user"),
        ({"classifier_output": {"unknown": 1.0}, "source": "gesture_classifier"}, "user"),
        ({**RECOGNISED, "modality": "speech", "source": "caregiver"}, "carer"),  # The carer's speech was understood.
        ({**RECOGNISED, "modality": "speech", "source": "communicator"}, "user"),
        ({**RECOGNISED, "source": "confidence_evaluator"}, "system"),
        ({**RECOGNISED, "audit_log": []}, "system"),
        # What the device says for the user is the user's; what it asks is not.
        ({"output_phrase": "Yes.", "output_mode": "speech", "performer_id": "system"}, "user"),
        ({"output_phrase": "Yes.", "output_mode": "symbol"}, "user"),
        ({"output_phrase": "Yes."}, "system"),
        ({"output_phrase": "Yes?", "output_type": "clarification", "output_mode": "speech"}, "system"),
        # Cameras and microphones are the system's, whoever operates them.
        ({"event": "capture.open", "source": "ui", "performer_id": "carer01"}, "system"),
        ({"event": "capture.frame_meta", "source": "ui", "performer_id": "u"}, "system"),
        ({"sample_rate": 16_000, "chunk_size": 512, "source": "communicator"}, "system"),
        ({"audio_payload": "", "source": "communicator"}, "system"),
        ({"raw_features_ref": {}, "performer_id": "u"}, "system"),
        ({"environment_label": "kitchen", "source": "communicator"}, "system"),
        # What a person confirms, corrects, keeps or notes is the carer's; the page pre-fills the user's id.
        ({"label_status": "confirmed", "performer_id": "u", "source": "ui"}, "carer"),
        ({"label_correction": "eat"}, "carer"),
        ({"final_label": "eat", "source": "recorded_schemas"}, "carer"),
        ({"session_notes": "Tired.", "performer_id": "u"}, "carer"),
        ({"notes": "134 pictures", "performer_id": "system"}, "system"),
        ({"transcript": "Shall we?", "source": "speech_transcriber"}, "carer"),
        ({"transcript": "Yes", "source": "communicator"}, "user"),
        ({"transcript": "Yes", "performer_id": "u"}, "user"),
        # A conversation has its own roles.
        ({"role": "user", "content": "Hello"}, "user"),
        ({"role": "assistant", "content": "Hello"}, "system"),
        ({"role": "therapist", "content": "Hello"}, "carer"),
        ({"role": "user", "text": "Hello"}, "user"),
        ({"source": "ui", "text": "Hello"}, "user"),  # Without a role it is that of who sent it.
        ({"source": "sensor", "text": "Hello"}, "system"),
        # What says nothing that is known is that of who sent it: the role, else the performer, else the module.
        ({"source": "communicator", "performer_id": "carer01"}, "user"),
        ({"source": "caregiver"}, "carer"),
        ({"source": "system"}, "system"),
        ({"source": "ui", "performer_id": "u"}, "user"),
        ({"source": "ui", "performer_id": "carer01"}, "carer"),
        ({"source": "ui", "performer_id": "system"}, "system"),
        ({"source": "ui", "performer_id": " "}, "user"),
        ({"source": "partner_ui"}, "carer"),
        ({"source": "audio_feed_worker"}, "system"),
        ({"source": ["odd"]}, "system"),
        ({}, "system"),
    ],
)
def test_messages(fields: dict[str, Any], whose: str) -> None:
    """What is said counts before who sent it."""
    assert voice_of({"user_id": "u", **fields}).value == whose


def test_a_lane_is_its_person() -> None:
    """Who performs in a lane is named without it."""
    fields = {"user_id": "u~00112233", "transcript": "Yes", "performer_id": "u"}
    assert voice_of(fields) is Voice.USER


@pytest.mark.parametrize(
    ("event", "whose"),
    [
        ({"kind": "note", "performer_id": "carer01"}, "carer"),
        ({"kind": "note", "performer_id": None}, "carer"),
        ({"kind": "note", "performer_id": "u"}, "user"),
        ({"kind": "note", "performer_id": "system"}, "system"),
        ({"kind": "started", "performer_id": "carer01"}, "session"),
        ({"kind": "tag", "performer_id": "carer01"}, "session"),
    ],
)
def test_events(event: dict[str, Any], whose: str) -> None:
    """A note is that of who wrote it; what happens to the session is the session's."""
    made = from_json(next(iter(day_view("heron-07").events())).value)
    assert voice_of_event(made._replace(user_id="u", **event)).value == whose


def test_the_user_is_seen_in_every_session_with_signs() -> None:
    """In each of the day's sessions in which something was signed or spoken, the user has lines."""
    for view in day_views():
        modules = {row.source for row in view.messages() if row.value is not None}
        if modules & {"gesture_classifier", "output_planner"}:
            assert view.session.summary.expressed_by.get("user"), view.session.session_id


@given(ODD_FIELDS)
def test_anything_is_somebodys(fields: dict[str, Any]) -> None:
    """Modules write what they like; every phrase is in the table, and every message is somebody's."""
    said = said_in_message(fields)
    assert said.phrase in table()["phrases"]
    assert voice_of({**fields, "user_id": "u"}, said) in Voice
