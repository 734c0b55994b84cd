"""The headers of a record, also of one whose headers the Kafka client cannot read."""

from collections.abc import Sequence
from operator import methodcaller
from typing import Final, Protocol, TypeAlias

UNREADABLE: Final = "a3cp-headers-unreadable"
"""Header that stands for all that a record came with, when the client cannot read them."""

Came: TypeAlias = list[tuple[str, bytes | None]]

# The client returns a list and an error at once. C checks for that at each call; the interpreter's quick path for
# methods that are called often does not, and the error would come up anywhere after it.
_HEADERS: Final = methodcaller("headers")


class _HasHeaders(Protocol):
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


def headers_of(record: _HasHeaders) -> Came:
    """Return the headers that `record` came with; `UNREADABLE` alone when they cannot be read.

    Kafka takes any bytes as a header's name; confluent_kafka raises when one is not UTF-8.
    """
    try:
        return list(_HEADERS(record) or ())
    except (SystemError, UnicodeDecodeError):
        headers: Came = [(UNREADABLE, b"the name of one is not UTF-8")]
        # Asked again, confluent_kafka 2.16 returns them with a hole where the name is, and whoever looks at it crashes.
        if (replace := getattr(record, "set_headers", None)) is not None:
            replace(headers)
        return headers
