"""Going on with topics that a mirror of another cluster has filled: the same records at other offsets."""

from typing import NamedTuple


class Adopted(NamedTuple):
    """A partition's mark: where the topics ended when the mirror had filled them. Offsets named before are others'."""

    raw: int
    state: int
    dlq: int
