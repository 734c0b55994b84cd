"""Reads the dead letters and puts them back into a3cp.raw, each at most once.

A retry writes the record to a3cp.raw and a marker (no value, one header) beside the dead letter, in one transaction
under one transactional id: two retries at the same time, or one killed in the middle, cannot send a record twice.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException, Producer

from processor.codec.headers import DLQ_RETRIED, DLQ_STAGE, DLQ_START, DLQ_WITHHELD, RETRIED, headers_bytes
from processor.errors import OutcomeUnknown
from processor.kafka.failures import failure, no_topic, reaching
from processor.kafka.reader import Reader
from processor.kafka.reading import place_in
from processor.kafka.topic_admin import read_topics
from processor.kafka.topics import Topic
from processor.runtime.deadletters import Stage
from processor.runtime.ports import TopicRecord

_BATCH_RECORDS: Final = 500
_INIT_TIMEOUT_S: Final = 20.0
_BATCH_BYTES_MAX: Final = 1_000_000
_RECORD_BYTES: Final = 100  # what a record and its batch need besides, at most
_DIGITS_MAX: Final = 18
_PRODUCER: Final[dict[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "message.max.bytes": 4 << 20,
    "transaction.timeout.ms": 10_000,
    "message.timeout.ms": 9_000,
    "socket.connection.setup.timeout.ms": 5_000,
}


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


def topic_to_fill(conf: Mapping[str, Any], raw: str) -> Topic:
    """Return the topic `raw` as it is.

    Raises:
        UsageError: it does not exist.
        BrokerUnavailable: no broker answers.
    """
    topic = read_topics(conf, [raw]).get(raw)
    if topic is None:
        raise no_topic(raw)
    return topic


def refusal(letter: DeadLetter, raw: Topic) -> str | None:
    """Return why a dead letter cannot be put into `raw`. Returns None if it can."""
    if letter.partition >= raw.partitions:
        return f"of a partition that {raw.name} does not have"
    if letter.is_of_hook:
        return None
    if letter.record_bytes > _bytes_max(raw):  # It came compressed, or the topic took more then.
        return f"larger than {raw.name} takes ({_bytes_max(raw):,} bytes)"
    return None


def retry(
    conf: Mapping[str, Any], letters: Iterable[DeadLetter], *, raw: Topic, dlq: str, group_id: str
) -> Iterator[list[DeadLetter]]:
    """Put dead letters back into `raw`, and yield them by transaction: they are marked now.

    Those of hooks are marked only; they were sent before.

    Args:
        conf: librdkafka's properties.
        letters: which. Those that were retried since they were read are left out.
        raw: the topic they go to, into the partition they came from. It must take them (`refusal`).
        dlq: the topic of the dead letters.
        group_id: the processor's group, for the transactional id that all retries share.

    Raises:
        BrokerUnavailable: no broker answers. Only what was yielded was sent.
        OutcomeUnknown: it is not known whether the next part was committed. Run it again to do what is missing.
    """
    batches = {"batch.size": min(_BATCH_BYTES_MAX, _bytes_max(raw))}  # The topic's limit is one of batches.
    with reaching("preparing the retry", conf):
        producer = Producer({**_PRODUCER, **batches, **conf, "transactional.id": f"{group_id}-dlq-retry"})
        producer.init_transactions(_INIT_TIMEOUT_S)  # Ends what another retry left open, before we look what is marked.
    wanted = {letter.position for letter in letters}
    with Reader(conf, dlq) as reader:
        chosen = {
            letter.position: letter
            for letter in read_letters(reader)
            if letter.position in wanted and letter.status != "retried"
        }
        records = (record for record in reader.read_all() if record.position in chosen) if chosen else iter(())
        while batch := list(islice(records, _BATCH_RECORDS)):
            pairs = [(record, chosen[record.position]) for record in batch]
            _commit(producer, pairs, raw.name, dlq)
            yield [letter for _, letter in pairs]


def _bytes_max(raw: Topic) -> int:
    return int(raw.configs["max.message.bytes"])


def _back(record: TopicRecord, position: str) -> list[tuple[str, bytes | None]]:
    """Return the headers for putting a record back. `position` is its dead letter's."""
    kept = [(name, text) for name, text in record.headers if not name.startswith(DLQ_START) and name != RETRIED]
    return [*kept, (RETRIED, position.encode())]


def _record_bytes(record: TopicRecord, position: str) -> int:
    headers = headers_bytes(_back(record, position))
    return len(record.value or b"") + len(record.key or b"") + headers + _RECORD_BYTES


def _commit(producer: Producer, batch: Iterable[tuple[TopicRecord, DeadLetter]], raw: str, dlq: str) -> None:
    try:
        producer.begin_transaction()
        for record, letter in batch:
            if not letter.is_of_hook:
                headers: Any = _back(record, letter.position)
                producer.produce(raw, record.value, record.key, letter.partition, headers=headers)
            marker: Any = [(DLQ_RETRIED, letter.position.encode())]
            producer.produce(dlq, None, record.key, record.partition, headers=marker)
            producer.poll(0)
        producer.commit_transaction()
    except (KafkaException, BufferError) as error:
        with contextlib.suppress(KafkaException):
            producer.abort_transaction(1.0)
        cause = failure("retrying", error, in_transaction=True) if isinstance(error, KafkaException) else error
        raise OutcomeUnknown(
            f"the retry was interrupted ({cause})",
            remedy="run it again: what was retried is marked, nothing goes twice",
        ) from error


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
