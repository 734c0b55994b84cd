"""Which status may follow which."""

import pytest

from processor.sessions.phases import TABLES, first_phase, is_last, why_not

IN_ORDER = [
    "created", "requirement_submitted", "matches_found", "matches_selected", "generating_impact", "completed",
]  # fmt: skip


@pytest.mark.parametrize("phase", IN_ORDER)
def test_an_assessment_goes_forward(phase: str) -> None:
    """Only the next state or `error` may follow; nothing follows the last two."""
    at = IN_ORDER.index(phase)
    may = [*IN_ORDER[at + 1 : at + 2], "error"] if phase != "completed" else []
    assert [word for word in TABLES["assessment"] if why_not("assessment", phase, word) is None] == may
    assert all(why_not("assessment", "error", word) == "illegal" for word in IN_ORDER)


def test_where_an_assessment_begins_and_ends() -> None:
    """A session that was told no status is `created`; `completed` and `error` end it."""
    assert first_phase("assessment") == "created"
    assert why_not("assessment", None, "requirement_submitted") is None
    assert [word for word in TABLES["assessment"] if is_last("assessment", word)] == ["completed", "error"]


def test_an_interview_is_active_before_it_is_completed() -> None:
    """It may fail before and after; a pause is a command, and no phase."""
    assert [word for word in TABLES["interview"] if why_not("interview", None, word) is None] == ["active", "error"]
    assert [word for word in TABLES["interview"] if is_last("interview", word)] == ["completed", "error"]
    assert why_not("interview", "active", "paused") == "unknown"


def test_a_word_that_no_state_has() -> None:
    """It is another fault than a word at the wrong time."""
    assert why_not("assessment", "created", "finished") == "unknown"
    assert why_not("assessment", "created", "completed") == "illegal"
    assert why_not("assessment", "a phase that another program told", "completed") == "illegal"


@pytest.mark.parametrize("template", [None, "therapy", "conversation"])
def test_without_a_table(template: str | None) -> None:
    """Any text is a status, and none ends the session."""
    assert first_phase(template) is None
    assert why_not(template, None, "whatever") is None
    assert not is_last(template, "completed")
