"""Dead letters: a record that cannot be tagged, set aside unchanged with the reason (topic `a3cp.dlq`).

Raw media and partial transcripts must not be kept anywhere: their bytes are replaced by hash and size.
"""

from enum import Enum
from hashlib import sha256
from typing import Final

from processor.codec.codec import Codec
from processor.codec.headers import DLQ_START, DLQ_WITHHELD, Headers, headers_bytes, headers_of
from processor.errors import A3CPError, DecodeError
from processor.runtime.ports import Output, RawRecord
from processor.runtime.withholding import stand_in, why_bytes_are_withheld, why_withheld

_RECORD_OVERHEAD_BYTES: Final = 1024  # what Kafka adds to a record and its batch, rounded up
_TOO_LARGE: Final = "too large"


class Stage(Enum):
    """The step at which a record could not be tagged."""

    DECODE = "decode"
    VALIDATE = "validate"
    SIZE = "size"
    HOOK = "hook"  # Not of a raw record: of what a receiver was to be told.


def why_headers(place: tuple[str, int, int], append_ms: int, stage: Stage, error: A3CPError, value: bytes) -> Headers:
    """Return the headers that say what is set aside: where it was (topic, partition, offset), its value, and why."""
    topic, partition, offset = place
    described = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": append_ms,
        "stage": stage.value,
        "error": type(error).__name__,
        "message": str(error),
        "sha256": sha256(value).hexdigest(),
        "size": len(value),
    }
    return [(DLQ_START + name, str(content).encode()) for name, content in described.items()]


def dead_letter(
    record: RawRecord, error: A3CPError, stage: Stage, *, codec: Codec, topic: str, raw_topic: str, bytes_max: int
) -> Output:
    """Return the dead letter of `record`: key, value and headers as they came, and headers that say where and why.

    A value that would make it larger than `bytes_max`, the topic's limit, is left out; so are key and headers if they
    are too large still. A compressed input may be many times as large as its topic's limit.

    Raises:
        RegistryUnavailable: as `Codec.decode` raises it.
    """
    value, key = record.value(), record.key()
    content = value or b""
    _, append_ms = record.timestamp()
    came: Headers = [(name, content) for name, content in headers_of(record) if not name.startswith(DLQ_START)]
    place = raw_topic, record.partition(), record.offset()
    headers = why_headers(place, append_ms, stage, error, content)
    kept = value
    why = why_value_is_withheld(content, codec)
    room_bytes = bytes_max - _RECORD_OVERHEAD_BYTES - headers_bytes(headers)
    if why is None and len(content) + len(key or b"") + headers_bytes(came) > room_bytes:
        why = _TOO_LARGE
    if why is not None:
        headers.append((DLQ_WITHHELD, why.encode()))
        kept = stand_in(why, content).encode()
        if len(kept) + len(key or b"") + headers_bytes(came) > room_bytes:
            came, key = [], None
    return topic, kept, key, record.partition(), came + headers


def why_value_is_withheld(value: bytes, codec: Codec) -> str | None:
    """Return why the value of a record must not be kept or shown. Returns None if it may be."""
    try:
        fields = codec.fields_of(value)
    except DecodeError:
        return why_bytes_are_withheld(value)
    return why_withheld(value, fields)
