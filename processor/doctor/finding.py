"""What one check found."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from processor.errors import A3CPError


class State(Enum):
    """How bad it is."""

    OK = "ok"
    UNSEEN = "unseen"  # it cannot be seen from here
    LOOK = "look"  # work goes on, and somebody should look
    WRONG = "wrong"  # something will not start, or not do its work


class Finding(NamedTuple):
    """What one check found."""

    check: str
    state: State
    what: str
    remedy: str = ""  # what to do about it


def found(check: str, ask: Callable[[], Finding], *, at_fault: State = State.WRONG) -> Finding:
    """Return what `ask` returns. An error that it raises is a finding of the state `at_fault`."""
    try:
        return ask()
    except A3CPError as error:
        return Finding(check, at_fault, error.what, error.remedy)
