"""The tables of words: a file for each language, with the same names in all of them.

A phrase has places for values: `{label}`; `{reason:ends}` is the word that the table `ends` has for a value;
`{length:span}` is a length of time, `{length:precise}` one to the millisecond, `{start:time}` a moment, `{user:id}` an
id, `{held:number}` a number, `{lines:lines}` a number of what `counts` names. A list is told as “a” or “b”, flags with
their numbers. What stands in `[…]` is left out when a value in it is missing. The script of the pages (words.js) fills
them alike.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from processor.codec.isotime import format_time
from processor.upstream.words.ids import plain_id

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
    words, values = table(language), said.values

    def optional(part: re.Match[str]) -> str:
        is_whole = all(values.get(name) not in (None, "", []) for name, _ in _PLACE.findall(part[1]))
        return part[1] if is_whole else ""

    def value_of(place: re.Match[str]) -> str:
        return _told(values.get(place[1], ""), place[2], words)

    return short(_PLACE.sub(value_of, _OPTIONAL.sub(optional, words["phrases"][said.phrase])))


def _told(value: Any, kind: str | None, words: Mapping[str, Any]) -> str:
    """Return what stands in a place: `kind` is how a number is told, or the table that has a word for a text."""
    if kind == "flags":
        return ", ".join(_flag(word, words) for word in value)
    if kind == "reasons":
        return "; ".join(words["reasons"].get(word, word) for word in value)
    if isinstance(value, list):
        return str(words["or"]).join(words["quoted"].replace("{text}", each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {_flag(word, words)}" for word, count in value.items())
    if kind == "id":
        return plain_id(value)
    if kind == "span":
        return span_words(value)
    if kind == "precise":
        return precise_words(value)
    if kind == "time":
        return format_time(value)[:16].replace("T", " ")
    if kind == "number":
        return f"{value:,}"
    if kind in words["counts"]:
        form: str = words["counts"][kind]["one" if value == 1 else "other"]
        return form.replace("{count}", f"{value:,}")
    return str(words[kind].get(value, value) if kind else value)


def _flag(word: str, words: Mapping[str, Any]) -> str:
    text: str = words["flags"][word][0] if word in words["flags"] else word.replace("_", " ")
    return text


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
    if 0 < ms < 1000:
        return str(table()["page"]["under_a_second"])
    if ms < 59_500:
        return f"{round(ms / 1000)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def precise_words(ms: int) -> str:
    """Return a length of time in words, to the millisecond."""
    minutes, rest_ms = divmod(ms, 60_000)
    words = [span_words(minutes * 60_000)] if minutes else []
    return " ".join([*words, f"{rest_ms / 1000:g} s"] if rest_ms or not minutes else words)
