"""Which partition a user's records belong in: Java's default partitioner, murmur2 over the key.

Source: `org.apache.kafka.common.utils.Utils.murmur2` as documented for Kafka's default partitioner; checked against
librdkafka's `murmur2_random` in tests/broker.
"""

from typing import Final

_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_MASK: Final = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `key` with Kafka's seed, as an unsigned number."""
    length = len(key)
    h = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * _M & _MASK
        h = h * _M & _MASK ^ (k ^ k >> 24) * _M & _MASK
    if whole != length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition, from 0, that Java's default partitioner chooses for `key`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
