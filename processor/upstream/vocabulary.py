"""The plain words for flags, reasons and ends, of the tables in `words/`: for a word of JSON, each face says the same.

A flag has a short text for a list, a line or a label, and a sentence that explains it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from processor.upstream.words.table import table

_WORDS: Final = table()

FLAGS: Final[Mapping[str, Sequence[str]]] = _WORDS["flags"]
"""The words of `Notice`: in the order in which they are told."""

QUIET: Final = ("nonconforming", "demo")
"""Flags that a line does not show: they are in the details only."""

ODD: Final[Mapping[str, str]] = _WORDS["reasons"]
"""Why a message is `nonconforming`: the words of `Odd`."""

ENDS: Final[Mapping[str, str]] = _WORDS["ends"]
"""How a session ended, by the reason."""

UNCHANGED: Final[Mapping[str, str]] = _WORDS["unchanged"]
"""Why a command changed nothing."""

REJECTED: Final[Mapping[str, str]] = _WORDS["rejected"]
"""Why a command was refused."""


def flag_text(word: str) -> str:
    """Return the short text for a flag; of one that a newer release made, its word."""
    return FLAGS[word][0] if word in FLAGS else word.replace("_", " ")


def flag_counts(counts: dict[str, int]) -> str:
    """Return how often each flag occurs, in the order of the table; "" if there are none."""
    known = [word for word in FLAGS if word in counts]
    others = sorted(counts.keys() - FLAGS.keys())
    return ", ".join(f"{counts[word]:,} {flag_text(word)}" for word in (*known, *others))
