"""The phases of a session: which words its `status` may say, and which may follow which.

A template has a table or none: the phases that may follow each one. A session begins in the first; what nothing
follows ends it. Without a table any text is a status. The table is the faces' rule: the log takes every status,
since it decides nothing about it.
"""

from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias

Phases: TypeAlias = Mapping[str, Collection[str]]


def why_not(phases: Phases | None, phase: str | None, wanted: str) -> Literal["unknown", "illegal"] | None:
    """Return why a session cannot go from `phase` (None: it was told none) to `wanted`; None if it can."""
    if phases is None:
        return None
    if wanted not in phases:
        return "unknown"
    return None if wanted in phases.get(phase or next(iter(phases)), ()) else "illegal"


def is_last(phases: Phases | None, phase: str) -> bool:
    """Return whether the session ends with `phase`."""
    return phases is not None and phase in phases and not phases[phase]
