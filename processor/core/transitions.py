"""What a command does, by what it meets: the table of rule R7, as docs/sessions.md prints it (a test compares them).

Each user's session is in one `Phase` when a command comes:

    NONE ──start──▶ ACTIVE ──pause──▶ PAUSED
      ▲               │  ▲               │
      │               │  └────resume─────┤
      └─────end───────┴──────end─────────┘

Silence and the maximum length lead to NONE too (rules R2, R3 and R8): commands.py tells that end first, and then looks
up what the command does with none open. An end that the clock has announced changes no phase: within the gap a command
takes it back (`Reopened`).
"""

from enum import Enum
from typing import Final

from processor.core.model import Command, CommandName, Session


class Phase(Enum):
    """What a command meets."""

    ACTIVE = "active"
    PAUSED = "paused"
    NONE = "none open"


class Effect(Enum):
    """What it does then."""

    STARTS = "starts one"
    SUPERSEDES = "ends it, starts one"
    ENDS = "ends it"
    PAUSES = "pauses it"
    RESUMES = "goes on with it"
    ADDS = "adds to it"
    REJECTED = "rejected"
    # Nothing, and why:
    ALREADY_ACTIVE = "already_active"
    ALREADY_PAUSED = "already_paused"
    NOT_PAUSED = "not_paused"
    TOUCHED = "touched"  # but that it is activity, all that was asked for
    DUPLICATE = "duplicate"  # the very command was carried out before


def _row(active: Effect, paused: Effect, none: Effect) -> dict[Phase, Effect]:
    return {Phase.ACTIVE: active, Phase.PAUSED: paused, Phase.NONE: none}


FORCED_START: Final = "start with force_new"
_ADDS: Final = _row(Effect.ADDS, Effect.ADDS, Effect.REJECTED)
TABLE: Final[dict[CommandName | str, dict[Phase, Effect]]] = {
    CommandName.START: _row(Effect.ALREADY_ACTIVE, Effect.ALREADY_ACTIVE, Effect.STARTS),
    FORCED_START: _row(Effect.SUPERSEDES, Effect.SUPERSEDES, Effect.STARTS),
    CommandName.END: _row(Effect.ENDS, Effect.ENDS, Effect.REJECTED),
    CommandName.PAUSE: _row(Effect.PAUSES, Effect.ALREADY_PAUSED, Effect.REJECTED),
    CommandName.RESUME: _row(Effect.NOT_PAUSED, Effect.RESUMES, Effect.REJECTED),
    CommandName.NOTE: _ADDS,
    CommandName.CONTEXT: _ADDS,
    CommandName.STEP: _ADDS,
    CommandName.STATUS: _ADDS,
    CommandName.TAG: _ADDS,
    CommandName.TOUCH: _row(Effect.TOUCHED, Effect.TOUCHED, Effect.REJECTED),
}


def phase_of(session: Session | None) -> Phase:
    """Return the phase of a user whose open session is `session`; None when none is open."""
    if session is None:
        return Phase.NONE
    return Phase.ACTIVE if session.paused_at_ms is None else Phase.PAUSED


def effect_of(command: Command, session: Session | None) -> Effect:
    """Return what `command` does to a user whose open session is `session`; None when none is open."""
    forced = command.name is CommandName.START and command.force_new
    return TABLE[FORCED_START if forced else command.name][phase_of(session)]
