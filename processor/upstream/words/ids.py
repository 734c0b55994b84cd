"""Ids for people: one that could be taken for another shows how it differs."""

import json
import re
import unicodedata
from typing import Final

_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"})
_NOT_SEEN: Final = re.compile("(?<= ) |\x7f")  # which JSON leaves as they are


def plain_id(name: str) -> str:
    """Return an id. If it could be taken for another one, it is in quotes, with its odd characters as `\\u….`

    Such an id has outer blanks, several blanks beside each other, invisible characters, several spellings, or letters
    of several scripts: a Cyrillic "а" in a Latin word. The script of the pages (words.js) shows ids alike.
    """
    return name if _is_unmistakable(name) else _NOT_SEEN.sub(lambda one: f"\\u{ord(one[0]):04x}", json.dumps(name))


def _is_unmistakable(name: str) -> bool:
    if not name.isprintable() or name != name.strip() or "  " in name:
        return False
    if name.isascii():
        return True
    if unicodedata.normalize("NFKC", name) != name:
        return False
    scripts = {unicodedata.name(letter, "?").partition(" ")[0] for letter in name if letter.isalpha()}
    return len(scripts) < 2 or scripts <= _EAST_ASIAN
