"""What was found wrong with a session, in a bundle or in the topics."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

PROBLEMS_MAX: Final = 20  # told of one bundle; a file that is cut off has one at every line


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    file: str  # "" for the bundle as a whole
    where: str  # a line or a message; "" for the file as a whole
    what: str

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.file, self.where) if part)
        return f"{place}: {self.what}" if place else self.what


class Sealed(NamedTuple):
    """The proof that a seal has a bundle, in the words of RFC 6962; hashes are hex."""

    day: str
    is_all: bool  # every byte of it; else its messages alone, since it was written again after the seal
    root: str
    leaf: str
    number: int  # of the leaf, from 0
    leaves: int
    path: Sequence[str]  # from the leaf up


@dataclass(slots=True)
class Report:
    """What was found about one bundle."""

    path: str
    session_id: str | None = None
    status: str | None = None  # open, partial or complete, as the bundle says
    messages: int = 0
    problems: list[Problem] = field(default_factory=list)
    is_opened_twice: bool = False  # and says so: it holds all that came under its id
    is_rendered: bool = False  # whether its files were rendered again from its records, and compared
    not_rendered: str = ""  # why not
    signed_by: str | None = None  # the id of the key that its signature names
    sealed: Sealed | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong. A bundle that says it is partial is sound: it says so."""
        return not self.problems

    def add(self, file: str, where: str, what: str) -> None:
        """Note a problem, unless it is known, or there are many already."""
        problem = Problem(file, where, what)
        if len(self.problems) < PROBLEMS_MAX and problem not in self.problems:
            self.problems.append(problem)
