"""What an audit counted and found."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

PROBLEMS_MAX: Final = 1_000  # kept; the others are counted only
TWICE_SHOWN: Final = 20


class Wrong(NamedTuple):
    """One thing that is wrong, and where."""

    where: str  # such as a3cp.tagged[1]@1042
    what: str


@dataclass(slots=True)
class AuditReport:
    """What an audit counted and found."""

    raw: int = 0  # records that were read
    tagged: int = 0
    answered: int = 0  # commands
    dead: int = 0
    rerouted: int = 0
    waiting: int = 0  # raw records that the processor has not come to
    never_read: int = 0  # raw offsets that were gone before the processor came to the partition
    alone: int = 0  # raw records whose tagged ones are cut off
    sessions: int = 0
    ends: int = 0
    states: int = 0
    states_compared: int = 0  # with a fold of the raw records
    notes: list[str] = field(default_factory=list)  # what could not be looked at, and why
    problems: list[Wrong] = field(default_factory=list)
    problem_count: int = 0
    opened_twice: int = 0  # sessions whose records were sent again after they were forgotten

    def note_twice(self, told: str) -> None:
        """Note that a session was opened again; the first ones by name."""
        self.opened_twice += 1
        if self.opened_twice <= TWICE_SHOWN:
            self.notes.append(told)

    def add(self, where: str, what: str) -> None:
        """Note a problem."""
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Wrong(where, what))
