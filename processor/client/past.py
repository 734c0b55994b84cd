"""What the session events tell of a user's past."""

import time
from collections.abc import Callable
from typing import NamedTuple

from processor.codec.events import EventView
from processor.errors import DecodeError
from processor.kafka.reading.reader import Reader
from processor.runtime.partitioner import partition_of


class Past(NamedTuple):
    """What a3cp.sessions tells of a user."""

    seen: bool | None  # whether there was ever a session; None when the time was not enough to tell
    last_end_ms: int | None  # when the latest one that is over ended


def past_of(key: bytes, reader: Reader, decode_event: Callable[[bytes], EventView], timeout_s: float) -> Past:
    """Return what the session events tell of the user with this key, as far as they can be read in time."""
    deadline_s = time.monotonic() + timeout_s
    ends: list[int] = []
    seen = False
    for record in reader.read_all([partition_of(key, reader.partitions)]):
        if time.monotonic() > deadline_s:
            return Past(seen or None, max(ends, default=None))
        if record.key != key or record.value is None:
            continue
        try:
            event = decode_event(record.value)
        except DecodeError:
            continue
        seen = seen or event.kind != "rejected"
        if event.kind == "ended" and event.end_time is not None:
            ends.append(event.end_time)
    return Past(seen, max(ends, default=None))
