"""The tables of words: a file for each language, with the same names in all of them.

A phrase has places for values: `{label}`; `{reason:ends}` is the word that the table `ends` has for a value; a list is
told as “a” or “b”. What stands in `[…]` is left out when a value in it is missing. The page's script fills them alike.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

LANGUAGES: Final = ("en", "de")
WORDS_CHARS_MAX: Final = 400  # of one line; the whole text is in the record
_OPTIONAL: Final = re.compile(r"\[([^\]]*)\]")
_PLACE: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")


class Said(NamedTuple):
    """What a line says: the name of a phrase, and what stands in its places."""

    phrase: str
    values: Mapping[str, Any] = {}  # texts, numbers, lists of texts


@cache
def table(language: str = "en") -> Mapping[str, Any]:
    """Return the words of a language."""
    words: dict[str, Any] = msgspec.json.decode((Path(__file__).parent / f"{language}.json").read_bytes())
    return words


def filled(said: Said, language: str = "en") -> str:
    """Return one line of text."""
    words = table(language)
    values = said.values

    def value_of(place: re.Match[str]) -> str:
        value = values.get(place[1])
        if isinstance(value, list):
            return str(words["or"]).join(words["quoted"].replace("{text}", each) for each in value)
        return str(words[place[2]].get(value, value) if place[2] else value)

    def optional(part: re.Match[str]) -> str:
        is_whole = all(values.get(name) not in (None, "", []) for name, _ in _PLACE.findall(part[1]))
        return part[1] if is_whole else ""

    return short(_PLACE.sub(value_of, _OPTIONAL.sub(optional, words["phrases"][said.phrase])))


def counted(name: str, count: int, language: str = "en") -> str:
    """Return how many there are of what the table calls `name`."""
    form: str = table(language)["counts"][name]["one" if count == 1 else "other"]
    return form.replace("{count}", f"{count:,}")


def short(line: str) -> str:
    """Return `line` without line feeds, and cut when it is long."""
    line = " ".join(line.split())
    return line if len(line) <= WORDS_CHARS_MAX else line[: WORDS_CHARS_MAX - 1] + "…"


def readable(name: str) -> str:
    """Return a name of the modules' making as words."""
    words = name.replace("_", " ").replace(".", " ").strip()
    return words[:1].upper() + words[1:]


def span_words(ms: int) -> str:
    """Return a length of time in words."""
    minutes = round(ms / 60_000)
    if ms < 59_500:
        return f"{round(ms / 1000)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
