"""Framing: which of the three encodings a value has, by its first bytes, and how long the frame is.

Sources: the Avro specification, "Single-object encoding"; the wire format of Confluent's schema registry.
"""

from typing import Final

from processor.codec.foreign import foreign_framing
from processor.errors import DecodeError

# Stable numbers: they are held in the stored state.
JSON: Final = 1
AVRO: Final = 2  # Avro single-object encoding: C3 01, then the schema's fingerprint
CONFLUENT: Final = 3  # Confluent framing: 00, then the schema's id in a registry
ENCODINGS: Final = (JSON, AVRO, CONFLUENT)
ENCODING_NAMES: Final = {JSON: "JSON", AVRO: "Avro single-object", CONFLUENT: "Confluent-framed Avro"}

AVRO_MARK: Final = b"\xc3\x01"
AVRO_HEADER_BYTES: Final = 10
CONFLUENT_HEADER_BYTES: Final = 5
JSON_SPACE: Final = b" \t\r\n"

_FORMS: Final = "a value is JSON ('{'), Avro single-object (C3 01) or Confluent-framed (00)"


def encoding_of(value: bytes | None) -> int:
    """Return the encoding of `value`.

    Raises:
        DecodeError: it has none of the three, or the frame is cut off.
    """
    if not value:
        what = "value is empty" if value is not None else "value is null (a tombstone)"
        raise DecodeError(what, remedy="send a message; nothing in this topic is deleted by key")
    first = value[0]
    if first == 0x7B:
        return JSON
    if first == 0xC3:
        if value[:2] != AVRO_MARK or len(value) < AVRO_HEADER_BYTES:
            raise DecodeError(f"value begins with {value[:2].hex()} but has no whole Avro header", remedy=_FORMS)
        return AVRO
    if first == 0:
        if len(value) < CONFLUENT_HEADER_BYTES:
            raise DecodeError(f"value begins with 00 but has {len(value)} bytes, no whole schema id", remedy=_FORMS)
        return CONFLUENT
    if value.lstrip(JSON_SPACE)[:1] == b"{":
        return JSON
    if value[:3] == b"\xef\xbb\xbf":
        raise DecodeError("value begins with a byte order mark", remedy="send UTF-8 without one")
    raise foreign_framing(value) or DecodeError(
        f"value begins with byte {first:02x}, which is no known encoding", remedy=_FORMS
    )


def avro_header(fingerprint: int) -> bytes:
    """Return the header of the Avro single-object encoding for a CRC-64-AVRO `fingerprint`."""
    return AVRO_MARK + fingerprint.to_bytes(8, "little")


def confluent_header(schema_id: int) -> bytes:
    """Return the header of Confluent framing for the registry's `schema_id`."""
    return b"\x00" + schema_id.to_bytes(4, "big")


def header_of(value: bytes) -> bytes:
    """Return the header of `value`, which is Avro in one of its two framings: it names the schema."""
    return value[: AVRO_HEADER_BYTES if value[0] else CONFLUENT_HEADER_BYTES]
