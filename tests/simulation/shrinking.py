"""The shortest list that still fails: parts of it are left out, large ones first, as long as it fails without them."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def shortest(items: Sequence[Item], fails: Callable[[Sequence[Item]], bool]) -> Sequence[Item]:
    """Return a part of `items`, in their order, that fails, and does not if any one of its items is left out."""
    size = len(items)
    while size:
        at, is_shorter = 0, False
        while at < len(items):
            rest = [*items[:at], *items[at + size :]]
            if fails(rest):
                items, is_shorter = rest, True
            else:
                at += size
        if not (is_shorter and size == 1):
            size //= 2
    return items
