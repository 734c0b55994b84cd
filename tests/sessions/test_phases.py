"""Which status may follow which."""

import pytest

from processor.sessions.phases import is_last, why_not
from processor.settings.templates import BUILT_IN

IN_ORDER = [
    "created", "requirement_submitted", "matches_found", "matches_selected", "generating_impact", "completed",
]  # fmt: skip
ASSESSMENT = BUILT_IN["assessment"].phases or {}
INTERVIEW = BUILT_IN["interview"].phases or {}


@pytest.mark.parametrize("phase", IN_ORDER)
def test_an_assessment_goes_forward(phase: str) -> None:
    """Only the next state or `error` may follow; nothing follows the last two."""
    at = IN_ORDER.index(phase)
    may = [*IN_ORDER[at + 1 : at + 2], "error"] if phase != "completed" else []
    assert [word for word in ASSESSMENT if why_not(ASSESSMENT, phase, word) is None] == may
    assert all(why_not(ASSESSMENT, "error", word) == "illegal" for word in IN_ORDER)


def test_where_an_assessment_begins_and_ends() -> None:
    """A session that was told no status is `created`; `completed` and `error` end it."""
    assert why_not(ASSESSMENT, None, "requirement_submitted") is None
    assert why_not(ASSESSMENT, None, "matches_found") == "illegal"
    assert [word for word in ASSESSMENT if is_last(ASSESSMENT, word)] == ["completed", "error"]


def test_an_interview_is_active_before_it_is_completed() -> None:
    """It may fail before and after; a pause is a command, and no phase."""
    assert [word for word in INTERVIEW if why_not(INTERVIEW, None, word) is None] == ["active", "error"]
    assert [word for word in INTERVIEW if is_last(INTERVIEW, word)] == ["completed", "error"]
    assert why_not(INTERVIEW, "active", "paused") == "unknown"


def test_a_word_that_no_state_has() -> None:
    """It is another fault than a word at the wrong time."""
    assert why_not(ASSESSMENT, "created", "finished") == "unknown"
    assert why_not(ASSESSMENT, "created", "completed") == "illegal"
    assert why_not(ASSESSMENT, "a phase that another program told", "completed") == "illegal"


def test_without_a_table() -> None:
    """Any text is a status, and none ends the session."""
    assert why_not(None, None, "whatever") is None
    assert not is_last(None, "completed")
