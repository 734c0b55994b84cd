"""What a file of messages is, by its first bytes: unpacked and in UTF-8 it is handed on, or refused once.

Everything is read as a stream, so a small file that unpacks to a huge one takes no more memory than another.
"""

import bz2
import codecs
import gzip
import io
import lzma
import re
import shlex
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Final

HEAD_BYTES: Final = 64 << 10  # looked at, as far as they come with the first line
AVRO_MAGIC: Final = b"Obj\x01"
_PART_BYTES: Final = 256 << 10
_SMALL_BYTES: Final = 4 << 10  # of a stream that gives nothing of a part in which it is cut off
_TAR_AT: Final = 257  # where a tar says what it is

_PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_CHARSETS: Final = {  # UTF-32 first: its byte order mark begins like UTF-16's.
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
# Without a mark: JSON begins with ASCII, so the zero bytes tell. Source: RFC 4627, section 3.
_UNMARKED: Final = (
    (re.compile(rb"[^\0]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0\0\0[^\0]"), "utf-32-be"),
    (re.compile(rb"[^\0]\0[^\0]\0"), "utf-16-le"),
    (re.compile(rb"\0[^\0]\0[^\0]"), "utf-16-be"),
)
# What it is, and the command that makes JSON lines of it; {file} is the file's name.
_FOREIGN: Final = {
    b"PK\x03\x04": ("a zip archive", "unzip -p {file} | a3cp produce -"),
    b"PAR1": ("a Parquet file", "duckdb -c \"copy (from '{file}') to '/dev/stdout' (format json)\" | a3cp produce -"),
    b"ORC": ("an ORC file", "write its rows as JSON lines, one message a line"),
    b"ARROW1": ("an Arrow file", "write its rows as JSON lines, one message a line"),
    b"SQLite format 3\x00": ("an SQLite database", "sqlite3 -json {file} 'select * from …' | a3cp produce -"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x -so {file} | a3cp produce -"),
    b"Rar!": ("a rar archive", "unrar p -inul {file} | a3cp produce -"),
    b"\x1f\x9d": ("compressed by compress (.Z)", "zcat {file} | a3cp produce -"),
    b"\xff\x06\x00\x00sNaPpY": ("compressed by snappy (framed)", "snzip -dc {file} | a3cp produce -"),
    b"%PDF": ("a PDF", "name a file of messages"),
    b"\xc3\x01": ("one Avro value without a container", "write an Avro container file"),
}
_CSV: Final = (
    'python3 -c "import csv,json,sys; [print(json.dumps(row)) for row in csv.DictReader(sys.stdin{more})]" '
    "< {file} | a3cp produce -"
)


class Refused(Exception):
    """The file as a whole cannot be read: what it is, and what makes it readable."""


class Damaged(Exception):
    """The file cannot be read on from here."""


class Stream(io.RawIOBase):
    """The bytes that `more` returns, until it returns none, as a file."""

    def __init__(self, more: Callable[[int], bytes]) -> None:
        self._more = more
        self._rest = b""

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, into: Any) -> int:
        """Fill `into` with what there is, at least a byte of it unless that is all."""
        part = self._rest or self._more(len(into))
        count = min(len(part), len(into))
        into[:count] = part[:count]
        self._rest = part[count:]
        return count


def _buffered(more: Callable[[int], bytes]) -> io.BufferedReader:
    return io.BufferedReader(Stream(more), _PART_BYTES)


def peeked(file: BinaryIO) -> tuple[bytes, io.BufferedReader]:
    """Return the first bytes of `file`, and `file` with all of them.

    Not more than come with its first line are waited for: a pipe may bring the next one in an hour.
    """
    some: Callable[[int], bytes] = getattr(file, "read1", file.read)
    head = b""
    while len(head) < HEAD_BYTES and b"\n" not in head:
        part = some(HEAD_BYTES)
        if not part:
            break
        head += part
    parts = iter((head,) if head else ())
    return head, _buffered(lambda size: next(parts, b"") or some(size))


def opened(file: BinaryIO, name: str) -> tuple[io.BufferedReader, bool]:
    """Return the content of `file`, unpacked, and whether it is an Avro container; else it is text in UTF-8.

    Raises:
        Refused: it is something else.
    """
    head, content = peeked(file)
    packed = _packed_as(head)
    if packed is not None:
        head, content = peeked(_buffered(_unpacked(content, packed)))
        if _packed_as(head) is not None:
            raise Refused(f"the file is compressed twice; {packed} -dc {_shown(name)} | a3cp produce -")
    if head.startswith(AVRO_MAGIC):
        return content, True
    _refuse_foreign(head, name)
    charset, mark = _charset(head)
    if charset is not None:
        head, content = peeked(_buffered(_recoded(content, charset, mark)))
    if b"\r" in head and b"\n" not in head:
        more = content.read1
        content = _buffered(lambda size: more(size).replace(b"\r", b"\n"))
    _refuse_other_text(head, name)
    return content, False


def _packed_as(head: bytes) -> str | None:
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)


