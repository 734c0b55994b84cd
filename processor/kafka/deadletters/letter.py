"""Reads the dead letters. Beside one that was put back there is a marker: a record with one header and no value."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from processor.codec.headers import DLQ_RETRIED, DLQ_STAGE, DLQ_START, DLQ_WITHHELD, RETRIED, headers_bytes
from processor.kafka.reading.reader import Reader
from processor.kafka.reading.records import place_in
from processor.runtime.deadletters import Stage
from processor.runtime.ports import TopicRecord

_RECORD_BYTES: Final = 100  # what a record and its batch need besides, at most
_DIGITS_MAX: Final = 18


class Group(NamedTuple):
    """What the dead letters of one group have in common."""

    status: str
    stage: str
    error: str
    why: str


class DeadLetter(NamedTuple):
    """One dead letter, without its content."""

    position: str  # its own, such as a3cp.dlq[1]@5
    source: str  # where the record was, such as a3cp.raw[1]@1042
    partition: int  # of the source
    appended_ms: int | None  # when the record came into a3cp.raw
    dead_ms: int  # when it was set aside
    stage: str
    error: str
    why: str
    size_bytes: int  # of the value as it came
    record_bytes: int  # of all that is put back, at most
    sha256: str
    withheld: str | None  # what kind of content was not kept; then it cannot be retried
    retry_of: str | None  # the position of the dead letter whose retry this is
    retried_ms: int | None  # when it was retried

    @property
    def status(self) -> str:
        """`retried`, `withheld`, `failed again` (its retry, or one before it, came back) or `waiting`."""
        if self.retried_ms is not None:
            return "retried"
        if self.withheld is not None:
            return "withheld"
        return "failed again" if self.retry_of is not None else "waiting"

    @property
    def is_of_hook(self) -> bool:
        """Whether it is of no raw record, but of what a receiver was to be told."""
        return self.stage == Stage.HOOK.value

    @property
    def group(self) -> Group:
        """What it has in common with others."""
        return Group(self.status, self.stage, self.error, self.why)


def read_letters(reader: Reader) -> list[DeadLetter]:
    """Return all dead letters in the topic, by partition and offset."""
    letters: dict[str, DeadLetter] = {}
    retried: dict[str, int] = {}
    for record in reader.read_all():
        letter = letter_of(record)
        if letter is None:
            retried[_headers(record)[DLQ_RETRIED]] = record.timestamp_ms
        else:
            letters[letter.position] = letter
    told = [letter._replace(retried_ms=retried.get(letter.position)) for letter in letters.values()]
    return sorted(told, key=lambda letter: place_in(letter.position))


def read_letter(reader: Reader, partition: int, offset: int) -> tuple[DeadLetter, TopicRecord] | None:
    """Return the dead letter at `offset`, and its record. Returns None if there is none.

    The whole partition is read: the marker of a retry may come anywhere after the letter.
    """
    found: tuple[DeadLetter, TopicRecord] | None = None
    for record in reader.read_all([partition]):
        if record.offset == offset:
            letter = letter_of(record)
            found = None if letter is None else (letter, record)
        elif found and letter_of(record) is None and _headers(record)[DLQ_RETRIED] == found[0].position:
            found = found[0]._replace(retried_ms=record.timestamp_ms), found[1]
    return found


def is_marker(headers: Iterable[str]) -> bool:
    """Whether a record with headers of these names is a marker. (A dead letter keeps its record's headers.)"""
    names = frozenset(headers)
    return DLQ_RETRIED in names and DLQ_STAGE not in names


def headers_back(record: TopicRecord, position: str) -> list[tuple[str, bytes | None]]:
    """Return the headers for putting a record back. `position` is its dead letter's."""
    kept = [(name, text) for name, text in record.headers if not name.startswith(DLQ_START) and name != RETRIED]
    return [*kept, (RETRIED, position.encode())]


def _record_bytes(record: TopicRecord, position: str) -> int:
    headers = headers_bytes(headers_back(record, position))
    return len(record.value or b"") + len(record.key or b"") + headers + _RECORD_BYTES


def _headers(record: TopicRecord) -> dict[str, str]:
    return {name: (text or b"").decode(errors="replace") for name, text in record.headers}


def letter_of(record: TopicRecord) -> DeadLetter | None:
    """Return the dead letter in `record`. Returns None if it is the marker of one that was put back."""
    headers = _headers(record)
    if is_marker(headers):
        return None

    def told(name: str, otherwise: str = "") -> str:
        return headers.get(DLQ_START + name, otherwise)

    def number(name: str, otherwise: int) -> int:
        text = told(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else otherwise

    position = record.position
    partition = number("partition", record.partition)
    append_ms = number("timestamp", -1)
    return DeadLetter(
        position,
        f"{told('topic', '?')}[{partition}]@{told('offset', '?')}",
        partition,
        None if append_ms < 0 else append_ms,
        record.timestamp_ms,
        told("stage", "unknown"),
        told("error", "unknown"),
        told("message", "it has no header that says why"),
        number("size", len(record.value or b"")),
        _record_bytes(record, position),
        told("sha256"),
        headers.get(DLQ_WITHHELD),
        headers.get(RETRIED),
        None,
    )


def grouped(letters: Iterable[DeadLetter]) -> Iterator[tuple[Group, list[DeadLetter]]]:
    """Yield the letters that have all of a group in common together, the largest group first."""
    groups: dict[Group, list[DeadLetter]] = {}
    for letter in letters:
        groups.setdefault(letter.group, []).append(letter)
    yield from sorted(groups.items(), key=lambda group: -len(group[1]))
