"""Files as people have them: each form is read whole, or refused once with what it is and a command that mends it."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from processor.intake.files import Bad, FileReader, Good, Item
from processor.intake.texts import TEXT_BYTES_MAX


class Pipe(io.RawIOBase):
    """Gives its content a few bytes at a time, as a slow pipe does."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content, self._size = io.BytesIO(content), size

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        part = self._content.read(min(self._size, len(into)))
        into[: len(part)] = part
        return len(part)


def read(content: bytes, name: str = "day.jsonl", *, strict: bool = False) -> list[Item]:
    """Return what is read, from a file and alike from a slow pipe."""
    reader = FileReader(lambda: 1_750_000_000_000, strict=strict)
    items = list(reader.read(io.BufferedReader(io.BytesIO(content)), name))
    if len(content) < 100_000:
        assert list(reader.read(io.BufferedReader(Pipe(content, 7)), name)) == items
    return items


def told(content: bytes, name: str = "day.jsonl") -> list[str]:
    """Return what is read in short: `1:ann` for a message of ann in line 1, `2!` for what is bad in line 2."""
    return [
        f"{item.number}:{item.user_id}" if isinstance(item, Good) else f"{item.number}!" for item in read(content, name)
    ]


def message(user_id: str, **more: Any) -> dict[str, Any]:
    return {
        "schema_version": "1.0.1",
        "record_id": "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56",
        "user_id": user_id,
        "timestamp": "2025-06-15T12:34:56.789Z",
        **more,
    }


def text(value: Any, indent: int | str | None = None) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=False).encode()


ANN, BEN = message("ann", x='a "}{" b\\', list=[{"y": [1, 2]}, {}]), message("ben", note="é")
A, B = text(ANN), text(BEN)
DAY = A + b"\n" + B + b"\n"
IN_LINES = ["1:ann", "2:ben"]


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


def lz4(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "lz4") as packer:
        packer.write(content)
    packed: bytes = out.getvalue().to_pybytes()
    return packed


@pytest.mark.parametrize(
    ("title", "content", "expected"),
    [
        ("blank lines and Windows' line ends", b"\r\n" + A + b"\r\n \r\n" + B, ["2:ann", "4:ben"]),
        ("old Macs' line ends", A + b"\r" + B + b"\r", IN_LINES),
        ("no line ends", A + B, ["1:ann", "1:ben"]),
        ("an array in a line", text([ANN, BEN]), ["1:ann", "1:ben"]),
        ("a pretty array", text([ANN, BEN], 2), ["2:ann", "18:ben"]),
        ("a pretty array, not indented", text([ANN, BEN], 0), ["2:ann", "18:ben"]),
        ("an array of lines", b"[\n" + A + b",\n" + B + b"\n]\n", ["2:ann", "3:ben"]),
        ("an array of lines, commas first", b"[\n " + A + b"\n, " + B + b"\n]", ["2:ann", "3:ben"]),
        ("an array with a comma at its end", b"[" + A + b",\n" + B + b",\n]", IN_LINES),
        ("an array in an array, and another", b"[[" + A + b"]]\n[" + B + b"]", IN_LINES),
        ("an empty array", b"[]", []),
        ("commas after lines", A + b",\n" + B + b",\n", IN_LINES),
        ("pretty-printed", text(ANN, 2) + b"\n" + text(BEN, 2), ["1:ann", "17:ben"]),
        ("pretty-printed by tabs", text(ANN, "\t") + text(BEN, "\t"), ["1:ann", "16:ben"]),
        ("pretty-printed, not indented", text(ANN, 0) + b"\n" + text(BEN, 0), ["1:ann", "17:ben"]),
        ("lines, then pretty-printed", A + b"\n" + text(BEN, 2), IN_LINES),
        ("RFC 7464", b"\x1e" + A + b"\n\x1e" + B + b"\n", IN_LINES),
        ("RFC 7464, pretty-printed", b"\x1e" + text(ANN, 1) + b"\n\x1e" + B + b"\n", ["1:ann", "17:ben"]),
        ("RFC 7464, the first cut off", b"\x1e" + A[:-9] + b"\n\x1e" + B + b"\n", ["1!", "2:ben"]),
        ("byte order marks", b"\xef\xbb\xbf" + A + b"\n\xef\xbb\xbf" + B, IN_LINES),
        ("nothing", b"", []),
        ("a broken line", A[:-20] + b"\n" + B, ["1!", "2:ben"]),
        ("three broken lines", b"\n".join((A[:-25], A[:50], A[:30], B)), ["1!", "2!", "3!", "4:ben"]),
        ("a line cut after a colon", A + b'\n{"a":\n' + B, ["1:ann", "2!", "3:ben"]),
        ("a line cut in a list", A + b'\n{"a":[1,\n' + B, ["1:ann", "2!", "3:ben"]),
        ("a brace too many", A + b"}\n" + B, ["1!", "2:ben"]),
        ("a line with more than an object", A + b" x\n" + B, ["1!", "2:ben"]),
        ("comments", b"// the first\n" + A + b"\n# the second\n" + B, ["1!", "2:ann", "3!", "4:ben"]),
        ("elements that are none", b'[1,"x, y",null,' + A + b"]", ["1!", "1!", "1!", "1:ann"]),
        ("pretty-printed, not closed", text(ANN, 2)[:-2] + b"\n" + text(BEN, 2), ["1!", "16:ben"]),
        ("pretty-printed, a quote missing", text(ANN, 2).replace(b'"ann"', b'"ann') + text(BEN, 2), ["1!", "16:ben"]),
        ("an array that is cut off", text([ANN, BEN], 2)[:-60], ["2:ann", "18!", "22!"]),
        ("an array that is cut off after an object", b"[" + A + b",\n", ["1:ann", "1!"]),
    ],
)
def test_json_in_any_layout(title: str, content: bytes, expected: list[str]) -> None:
    """Each good object is read, each bad one told by the line where it begins, and the next is found again."""
    assert told(content) == expected


