"""What a batch did, counted in plain numbers; the metrics take it once a commit."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from processor.core.model import Ended, Paused, Reopened, Resumed, Started

BOUNDARIES_MAX: Final = 20
Boundary: TypeAlias = Started | Ended | Paused | Resumed | Reopened


@dataclass(slots=True)
class Tally:
    """Counts of one batch; keys are the words that the metrics' labels use."""

    tagged: int = 0
    rerouted: int = 0
    repeated: int = 0  # raw records that the states hold already
    repeated_offset: int = -1  # of the last of them
    started: Counter[str] = field(default_factory=Counter)  # by reason
    ended: Counter[str] = field(default_factory=Counter)  # by reason; revisions of an end are not counted again
    flags: Counter[int] = field(default_factory=Counter)  # by flag bits, messages without any left out
    odd: Counter[int] = field(default_factory=Counter)  # by the bits that say why a message does not conform
    dead: Counter[str] = field(default_factory=Counter)  # by stage
    commands: Counter[tuple[str, str]] = field(default_factory=Counter)  # by name and outcome
    boundaries: list[tuple[str, Boundary]] = field(default_factory=list)  # user and event, the first BOUNDARIES_MAX

    def repeat(self, offset: int) -> None:
        """Count a raw record that the states hold already."""
        self.repeated += 1
        self.repeated_offset = offset
