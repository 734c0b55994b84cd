"""What may have been meant where an id is not found."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Final

from processor.cli.terminal import plain

SHOWN: Final = 3
_COMPARED_MAX: Final = 100_000  # It takes a second or two.
_ALIKE: Final = 0.6  # of what two texts have in common


def nearest(text: str, known: Iterable[str]) -> list[str]:
    """Return what of `known` is most like `text`, whatever its case and its outer blanks, best first."""
    by_form: dict[str, str] = {}
    for one in islice(known, _COMPARED_MAX):
        by_form.setdefault(one.strip().casefold(), one)
    return [by_form[form] for form in get_close_matches(text.strip().casefold(), by_form, SHOWN, _ALIKE)]


def quoted(texts: Iterable[str]) -> str:
    """Return texts for people, each in quotes, so that outer blanks show."""
    return ", ".join(f"'{plain(text)}'" for text in texts)
