"""What a message shows, for the forms that upstream's modules use."""

from typing import Any

import pytest

from processor.core.model import Flag
from processor.sessions.summary import SessionFold, by_day, by_user, new_session
from processor.upstream.facts import facts_of
from processor.upstream.notices import Notice, notice_words
from tests.sessions.views import made_view


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ()),
        ({"clarification": {"needed": True}}, ("clarification",)),
        ({"clarification": {"needed": False}}, ()),
        ({"output_type": "clarification"}, ("clarification",)),
        ({"label_status": "corrected"}, ("corrected",)),
        ({"label_status": "rejected"}, ("rejected",)),
        ({"partner_action": "correct"}, ("corrected",)),
        ({"label_status": "confirmed"}, ()),
        ({"label_status": ["confirmed"]}, ()),
        ({"classifier_output": {"eat": 0.2, "unknown": 1.0}}, ("unknown",)),
        ({"classifier_output": {"eat": 0.2, "unknown": 0.99}}, ()),
        ({"classifier_output": "odd"}, ()),
        ({"event": "capture.abort", "error_code": "x"}, ("capture_abort",)),
        ({"context": {"flags": {"requires_attention": True}}}, ("requires_attention",)),
        ({"context_flags": {"requires_attention": True}}, ("requires_attention",)),
        ({"context": {"flags": "odd"}}, ()),
        ({"consent_given": False}, ("no_consent",)),
        ({"consent_given": None}, ("no_consent",)),
        ({"consent_given": True}, ()),
        ({"final_label": "eat", "consent_given": True}, ()),
        ({"final_label": "eat"}, ("no_consent",)),  # A training example must tell.
        ({"is_demo": True}, ("demo",)),
    ],
)
def test_notices(fields: dict[str, Any], words: tuple[str, ...]) -> None:
    """What a reviewer looks for is found in every form it comes in."""
    assert notice_words(facts_of({"user_id": "u", **fields}).notices) == words


@pytest.mark.parametrize(
    ("output", "confidence"),
    [
        ({"eat": 0.2, "drink": 0.7, "unknown": 0.1}, 0.7),
        ({"unknown": 1.0}, None),
        ({"intent": "eat", "confidence": 0.6, "ranking": []}, 0.6),
        ([{"intent": "eat", "confidence": 0.5}, {"intent": "drink", "confidence": 0.4}], 0.5),
        ([{"label": "eat", "base_confidence": 0.2}, {"label": "drink", "final_score": 0.9}], 0.9),
        ({"eat": "0.2", "drink": True, "sleep": 7}, None),
        ({"eat": 10**400}, None),
        ([{"label": "eat", "score": 10**400}], None),
        ([], None),
    ],
)
def test_confidence(output: object, confidence: float | None) -> None:
    """The best label's, in each of the forms that modules use; nonsense has none."""
    assert facts_of({"user_id": "u", "classifier_output": output}).confidence == confidence


def test_a_sound_classifiers_predictions_count_likewise() -> None:
    """It has another name for its output."""
    facts = facts_of({"user_id": "u", "intent_predictions": [{"label": "unknown", "score": 0.7}]})
    assert (facts.confidence, notice_words(facts.notices)) == (0.7, ("unknown",))


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"confidence": 0.9, "feedback": "positive", "escalated": True}, (0.9, "positive", True)),
        ({"confidence": 1, "feedback": "negative", "escalated": False}, (1.0, "negative", False)),
        ({"confidence": 1.1, "feedback": "good", "escalated": "yes"}, (None, None, False)),
        ({"feedback": ["positive"]}, (None, None, False)),
        ("odd", (None, None, False)),
    ],
)
def test_what_the_metadata_of_a_conversation_count(metadata: object, found: tuple[Any, ...]) -> None:
    """Confidence, feedback and escalations; those of other messages mean something else."""
    facts = facts_of({"user_id": "u", "role": "assistant", "metadata": metadata})
    assert (facts.confidence, facts.feedback, facts.escalates) == found
    other = facts_of({"user_id": "u", "metadata": metadata})
    assert (other.confidence, other.feedback, other.escalates) == (None, None, False)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"role": "user", "content": "What is erf size?"}, [("content", "What is erf size?")]),
        ({"text": "good morning", "content": {"parts": ["and"]}}, [("content", "and"), ("text", "good morning")]),
        ({"context": {"context_location": "kitchen", "flags": {"odd": True}, "said": ["Are you thirsty?"]}},
         [("context", "kitchen"), ("context", "Are you thirsty?")]),
        ({"context_topic_tag": "food", "context_prompt_type": "natural_use"},
         [("context_prompt_type", "natural_use"), ("context_topic_tag", "food")]),
        ({"payload": {"command": "say", "payload": {"text": "hello"}}}, [("payload.payload", "hello")]),
        ({"notes": "Looked at the cup.", "context": "odd"}, [("notes", "Looked at the cup.")]),
    ],
)  # fmt: skip
def test_what_is_said_can_be_searched(fields: dict[str, Any], found: list[tuple[str, str]]) -> None:
    """What is written, and every text of the context, whatever upstream's module calls it."""
    assert list(facts_of({"user_id": "u", **fields}).texts) == found


def test_every_notice_has_a_word() -> None:
    """The bits and the words are the same number."""
    assert notice_words((Notice.OPENED_TWICE << 1) - 1) == Notice.WORDS


def test_a_wrong_clock_does_not_lengthen_an_open_session() -> None:
    """What it says counts as said when the log took it, as for the session itself (rule R10)."""
    (row,) = made_view([{"source": "ui"}]).messages()
    fold = SessionFold(new_session("a", "heron-07", 0, row.timestamp_ms))
    fold.add_message(row._replace(timestamp_ms=10**14, notices=Flag.CLOCK_SKEW), facts_of({"user_id": "heron-07"}))
    assert fold.row().last_ms == row.append_ms


def test_roll_ups() -> None:
    """Sessions add up by user and by day of their start, in UTC."""
    sessions = [
        SessionFold(new_session(name, user, 0, start_ms)).row()
        for name, user, start_ms in [("a", "anna", 0), ("b", "ben", 86_399_999), ("c", "anna", 86_400_000)]
    ]
    assert {user: total.sessions for user, total in by_user(sessions).items()} == {"anna": 2, "ben": 1}
    assert {day: total.sessions for day, total in by_day(sessions).items()} == {"1970-01-01": 2, "1970-01-02": 1}
