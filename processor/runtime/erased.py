"""How the processor is asked to erase a user, and the mark that an erasure leaves in the state topic.

The mark stands beside the tombstone of the state, which the user's next state displaces. The mark has a key of its own,
so it stays as long as a tombstone does: longer than the raw records, which an audit folds. It has no value either, so a
restore has nothing to take from it.
"""

import json
from typing import Final, NamedTuple

from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time
from processor.codec.spine import ERASE

_START: Final = b"\xff"  # No UTF-8 begins so, and each user id is UTF-8.


class ErasureMark(NamedTuple):
    """A user who was erased: their records before `offset` in their partition of the raw topic count no more."""

    user: bytes
    offset: int


def request_of(user_id: str, *, record_id: str, now_ms: int) -> bytes:
    """Return the raw record that asks the processor to erase a user."""
    fields = {
        "schema_version": SCHEMA_VERSION,
        "record_id": record_id,
        "user_id": user_id,
        "timestamp": format_time(now_ms),
        "performer_id": "system",
        "source": "a3cp_erase",
        "command": ERASE,
    }
    return json.dumps(fields).encode()


def mark_of(erased: ErasureMark) -> bytes:
    """Return the key of the mark; each erasure has its own."""
    return b"%b%d %b" % (_START, erased.offset, erased.user)


def read_mark(key: bytes) -> ErasureMark | None:
    """Return the erasure that a key in the state topic marks. Returns None if it is a user's key."""
    if not key.startswith(_START):
        return None
    offset, _, user = key.removeprefix(_START).partition(b" ")
    return ErasureMark(user, int(offset)) if offset.isdigit() else None
