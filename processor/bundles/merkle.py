"""Merkle trees as RFC 6962 has them (section 2.1): one hash for a list of texts, and short proofs that a text is in it.

A leaf is hashed behind a byte 0, a pair of hashes behind a byte 1, so neither is taken for the other.
"""

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(text: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\0" + text).digest()


class Tree:
    """The tree over some leaves."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Make the tree of the leaves with these hashes, in this order."""
        self._levels = [list(leaves)]
        while len(level := self._levels[-1]) > 1:
            above = [_pair(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
            self._levels.append(above + level[len(above) * 2 :])  # One without a neighbour goes up as it is.

    @property
    def root(self) -> bytes:
        """The hash of all of it; of no leaf at all that of no bytes."""
        return self._levels[-1][0] if self._levels[-1] else sha256().digest()

    def path(self, index: int) -> list[bytes]:
        """Return the hashes that lead from the leaf at `index` up to the root."""
        found = []
        for level in self._levels[:-1]:
            if (beside := index ^ 1) < len(level):
                found.append(level[beside])
            index //= 2
        return found


def _pair(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()