def test_the_bytes_of_an_object_stay_as_they_are() -> None:
    """White space, order and escapes within it; what stands around it is left out."""
    spaced = text(ANN, 3).replace(b'"y"', b'"\\u0079"')
    (first, second) = read(b"[ " + spaced + b" ,\n" + B + b"]")
    assert (first.value, second.value) == (spaced, B)


def test_commas_too_many_are_taken_out() -> None:
    """JavaScript and Python allow one before a closing bracket; within texts they stay."""
    (item,) = read(A.replace(b"[1, 2]", b"[1, 2 , ]").replace(b"}{", b",}{")[:-1] + b",\n}")
    assert isinstance(item, Good)
    assert json.loads(item.value) == {**ANN, "x": 'a ",}{" b\\'}


def test_a_message_may_be_long_but_not_too_long() -> None:
    """The limit is that of one message, not of a line; what follows a longer one is read."""
    long, longer = message("cyd", x="\\" * 900_000), message("dan", x='\\"' * TEXT_BYTES_MAX)
    assert told(text([ANN, long, long, long, BEN])) == ["1:ann", "1:cyd", "1:cyd", "1:cyd", "1:ben"]
    assert told(A + b"\n" + text(longer) + B + b"\n" + A) == ["1:ann", "2!", "2:ben", "3:ann"]
    assert told(text([longer, ANN], 2) + B) == ["2!", "9:ann", "25:ben"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd, lz4])
