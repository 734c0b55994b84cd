"""Words of texts, compared as the store's full-text search compares them."""

import re
from typing import Final
from unicodedata import normalize

_words: Final = re.compile(r"[^\W_]+").findall


def has_all(text: str, words: str) -> bool:
    """Whether `text` has all of `words`, of which there must be one; case and composition of letters do not matter."""
    wanted = _words_of(words)
    return bool(wanted) and wanted <= _words_of(text)


def _words_of(text: str) -> frozenset[str]:
    return frozenset(_words(normalize("NFC", text).casefold()))
