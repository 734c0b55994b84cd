"""Texts in requests: how long they may be, and what may be in them."""

from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from processor.codec.jsonfaults import HALF_A_CHARACTER
from processor.codec.spine import is_word

TEXT_CHARS_MAX: Final = 65_536
WORD_CHARS_MAX: Final = 255
NO_NUL: Final = r"^[^\x00]*$"  # a pattern: what is looked up in a store has none, since PostgreSQL takes none


def encodable(text: object) -> object:
    """Return `text`, unless it has half a character: JSON can write that, and no encoding can.

    Raises:
        ValueError: it has.
    """
    try:
        if isinstance(text, str):
            text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"it holds {HALF_A_CHARACTER}") from None
    return text


def _word(text: str) -> str:
    if not is_word(text):
        raise ValueError("it is not one line, has outer blanks, or holds control characters")
    return text


Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX), BeforeValidator(encodable)]
"""Any text."""

Said = Annotated[str, Field(min_length=1, max_length=TEXT_CHARS_MAX, pattern=r"\S"), BeforeValidator(encodable)]
"""A text that is not blank."""

Word = Annotated[str, Field(min_length=1, max_length=WORD_CHARS_MAX), BeforeValidator(encodable), AfterValidator(_word)]
"""A word or a few, which lists, tables and terminals show: one line without control characters and outer blanks."""
