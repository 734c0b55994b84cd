"""Plain words for what messages and session events say; en.json and de.json are the tables, alike for every face."""

from processor.upstream.words.events import detail_words, event_words, said_in_event
from processor.upstream.words.messages import (
    message_words,
    notes_in,
    number,
    said_in_message,
    socket_text,
    top_label,
)
from processor.upstream.words.table import LANGUAGES, WORDS_CHARS_MAX, Said, filled, span_words, table

__all__ = [
    "LANGUAGES",
    "WORDS_CHARS_MAX",
    "Said",
    "detail_words",
    "event_words",
    "filled",
    "message_words",
    "notes_in",
    "number",
    "said_in_event",
    "said_in_message",
    "socket_text",
    "span_words",
    "table",
    "top_label",
]
