"""Names of formats that are none of the three encodings, told by the bytes of a value that could not be read.

Sources: the formats' own specifications; file(1)'s list of marks.
"""

import re
from typing import Final, NamedTuple

_TEXT_BYTES: Final = 4_096  # of a value that are looked at to see whether it is text


class Format(NamedTuple):
    """What a value is."""

    name: str
    remedy: str
    is_media: bool = False


_COMPRESSED: Final = "send the record itself; compression is the Kafka client's: compression.type"
_RECORDS: Final = "send the records in it one by one, each as JSON or Avro"
_BINARY: Final = "send JSON, or Avro with a schema"
_DOCUMENT: Final = "send one JSON object, and of a file a reference to it"
_REFERENCE: Final = "send a reference to it: raw media must not be kept"
_UTF_8: Final = "send UTF-8, without a byte order mark"


def _media(name: str) -> Format:
    return Format(name, _REFERENCE, is_media=True)


# By the bytes that a value begins with.
_MARKS: Final[tuple[tuple[bytes, Format], ...]] = (
    (b"\x1f\x8b", Format("compressed with gzip", _COMPRESSED)),
    (b"PK\x03\x04", Format("a ZIP archive (or a file in that form, such as npz)", _DOCUMENT)),
    (b"\x28\xb5\x2f\xfd", Format("compressed with Zstandard", _COMPRESSED)),
    (b"\x04\x22\x4d\x18", Format("compressed with LZ4", _COMPRESSED)),
    (b"\xff\x06\x00\x00sNaPpY", Format("compressed with Snappy", _COMPRESSED)),
    (b"\x82SNAPPY\x00", Format("compressed with Snappy", _COMPRESSED)),
    (b"BZh", Format("compressed with bzip2", _COMPRESSED)),
    (b"\xfd7zXZ\x00", Format("compressed with xz", _COMPRESSED)),
    (b"\x78\x01", Format("compressed with zlib", _COMPRESSED)),
    (b"\x78\x5e", Format("compressed with zlib", _COMPRESSED)),
    (b"\x78\x9c", Format("compressed with zlib", _COMPRESSED)),
    (b"\x78\xda", Format("compressed with zlib", _COMPRESSED)),
    (b"Obj\x01", Format("an Avro container file", f"{_RECORDS}: a3cp produce reads such files")),
    (b"PAR1", Format("a Parquet file", _RECORDS)),
    (b"ORC", Format("an ORC file", _RECORDS)),
    (b"ARROW1", Format("an Arrow file", _RECORDS)),
    (b"SQLite format 3\x00", Format("an SQLite file", _RECORDS)),
    (b"\x93NUMPY", Format("a NumPy array", _DOCUMENT)),
    (b"\xac\xed\x00\x05", Format("a serialised Java object", _BINARY)),
    (b"\xd9\xd9\xf7", Format("CBOR", _BINARY)),
    (b"%PDF", Format("a PDF file", _DOCUMENT)),
    (b"\x89PNG\r\n\x1a\n", _media("a PNG image")),
    (b"\xff\xd8\xff", _media("a JPEG image")),
    (b"GIF87a", _media("a GIF image")),
    (b"GIF89a", _media("a GIF image")),
    (b"II*\x00", _media("a TIFF image")),
    (b"MM\x00*", _media("a TIFF image")),
    (b"OggS", _media("an Ogg file")),
    (b"fLaC", _media("a FLAC file")),
    (b"ID3", _media("an MP3 file")),
    (b"\x1a\x45\xdf\xa3", _media("a WebM or Matroska file")),
    (b"#!AMR", _media("an AMR file")),
    (b"\x00\x00\x01\xba", _media("an MPEG film")),
    (b"\x00\x00\x01\xb3", _media("an MPEG film")),
    (b"\xff\xfe\x00\x00", Format("text in UTF-32", _UTF_8)),
    (b"\x00\x00\xfe\xff", Format("text in UTF-32", _UTF_8)),
    (b"\xff\xfe", Format("text in UTF-16", _UTF_8)),
    (b"\xfe\xff", Format("text in UTF-16", _UTF_8)),
)
_RIFF: Final = {b"WAVE": "a WAV file", b"WEBP": "a WebP image", b"AVI ": "an AVI film"}
_AFTER_BRACE: Final = rb'[ \t\r\n"}]'
# JSON that is written with two or four bytes a character, and has no byte order mark.
_WIDE: Final = (
    ("UTF-32", re.compile(rb"\{\0\0\0" + _AFTER_BRACE + rb"\0\0\0|\0\0\0\{\0\0\0" + _AFTER_BRACE).match),
    ("UTF-16", re.compile(rb"\{\0" + _AFTER_BRACE + rb"\0|\0\{\0" + _AFTER_BRACE).match),
)
# What is text, by how it begins.
_TEXTS: Final = (
    (rb"\[", Format("a JSON array", "send each of its elements as a record of its own")),
    (rb'"\s*\{', Format("JSON text inside a JSON text", "encode it once: what is text already is not encoded again")),
    (rb"<", Format("XML or HTML", _DOCUMENT)),
    (rb"b['\"]", Format("bytes as Python prints them", "send the bytes, not their str()")),
    (rb"%7B", Format("URL-encoded JSON", "send the JSON as it is")),
    (rb"e(?:yJ|yA|wo|w0)[A-Za-z0-9+/=_\s-]*$", Format("JSON in base64", "send the JSON as it is")),
    (rb"---\s", Format("YAML", "send JSON")),
    (
        rb'(?:"[^"]*"|-?\d[\d.eE+-]*|true|false|null)\s*$',
        Format("JSON, but no object", "send one JSON object, with its fields"),
    ),
)
_TEXT_FORMS: Final = tuple((re.compile(form).match, found) for form, found in _TEXTS)
_PLAIN: Final = Format("text, but no JSON object", _DOCUMENT)


