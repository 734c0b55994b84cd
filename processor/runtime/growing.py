"""More partitions for users who have states: who moves where, and what their states become.

The new number is a multiple of the old one. So a user either stays, or moves to a partition that there was not before:
from partition `p` of `n` to one of those that leave the remainder `p` when divided by `n`. Why so: docs/adr/0031.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from processor.codec.state import decode_state, encode_state
from processor.core.model import UserState
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import Output


class Grown(NamedTuple):
    """A partition's mark: there were so many `partitions` when the raw records before `offset` were processed."""

    partitions: int
    offset: int


def partitions_at(offset: int, grown: Sequence[Grown], now: int) -> int:
    """Return how many partitions there were when the raw record at `offset` was processed. Today there are `now`."""
    return next((each.partitions for each in grown if offset < each.offset), now)


def parent_of(partition: int, grown: Sequence[Grown]) -> int | None:
    """Return the partition from which the users of a new one came. Returns None if it was there from the beginning."""
    counts = [each.partitions for each in grown if each.partitions <= partition]
    return partition % max(counts) if counts else None


def next_partition(key: bytes, partition: int, grown: Sequence[Grown], now: int) -> int:
    """Return where a user of `partition` went when it first stopped being theirs. Returns `partition` if it is still.

    `grown`: marks of the partition; `now`: how many partitions there are today.
    """
    counts = [each.partitions for each in grown[1:]] + [now]
    return next((right for count in counts if (right := partition_of(key, count)) != partition), partition)


def moved(state: UserState) -> UserState:
    """Return a state as it is in its new partition: no record there is in it yet."""
    return state._replace(last_offset=-1)


def moves(topic: str, partition: int, states: Mapping[bytes, bytes], partitions: int) -> Sequence[Output]:
    """Return the records that move states out of `partition` of the state topic `topic`: each goes, and is no more.

    `states`: those that the partition holds; `partitions`: how many there will be.

    Raises:
        DecodeError: one is not of this release, or damaged.
    """
    outputs: list[Output] = []
    for key, value in states.items():
        right = partition_of(key, partitions)
        if right != partition:
            outputs.append((topic, encode_state(moved(decode_state(value))), key, right, None))
            outputs.append((topic, None, key, partition, None))
    return outputs
