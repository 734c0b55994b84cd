"""Reads a bundle line by line: little of it is in memory, however long its session was."""

import base64
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from processor.codec.isotime import parse_time
from processor.errors import UsageError
from processor.sessions.forms.shapes import Entry, Metadata, RecordLine
from processor.targets.paths import BUNDLE, METADATA, RECORDS
from processor.targets.target import NotAFile, Target
from processor.upstream.expression import voice_of
from processor.upstream.words import said_in_message

METADATA_BYTES_MAX: Final = 16 << 20
LINE_BYTES_MAX: Final = 128 << 20  # A message is below what Kafka takes, and stands twice in a line, escaped.
# What a line raises that is no JSON of this kind, no UTF-8, no base64, no time, or too deep.
NOT_READABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)


class Record(NamedTuple):
    """A message of a bundle, as it came."""

    line: RecordLine
    content: bytes | None  # None if it is withheld


def read_metadata(target: Target) -> Metadata:
    """Return the metadata of the bundle `target`.

    Raises:
        UsageError: there is no bundle that can be read.
    """
    try:
        return msgspec.json.decode(target.read(target.path(METADATA), METADATA_BYTES_MAX), type=Metadata)
    except (OSError, *NOT_READABLE) as error:
        raise UsageError(f"{target.root} is no bundle that can be read", remedy="a3cp verify says why") from error


def read_timeline(target: Target) -> Iterator[Entry]:
    """Yield the timeline of the bundle `target`, in order of time.

    Raises:
        UsageError: the bundle cannot be read, or was written without bundle.json.
    """
    for member, _, text in members(enumerate(_lines(target, BUNDLE))):
        if member == "timeline":
            with _damage_told(target):
                entry = msgspec.json.decode(text, type=Entry)
                parse_time(entry.at)
                if entry.expressed_by is None:  # An earlier release wrote it.
                    said = said_in_message(entry.record)
                    voice: Any = voice_of(entry.record, said).value if entry.kind == "message" else "session"
                    entry.expressed_by, entry.phrase, entry.values = voice, said.phrase, dict(said.values)
            yield entry


def read_records(target: Target) -> Iterator[Record]:
    """Yield the messages of the bundle `target`, in order of `seq`.

    Raises:
        UsageError: the bundle cannot be read.
    """
    for text in _lines(target, RECORDS):
        with _damage_told(target):
            line = msgspec.json.decode(text, type=RecordLine)
            parse_time(line.appended_at)
            content = content_of(line)
        yield Record(line, content)


def content_of(line: RecordLine) -> bytes | None:
    """Return a message as it came. Returns None if its content is withheld.

    Raises:
        ValueError: it has neither content nor a reason to withhold it.
    """
    if line.text is not None:
        return line.text.encode()
    if line.base64 is not None:
        return base64.b64decode(line.base64, validate=True)
    if line.withheld is None:
        raise ValueError("it has neither content nor a reason for having none")
    return None


@contextmanager
def _damage_told(target: Target) -> Iterator[None]:
    try:
        yield
    except NOT_READABLE as error:
        raise UsageError(f"{target.root} is damaged", remedy="a3cp verify says where") from error


def lines(target: Target, path: str) -> Iterator[bytes]:
    """Yield the lines of the file at `path`, without their ends.

    Raises:
        NotAFile: it is no file, or one of its lines is too long.
        OSError: it cannot be read.
    """
    with target.open(path) as file:
        while line := file.readline(LINE_BYTES_MAX):
            if len(line) == LINE_BYTES_MAX:
                raise NotAFile(errno.EFBIG, f"a line has more than {LINE_BYTES_MAX:,} bytes")
            yield line.rstrip(b"\n")


def members(numbered: Iterable[tuple[int, bytes]]) -> Iterator[tuple[str, int, bytes]]:
    """Yield what bundle.json holds: a member's name, the line's number, and the value or the next item of the list.

    Args:
        numbered: the lines of the file, each with its number.
    """
    name = ""
    for number, text in numbered:
        value = text
        if text[:1] == b'"':
            head, _, value = text.partition(b":")
            name = head.strip(b'"').decode("utf-8", "replace")
        elif text[:1] != b"{" or not name:
            continue
        if value != b"[":
            yield name, number, value.rstrip(b",")


def _lines(target: Target, name: str) -> Iterator[bytes]:
    try:
        yield from lines(target, target.path(name))
    except FileNotFoundError as error:
        raise UsageError(f"{target.root} has no {name}", remedy="name a bundle that has it") from error
    except OSError as error:
        what = f"{name} in {target.root} cannot be read ({error.strerror})"
        raise UsageError(what, remedy="a3cp verify says what is wrong with the bundle") from error