def test_compressed_files(pack: Callable[[bytes], bytes]) -> None:
    """By their first bytes, whatever they are called; several, one after the other, too; in any charset and layout."""
    assert told(pack(DAY), "-") == IN_LINES
    assert told(pack(text([ANN, BEN], 2).decode().encode("utf-16"))) == ["2:ann", "18:ben"]
    if pack is not lz4:
        assert told(pack(DAY) + pack(A)) == [*IN_LINES, "3:ann"]
    (twice,) = read(pack(pack(DAY)))
    assert isinstance(twice, Bad)
    assert "compressed twice; " in twice.why


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd, lz4])
def test_a_compressed_file_that_is_cut_off(pack: Callable[[bytes], bytes]) -> None:
    """It is told once, as the last thing; what could be unpacked before is read."""
    packed = pack(b"".join(text(message(f"user-{n}", x=str(n) * 500)) + b"\n" for n in range(3_000)))
    *before, last = read(packed[: len(packed) * 9 // 10])
    assert isinstance(last, Bad)
    assert "the file is damaged or cut off here" in last.why
    assert last.number == len(before) + 1
    if pack is gzip.compress:
        assert len(before) > 2_000
    assert all(isinstance(item, Good) for item in before)


@pytest.mark.parametrize(
    "charset", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
def test_charsets(charset: str) -> None:
    """With a byte order mark or without: JSON begins with ASCII, so the zero bytes tell. It is sent in UTF-8."""
    items = read(DAY.decode().encode(charset))
    assert [item.value for item in items] == [A, B]
    marked = "\ufeff" + DAY.decode()
    assert [item.value for item in read(marked.encode(charset.replace("utf-16-be", "utf-16-be")))] == [A, B]


def test_broken_utf_16() -> None:
    """Half of a pair of surrogates is bad in its line only; half of a character at the end is a file cut off."""
    half = A.decode()[:-1] + ',"half":"\ud83d"}\n'
    assert told(b"\xff\xfe" + (half + B.decode()).encode("utf-16-le", "surrogatepass")) == ["1!", "2:ben"]
    assert told(DAY.decode().encode("utf-16")[:-1]) == ["1:ann", "2!"]


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("day.jsonl", DAY)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("day.jsonl")
        member.size = len(DAY)
        archive.addfile(member, io.BytesIO(DAY))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "what", "command"),
    [
        (zipped(), "a zip archive", "unzip -p 'my day' | a3cp produce -"),
        (tarred(), "a tar archive", "tar -xOf 'my day' | a3cp produce -"),
        (gzip.compress(tarred()), "a tar archive", "tar -xOf"),
        (b"PAR1" + bytes(50), "a Parquet file", "duckdb"),
        (b"SQLite format 3\0" + bytes(50), "an SQLite database", "sqlite3 -json"),
        (b"user_id,timestamp\nann,2025-06-15\n", "a table (CSV)", "csv.DictReader(sys.stdin)"),
        (b'\xef\xbb\xbf"user_id";"timestamp"\nann;x\n', "a table (CSV)", "delimiter=';'"),
        (b"- user_id: ann\n  timestamp: x\n", "YAML", "yq -o json"),
        (b"---\nuser_id: ann\n", "YAML", "yq -o json"),
        (b"<?xml version='1.0'?>\n<a/>", "XML or HTML", "as JSON"),
        (text(A.decode()) + b"\n" + text(B.decode()), "JSON inside JSON texts", "jq -r ."),
        (b"\xc3\x01" + bytes(20), "one Avro value without a container", "container file"),
        (bytes(1_000), "no text", "JSON or Avro"),
        (bytes(range(128, 256)), "no text", "JSON or Avro"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,  # Archives hold the time at which they are made.
)
def test_other_files_are_refused_once(content: bytes, what: str, command: str) -> None:
    """With what they are and what makes them readable, in one line, for the file as a whole."""
    (refused,) = read(content, "my day")
    assert isinstance(refused, Bad)
    assert refused.number == 0
    assert f"the file is {what}" in refused.why
    assert command in refused.why
    assert "\n" not in refused.why


@pytest.mark.parametrize(
    ("content", "command"),
    [
        (text({"count": 2, "messages": [ANN, BEN]}), """jq -c '."messages"[]' FILE"""),
        (b'{"messages":[\n' + A + b",\n" + B + b"\n]}", """jq -c '."messages"[]' FILE"""),
        (text({"messages": [ANN] * 20_000}), """jq -c '."messages"[]' FILE"""),
        (text({"topic": "t", "payload": ANN}), """jq -c '."payload"' FILE"""),
    ],
)
def test_messages_inside_another_object(content: bytes, command: str) -> None:
    """Told once, with the command that takes them out."""
    (refused,) = read(content)
    assert isinstance(refused, Bad)
    assert command in refused.why


def test_what_strict_refuses() -> None:
    """Without it a message that does not conform is good, and why it does not is known; with it, it is bad."""
    odd = text({**ANN, "user_id": "ann ", "timestamp": "2025-06-15T12:34:56"})
    (good,) = read(odd)
    assert isinstance(good, Good)
    (bad,) = read(odd, strict=True)
    assert isinstance(bad, Bad)
    assert "(user_id_blanks)" in bad.why
    assert "(timestamp_without_zone)" in bad.why


def test_memory_is_bounded() -> None:
    """A gzip of 30 KB that unpacks to 30 MB without a line end is told, in the memory of a message or two."""
    assert_memory_is_bounded(b'{"x":"' + b"y" * (30 << 20) + b'"}\n' + A, ["1!", "2:ann"])


@pytest.mark.long
def test_memory_for_blanks_and_brackets_is_bounded() -> None:
    """What stands around objects is left out as it comes; brackets without an end are no layout of messages."""
    assert_memory_is_bounded(b" " * (30 << 20) + A, ["1:ann"])
    assert_memory_is_bounded(A + b"\n" + b"[" * (4 << 20), ["1:ann", "2!"])
    assert_memory_is_bounded(A + b'\n{"x":' + b"[" * (30 << 20), ["1:ann", "2!"])
    assert told(b"[" * 50 + A.strip() + b"]" * 50) == ["1:ann"]


def assert_memory_is_bounded(content: bytes, expected: list[str]) -> None:
    bomb = gzip.compress(content)
    tracemalloc.start()
    try:
        assert told(bomb) == expected
        assert tracemalloc.get_traced_memory()[1] < 6 * TEXT_BYTES_MAX
    finally:
        tracemalloc.stop()
