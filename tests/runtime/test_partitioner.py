"""The partition is the one that Java's default partitioner chooses."""

import pytest

from processor.runtime.partitioner import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_known_hashes(key, signed):
    """The examples of Kafka's own test of `Utils.murmur2`."""
    assert murmur2(key) == signed & 0xFFFFFFFF


def test_a_partition_is_a_positive_number_below_the_count():
    """The sign bit is masked, not turned."""
    assert partition_of(b"foobar", 1000) == (-790332482 & 0x7FFFFFFF) % 1000
    assert {partition_of(str(n).encode(), 4) for n in range(100)} == {0, 1, 2, 3}
