"""Words of texts, compared as the store's full-text search compares them."""

import re
from typing import Final
from unicodedata import normalize

_words: Final = re.compile(r"[^\W_]+").findall


def words_of(text: str) -> frozenset[str]:
    """Return the words in `text`, however they are composed and whatever their case."""
    return frozenset(_words(normalize("NFC", text).casefold()))
