"""The phases of a session: which words its `status` may say, and which may follow which.

A template has a table or none. Without one a session's status is any text. The table is the faces' rule: the log takes
every status, since it decides nothing about it.
"""

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Final, Literal

_ASSESSMENT: Final = (
    "created", "requirement_submitted", "matches_found", "matches_selected", "generating_impact", "completed",
)  # fmt: skip
_ERROR: Final = "error"

TABLES: Final[Mapping[str, Mapping[str, frozenset[str]]]] = MappingProxyType(
    {
        "assessment": {
            **{phase: frozenset({following, _ERROR}) for phase, following in pairwise(_ASSESSMENT)},
            _ASSESSMENT[-1]: frozenset(),
            _ERROR: frozenset(),
        },
        "interview": {  # To pause it is a command, no phase.
            "created": frozenset({"active", _ERROR}),
            "active": frozenset({"completed", _ERROR}),
            "completed": frozenset(),
            _ERROR: frozenset(),
        },
    }
)
"""By template and phase: the phases that may come next; none after those that end the session."""


def first_phase(template: str | None) -> str | None:
    """Return the phase of a session that was told none; None for templates without a table."""
    return next(iter(TABLES.get(template or "", ())), None)


def why_not(template: str | None, phase: str | None, wanted: str) -> Literal["unknown", "illegal"] | None:
    """Return why a session cannot go from `phase` (None: it was told none) to `wanted`; None if it can."""
    table = TABLES.get(template or "")
    if table is None:
        return None
    if wanted not in table:
        return "unknown"
    return None if wanted in table.get(phase or first_phase(template) or "", ()) else "illegal"


def is_last(template: str | None, phase: str) -> bool:
    """Return whether the session ends with `phase`."""
    return TABLES.get(template or "", {}).get(phase) == frozenset()
