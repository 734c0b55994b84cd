"""The headers of a record: the names of ours, and those of a record whose headers the Kafka client cannot read."""

from collections.abc import Iterable, Sequence
from operator import methodcaller
from typing import Final, Protocol, TypeAlias

Headers: TypeAlias = list[tuple[str, bytes | None]]
"""A record's headers, in order; Kafka lets a name come twice and a value be null."""

DLQ_START: Final = "a3cp-dlq-"
"""What the headers of a dead letter that are ours begin with; one that a record came with is left out."""

DLQ_STAGE: Final = f"{DLQ_START}stage"
DLQ_WITHHELD: Final = f"{DLQ_START}withheld"
DLQ_RETRIED: Final = f"{DLQ_START}retried"
"""The only header of the marker beside a dead letter that was put back: the position of the dead letter."""

RETRIED: Final = "a3cp-retried"
"""On a raw record that was put back: the position of its dead letter."""

REROUTED: Final = "a3cp-rerouted"
"""On the copy of a raw record that was in a wrong partition: where it was."""

UNREADABLE: Final = "a3cp-headers-unreadable"
"""Header that stands for all that a record came with, when the client cannot read them."""

# The client returns a list and an error at once. C checks for that at each call; the interpreter's quick path for
# methods that are called often does not, and the error would come up anywhere after it.
ask_headers: Final = methodcaller("headers")
"""Return a record's headers, None when it has none; raises one of `NOT_READ`, and then `stand_in` must come next."""

NOT_READ: Final = (SystemError, UnicodeDecodeError)

_HEADER_BYTES: Final = 10  # what Kafka adds to one, at most


class _HasHeaders(Protocol):
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


def headers_of(record: _HasHeaders) -> Headers:
    """Return the headers that `record` came with; `UNREADABLE` alone when they cannot be read.

    Kafka takes any bytes as a header's name; confluent_kafka raises when one is not UTF-8.
    """
    try:
        return list(ask_headers(record) or ())
    except NOT_READ:
        return stand_in(record)


def stand_in(record: _HasHeaders) -> Headers:
    """Return what stands for headers that cannot be read, and put it in their place.

    Asked again, confluent_kafka 2.16 returns them with a hole where the name is, and whoever looks at it crashes.
    """
    headers: Headers = [(UNREADABLE, b"the name of one is not UTF-8")]
    if (replace := getattr(record, "set_headers", None)) is not None:
        replace(headers)
    return headers


def headers_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Return how many bytes of a record's limit `headers` take, at most."""
    return sum(len(name.encode()) + len(content or b"") + _HEADER_BYTES for name, content in headers)
