"""Which partition a user's records belong in: Java's default partitioner, murmur2 over the key.

Source: `org.apache.kafka.common.utils.Utils.murmur2` as documented for Kafka's default partitioner; checked against
librdkafka's `murmur2_random` in tests/broker.
"""

from struct import Struct
from typing import Final

_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_MASK: Final = 0xFFFFFFFF
_words: Final = Struct("<I").iter_unpack


def murmur2(key: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `key` with Kafka's seed, as an unsigned number."""
    length = len(key)
    h = _SEED ^ length
    whole = length & ~3
    for (word,) in _words(key[:whole]):
        k = word * _M & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    if whole != length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition, from 0, that Java's default partitioner chooses for `key`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
