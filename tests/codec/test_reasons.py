"""What cannot be read is told for what it is, and what to do: other formats by their first bytes, JSON by its fault."""

import base64
import bz2
import gzip
import json
import lzma
import pickle
import zlib
from urllib.parse import quote

import msgspec
import pytest

from processor.codec.formats import format_of
from processor.codec.wire import confluent_header
from processor.errors import DecodeError
from tests.strategies import SCHEMA_TEXTS, make_codec

CODEC = make_codec(SCHEMA_TEXTS["A3CPMessage"])
MESSAGE = {"user_id": "ann", "timestamp": "2025-06-15T15:06:40.000Z", "text": "hi"}
TEXT = json.dumps(MESSAGE).encode()
PIECES = TEXT.decode()


def bson(content: bytes) -> bytes:
    return (len(content) + 5).to_bytes(4, "little") + content + b"\0"


FORMATS = [
    (gzip.compress(TEXT, mtime=0), "gzip"),
    (zlib.compress(TEXT), "zlib"),
    (bz2.compress(TEXT), "bzip2"),
    (lzma.compress(TEXT), "xz"),
    (b"\x28\xb5\x2f\xfd" + bytes(9), "Zstandard"),
    (b"PK\x03\x04" + bytes(9), "ZIP"),
    (b"Obj\x01\x02", "Avro container"),
    (b"PAR1" + bytes(9), "Parquet"),
    (pickle.dumps(MESSAGE), "pickle"),
    (msgspec.msgpack.encode(MESSAGE), "MessagePack"),
    (b"\x80", "MessagePack"),
    (b"\xde\0\x20", "MessagePack"),
    (b"\xa2guser_idcanna\x01", "CBOR"),
    (b"\xa0", "CBOR"),
    (bson(b"\x02a\0\x05\0\0\0hell\0"), "BSON"),
    (b"\x0a\x03ann\x10\x80\xc8\xaf\xa0\x25\x1d\0\0\0\0\x21" + bytes(8), "Protobuf"),
    (PIECES.encode("utf-16"), "UTF-16"),
    (PIECES.encode("utf-16-le"), "UTF-16"),
    (PIECES.encode("utf-16-be"), "UTF-16"),
    (PIECES.encode("utf-32"), "UTF-32"),
    (PIECES.encode("utf-32-le"), "UTF-32"),
    (PIECES.encode("utf-32-be"), "UTF-32"),
    (b"\x89PNG\r\n\x1a\n" + bytes(9), "PNG"),
    (b"\xff\xd8\xff\xe0" + bytes(9), "JPEG"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "WAV"),
    (b"\0\0\0\x18ftypmp42" + bytes(9), "MP4"),
    (b"\xff\xfb\x90\x64" + bytes(9), "MP3"),
    (bytes(20), "nothing but zero"),
    (b" \r\n\t ", "nothing but white space"),
    (b"[" + TEXT + b"]", "array"),
    (json.dumps(PIECES).encode(), "inside a JSON text"),
    (str(TEXT).encode(), "Python prints"),
    (base64.b64encode(TEXT), "base64"),
    (quote(TEXT).encode(), "URL-encoded"),
    (b'<?xml version="1.0"?><a/>', "XML"),
    (b"---\na: 1\n", "YAML"),
    (b"17", "no object"),
    (b"null", "no object"),
    (b"hello", "text, but no JSON"),
    ("Grüße".encode() * 2_000, "text, but no JSON"),
]


