"""What a reviewer wants to find in a message."""

from functools import cache
from typing import Final

from processor.core.model import Flag

EVALUATOR: Final = "evaluation_manager"
HOOKS: Final = "a3cp_hooks"
ANSWERS: Final = frozenset({EVALUATOR, HOOKS})
"""The sources of what is said of a session after its end: that it is late says nothing of the session."""


class Notice:
    """What a reviewer wants to find: the bits of `Flag`, then those that a message's content or its session gives."""

    CLARIFICATION: Final = 1 << 7  # the system asked back
    CORRECTED: Final = 1 << 8
    REJECTED: Final = 1 << 9
    UNKNOWN: Final = 1 << 10  # the classifier knew no label: `unknown` is 1
    CAPTURE_ABORT: Final = 1 << 11
    REQUIRES_ATTENTION: Final = 1 << 12
    NO_CONSENT: Final = 1 << 13  # `consent_given` is there and not true, or a training example lacks it
    DEMO: Final = 1 << 14
    WITHHELD: Final = 1 << 15  # its content is not kept, see `MessageRow.withheld`
    OPENED_TWICE: Final = 1 << 16  # of a session: its records were sent again after it was forgotten (ADR 0006)

    WORDS: Final = (
        *Flag.WORDS,
        "clarification",
        "corrected",
        "rejected",
        "unknown",
        "capture_abort",
        "requires_attention",
        "no_consent",
        "demo",
        "withheld",
        "opened_twice",
    )


@cache
def notice_words(bits: int) -> tuple[str, ...]:
    """Return the words for `bits`, in the order of `Notice.WORDS`."""
    return tuple(word for number, word in enumerate(Notice.WORDS) if bits >> number & 1)
