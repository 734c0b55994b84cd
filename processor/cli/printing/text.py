"""Text for people and programs: no text of a message may steer a terminal, or look like something else."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Final

from processor.codec.isotime import format_time

NEAREST: Final = 3
_COMPARED_MAX: Final = 100_000  # It takes a second or two.
_ALIKE: Final = 0.6  # of what two texts have in common
# What steers a terminal, turns the order of what is shown, or is not seen: controls, line ends, bidi marks, tags.
_STEERING: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e0fff]"
)


def plain(text: str) -> str:
    """Return `text` with its control characters marked, so that it cannot steer the terminal."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def nearest(text: str, known: Iterable[str]) -> list[str]:
    """Return the texts in `known` that are most like `text`, best first. Case and outer blanks do not count."""
    by_form: dict[str, str] = {}
    for one in islice(known, _COMPARED_MAX):
        by_form.setdefault(one.strip().casefold(), one)
    return [by_form[form] for form in get_close_matches(text.strip().casefold(), by_form, NEAREST, _ALIKE)]


def quoted(texts: Iterable[str]) -> str:
    """Return texts for people, each in quotes, so that outer blanks show."""
    return ", ".join(f"'{plain(text)}'" for text in texts)


def counts(found: Mapping[str, int]) -> str:
    """Return how many there are of each, the most first."""
    return ", ".join(f"{plain(name)} {count:,}" for name, count in sorted(found.items(), key=lambda item: -item[1]))


def when(ms: int) -> str:
    """Return a time to the second."""
    return format_time(ms)[:19].replace("T", " ") + "Z"


def print_json(value: object, *, indent: int | None = None) -> None:
    """Print `value` as JSON. Characters that a terminal would not show are escaped.

    It is one line; with `indent`, each level is moved that far to the right.
    """
    can_show = (sys.stdout.encoding or "").lower().startswith("utf")
    for line in json.dumps(value, ensure_ascii=not can_show, indent=indent).split("\n"):
        print(_STEERING.sub(_escaped, line))


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