@pytest.mark.parametrize(("value", "name"), FORMATS)
def test_other_formats_have_names(value: bytes, name: str) -> None:
    """The reason names the format, and no byte of it; the remedy says what to send."""
    with pytest.raises(DecodeError, match=f"value is .*{name}") as caught:
        CODEC.decode(value, 1)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (bytes(range(200, 240)), "byte c8"),
        (b"\x0a", "white space"),
        (b"\x0a\x03an", "byte 0a"),
        (b"\x0a\x83", "byte 0a"),
        (b"\x0a" + b"\xff" * 12, "byte 0a"),
        (b"\x0a\0\x07\xff", "byte 0a"),
        (b"\x0a\0\x0f\xff", "byte 0a"),
        (b"\x0a\0\0\xff", "byte 0a"),
        (b"\x07", "byte 07"),
        (b"RIFF\x24\0\0\0ODD ", "byte 52"),
        (b"\x80\xff", "byte 80"),
        (b"\xa2\x01\x02", "byte a2"),
        (b"\xc3\x01cut", "no whole Avro header"),
        (confluent_header(1) + b"\x0acut", "ends inside"),
        (b"\xff", "byte ff"),
    ],
)
def test_what_has_no_name_has_its_first_byte(value: bytes, why: str) -> None:
    """A name is given where it is certain, or is said to seem so."""
    with pytest.raises(DecodeError, match=why):
        CODEC.decode(value, 1)


def test_media_are_known() -> None:
    """For dead letters, which must not keep them."""
    found = [format_of(value) for value, name in FORMATS if name in {"PNG", "JPEG", "WAV", "MP4", "MP3", "gzip"}]
    assert [one is not None and one.is_media for one in found] == [False, True, True, True, True, True]


def with_value(value: bytes) -> bytes:
    return TEXT[:-1] + b', "x": ' + value + b"}"


AT = len(TEXT) + 6  # where the value stands
FAULTS = [
    (with_value(b'"hi \\ud83d"'), f"half a character .* at byte {AT + 4}"),
    (with_value(b'"\\ude00"'), f"half a character .* at byte {AT + 1}"),
    (with_value(b'"\\ud83d\\ud83d\\ude00"'), f"half a character .* at byte {AT + 1}"),
    (with_value(b'"\\ud83d\\n\\ude00"'), f"half a character .* at byte {AT + 1}"),
    (TEXT[:-1] + b', "\\ud83d": 1}', "half a character"),
    (with_value(b'"\\ud83d\\ude00 \\\\ud83d"')[:-1], "is cut off after"),
    (TEXT.replace(b"hi", b"\xed\xa0\xbd"), "half a character"),
    (TEXT.replace(b"hi", b"h\xe9"), "not UTF-8 at byte"),
    (TEXT[:-9], f"is cut off after {len(TEXT) - 9} bytes"),
    (with_value(b"NaN"), f"has NaN, which is no JSON, at byte {AT}"),
    (with_value(b"[-Infinity]"), "has Infinity"),
    (with_value(b"None"), "has None"),
    (with_value(b"undefined"), "has undefined"),
    (with_value(b"1,"), "a comma stands before a bracket"),
    (with_value(b"[1,]"), "a comma stands before a bracket"),
    (with_value(b""), f"a value is missing at byte {AT}"),
    (with_value(b"1 // so"), f"a comment stands at byte {AT + 2}"),
    (with_value(b'"a\nb"'), f"a control character .* at byte {AT + 2}"),
    (with_value(b"'a'"), f"single quotes at byte {AT}"),
    (b"{'user_id': 'ann'}", "single quotes at byte 1"),
    (b"{user_id: 1}", "a name stands without quotes at byte 1"),
    (TEXT + TEXT, f"a second object begins at byte {len(TEXT)}"),
    (TEXT + b"\n" + TEXT, f"a second object begins at byte {len(TEXT) + 1}"),
    (TEXT + b"\0", f"something follows at byte {len(TEXT)}"),
    (with_value(b"05"), "a number stands as JSON writes none"),
    (with_value(b"+5"), "a number stands as JSON writes none"),
    (with_value(b".5"), "a number stands as JSON writes none"),
    (with_value(b"1 2"), "object: expected"),
    (b'{"a" 1}', "object: expected ':'"),
    (with_value(b'"\\x41"'), "object: invalid escaped"),
]


@pytest.mark.parametrize(("value", "why"), FAULTS)
def test_the_fault_of_json_is_told(value: bytes, why: str) -> None:
    """What stands there, at which byte, and what to do; nothing of the content but that."""
    with pytest.raises(DecodeError, match=why) as caught:
        CODEC.decode(value, 1)
    assert caught.value.remedy
    assert "ann" not in str(caught.value)
