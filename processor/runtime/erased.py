"""The mark that a person's erasure leaves in the state topic, beside the tombstone of the state.

The user's next state displaces the tombstone. The mark has a key of its own, so it stays as long as a tombstone does:
longer than the raw records, which an audit folds. It has no value either, so a restore has nothing to take from it.
"""

from typing import Final, NamedTuple

_START: Final = b"\xff"  # No UTF-8 begins so, and each user id is UTF-8.


class Erased(NamedTuple):
    """A user who was erased: their records before `offset` in their partition of the raw topic count no more."""

    user: bytes
    offset: int


def mark_of(erased: Erased) -> bytes:
    """Return the key of the mark; each erasure has its own."""
    return b"%b%d %b" % (_START, erased.offset, erased.user)


def read_mark(key: bytes) -> Erased | None:
    """Return the erasure that a key in the state topic marks. Returns None if it is a user's key."""
    if not key.startswith(_START):
        return None
    offset, _, user = key.removeprefix(_START).partition(b" ")
    return Erased(user, int(offset)) if offset.isdigit() else None
