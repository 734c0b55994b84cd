"""Checks one partition's dead letters: each holds one raw record as it came.

Give it the letters, then the raw records, then call `finish`. Memory: 250 bytes a dead letter.
"""

from collections import defaultdict
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from processor.audit.alignment import HASH_BYTES
from processor.audit.report import AuditReport
from processor.codec.headers import DLQ_STAGE, DLQ_START, DLQ_WITHHELD
from processor.runtime.adopting import Adopted
from processor.runtime.deadletters import Stage
from processor.runtime.ports import TopicRecord


class _Letter(NamedTuple):
    """A dead letter."""

    offset: int
    sha256: str
    content: bytes | None  # hash of value, key and headers; None if the letter does not hold them all


class LettersCheck:
    """The dead letters of one partition."""

    def __init__(self, dlq: str, raw: str, partition: int, report: AuditReport, adopted: Adopted | None) -> None:
        """`adopted`: where a mirror had filled the topics. Its letters name another cluster's offsets."""
        self._dlq, self._raw, self._partition = dlq, raw, partition
        self._report = report
        self._adopted = adopted or Adopted(0, 0, 0)
        self._mirrored: dict[str, list[_Letter]] = defaultdict(list)  # by SHA-256; those not met yet
        self._letters: dict[int, _Letter] = {}  # by the offset of what they set aside; those not met yet

    def letter(self, record: TopicRecord) -> None:
        """Take the dead letters' next record."""
        where = record.position
        headers = {key: (content or b"").decode(errors="replace") for key, content in record.headers}
        if headers.get(DLQ_STAGE) == Stage.HOOK.value:  # Of no raw record.
            return
        topic, partition, offset = (headers.get(DLQ_START + word, "") for word in ("topic", "partition", "offset"))
        if topic != self._raw or partition != str(self._partition) or not (offset.isascii() and offset.isdigit()):
            self._report.add(where, f"it does not say which record of {self._raw}[{self._partition}] it was")
            return
        content = None if DLQ_WITHHELD in headers else _fingerprint(record)
        letter = _Letter(record.offset, headers.get(DLQ_START + "sha256", ""), content)
        if record.offset < self._adopted.dlq:
            self._mirrored[letter.sha256].append(letter)
            return
        source = int(offset)
        if source in self._letters:
            first = self._at(self._dlq, self._letters[source].offset)
            self._report.add(where, f"it sets aside {self._at(self._raw, source)} again, as {first} did")
            return
        self._letters[source] = letter

    def has(self, record: TopicRecord) -> bool:
        """Return whether the raw record is set aside."""
        return record.offset in self._letters or bool(self._mirrored_of(record))

    def _mirrored_of(self, record: TopicRecord) -> list[_Letter]:
        if not self._mirrored or record.offset >= self._adopted.raw:
            return []
        return self._mirrored.get(sha256(record.value or b"").hexdigest(), [])

    def compare(self, record: TopicRecord) -> None:
        """Compare a raw record that is set aside with its letter. Call it once for each record."""
        letter = self._letters.pop(record.offset, None) or self._mirrored_of(record).pop(0)
        where, source = self._at(self._dlq, letter.offset), record.position
        if letter.sha256 != sha256(record.value or b"").hexdigest():
            self._report.add(where, f"its SHA-256 is not that of {source}")
        elif letter.content is not None and letter.content != _fingerprint(record):
            self._report.add(where, f"its key, value or headers are not those of {source}")
        else:
            self._report.dead += 1

    def finish(self, start: int) -> None:
        """Report letters without a raw record. Raw records before `start` are gone."""
        for source, letter in self._letters.items():
            if start <= source:
                told = f"it sets aside {self._at(self._raw, source)}, and there is no such record"
                self._report.add(self._at(self._dlq, letter.offset), told)
        for letter in chain.from_iterable(self._mirrored.values()) if not start else ():
            told = f"it sets aside a record that {self._raw}[{self._partition}] does not have"
            self._report.add(self._at(self._dlq, letter.offset), told)

    def _at(self, topic: str, offset: int) -> str:
        return f"{topic}[{self._partition}]@{offset}"


def _fingerprint(record: TopicRecord) -> bytes:
    """Return a hash of value, key and original headers."""
    key = b"-" if record.key is None else b"%d " % len(record.key) + record.key
    came = repr([(name, content) for name, content in record.headers if not name.startswith(DLQ_START)]).encode()
    return sha256(b"%d " % len(came) + came + key + (record.value or b"")).digest()[:HASH_BYTES]
