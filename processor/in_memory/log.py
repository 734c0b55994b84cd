"""The log in memory: its topics, and its records as readers have them."""

from typing import Final

from processor.runtime.ports import TopicRecord
from processor.sessions.ports import SESSIONS, TAGGED
from processor.settings.model import TopicNames
from processor.testing import MemoryRecord
from processor.view.position import STATE

TOPICS: Final = TopicNames("raw", TAGGED, SESSIONS, STATE, "dlq")
KINDS: Final = (STATE, SESSIONS, TAGGED)
"""Topics that a view reads, in this order."""


def topic_record(topic: str, record: MemoryRecord) -> TopicRecord:
    """Return a record as a reader of the topic has it."""
    number, offset, key, value, append_ms, headers = record
    return TopicRecord(topic, number, offset, append_ms, key, value, headers or ())