def arrow(packed: str) -> Any:
    """Return pyarrow, which unpacks data that is `packed` so.

    Raises:
        Refused: it is not installed.
    """
    try:
        import pyarrow  # Of an extra, and few files need it.
    except ModuleNotFoundError as error:
        install = "pip install 'a3cp-session-manager[export]'"
        raise Refused(f"to unpack {packed} needs the export extra; install it: {install}") from error
    return pyarrow


def _unpacked(file: io.BufferedReader, packed: str) -> Callable[[int], bytes]:
    some: Callable[[int], bytes]
    match packed:
        case "gzip":
            some = gzip.GzipFile(fileobj=file).read1
        case "bzip2":
            some = bz2.BZ2File(file).read1
        case "xz":
            some = lzma.LZMAFile(file).read1  # noqa: SIM115  # It lives as long as its reader.
        case _:
            pa = arrow(packed)
            stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), packed)

            def read_some(_size: int) -> bytes:
                part: bytes = stream.read(_SMALL_BYTES)
                return part

            some = read_some

    def more(size: int) -> bytes:
        try:
            return some(size)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # The disk's fault, not the file's.
            raise Damaged(f"its {packed} data cannot be unpacked") from error

    return more


def _charset(head: bytes) -> tuple[str | None, int]:
    """Return which of UTF-16 and UTF-32 `head` is in, if any, and how long its byte order mark is."""
    for mark, charset in _CHARSETS.items():
        if head.startswith(mark):
            return charset, len(mark)
    return next(((charset, 0) for form, charset in _UNMARKED if form.match(head)), (None, 0))


def _recoded(file: io.BufferedReader, charset: str, mark: int) -> Callable[[int], bytes]:
    """Return what reads `file` as UTF-8. Half of a pair of surrogates stays wrong, for its own line to be told."""
    file.read(mark)
    decoder = codecs.getincrementaldecoder(charset)("surrogatepass")

    def more(size: int) -> bytes:
        while True:
            part = file.read1(size)
            try:
                text = decoder.decode(part, final=not part)
            except UnicodeDecodeError as error:
                raise Damaged(f"it is no {charset.upper()}") from error
            if text or not part:
                return text.encode("utf-8", "surrogatepass")

    return more


def _refuse_foreign(head: bytes, name: str) -> None:
    for magic, (what, command) in _FOREIGN.items():
        if head.startswith(magic):
            raise _refusal(what, command, name)
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        raise _refusal("a tar archive", "tar -xOf {file} | a3cp produce -", name)


def _refuse_other_text(head: bytes, name: str) -> None:
    """Refuse what is surely neither JSON nor a file in which some lines are."""
    lines = head.removeprefix(codecs.BOM_UTF8).splitlines()
    if any(line.lstrip(b" \t,\x1e").startswith((b"{", b"[")) for line in lines):
        return
    first = next((line.strip() for line in lines if line.strip()), b"")
    if first.startswith(b"<"):
        raise _refusal("XML or HTML", "write its messages as JSON, one a line", name)
    if first == b"---" or re.match(rb"-?\s*[A-Za-z_]+:(\s|$)", first):
        raise _refusal("YAML", "yq -o json -I 0 {file} | a3cp produce -", name)
    for mark, more in ((b",", ""), (b";", ",delimiter=';'"), (b"\t", ",delimiter='\\t'")):
        columns = [column.strip(b' "') for column in first.split(mark)]
        if len(columns) > 1 and b"user_id" in columns:
            raise _refusal("a table (CSV)", _CSV.replace("{more}", more), name)
    if first.startswith(b'"{'):
        raise _refusal("JSON inside JSON texts", "jq -r . {file} | a3cp produce -", name)
    if b"\0" in head or not _is_text(b"\n".join(lines[:-1]) or first[:-3]):
        raise _refusal("no text, and in no form that is known", "name files of JSON or Avro", name)


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError:
        return False
    return True


def _refusal(what: str, command: str, name: str) -> Refused:
    return Refused(f"the file is {what}, not JSON or Avro; {command.replace('{file}', _shown(name))}")


def _shown(name: str) -> str:
    return "FILE" if name == "-" else shlex.quote(name)