def format_of(value: bytes) -> Format | None:
    """Return the format of `value`, which is none that a record may have; None when that cannot be told."""
    if not any(value):
        return Format("nothing but zero bytes", "see what its producer does before it sends")
    for mark, found in _MARKS:
        if value.startswith(mark):
            return found
    return _framed(value) or _binary(value) or _wide(value) or _text(value)


def _framed(value: bytes) -> Format | None:
    if value[:4] == b"RIFF" and value[8:12] in _RIFF:
        return _media(_RIFF[value[8:12]])
    if value[4:8] == b"ftyp":
        return _media("an MP4 film, sound or HEIC image")
    if len(value) > 1 and value[0] == 0xFF and value[1] in (0xF1, 0xF9, 0xFB, 0xF3, 0xF2, 0xFA):
        return _media("an AAC or MP3 stream")
    return None


def _binary(value: bytes) -> Format | None:
    first, second = value[0], value[1] if len(value) > 1 else 0
    if int.from_bytes(value[:4], "little") == len(value) >= 5 and value[-1] == 0:
        return Format("BSON", _BINARY)
    if first == 0x80 and 2 <= second <= 5 and value[-1:] == b".":
        return Format("a Python pickle", _BINARY)
    if first in (0xDE, 0xDF) or (
        0x80 <= first <= 0x8F and (len(value) == 1 or 0xA0 <= second <= 0xBF or second == 0xD9)
    ):
        return Format("MessagePack", _BINARY)
    if 0xA0 <= first <= 0xBF and (len(value) == 1 or 0x60 <= second <= 0x7F):
        return Format("CBOR", _BINARY)
    return Format("Protobuf, it seems", _BINARY) if _is_protobuf(value) else None


def _is_protobuf(value: bytes) -> bool:
    """Return whether `value` can be read as Protobuf from first to last byte, and begins with field 1 or 2."""
    if value[0] >> 3 not in (1, 2) or (value[:1].isspace() and value.isascii()):
        return False
    pos = 0
    while pos < len(value):
        tag, pos = _varint(value, pos)
        wire = tag & 7
        if not 0 < tag >> 3 < 1 << 29:
            return False
        if wire in (0, 2):
            number, pos = _varint(value, pos)
            pos += number if wire == 2 else 0
        elif wire in (1, 5):
            pos += 8 if wire == 1 else 4
        else:
            return False
    return pos == len(value)


def _varint(value: bytes, pos: int) -> tuple[int, int]:
    """Return the varint at `pos` and the position after it, which is beyond the end when it is cut off."""
    result = 0
    for count in range(10):
        if pos + count >= len(value):
            break
        byte = value[pos + count]
        result |= (byte & 127) << 7 * count
        if byte < 128:
            return result, pos + count + 1
    return 0, len(value) + 1


def _wide(value: bytes) -> Format | None:
    name = next((name for name, form in _WIDE if form(value)), None)
    return None if name is None else Format(f"JSON in {name}", _UTF_8)


def _text(value: bytes) -> Format | None:
    text = value.lstrip()
    if not text:
        return Format("nothing but white space", "send one JSON object")
    if text[:1] == b"{" or not _is_text(value):
        return None
    return next((found for form, found in _TEXT_FORMS if form(text)), _PLAIN)


def _is_text(value: bytes) -> bool:
    start = value[:_TEXT_BYTES].decode("utf-8", "replace")
    if len(value) > _TEXT_BYTES:
        start = start.rstrip("\ufffd")  # Of a character that was cut.
    return all(char.isprintable() or char in "\t\r\n" for char in start) and "\ufffd" not in start
