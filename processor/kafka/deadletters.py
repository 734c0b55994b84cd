"""Reads the dead letters and puts them back into a3cp.raw, each at most once.

A retry writes the record to a3cp.raw and a marker (no value, one header) beside the dead letter, in one transaction
under one transactional id: two retries at the same time, or one killed in the middle, cannot send a record twice.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException, Producer

from processor.core.errors import OutcomeUnknown
from processor.kafka.failures import failure
from processor.kafka.producer import unreachable
from processor.kafka.reader import Reader, ReadRecord

RETRIED: Final = "a3cp-retried"
"""Header of a record that was put back into a3cp.raw: the dead letter's position."""

MARKER: Final = "a3cp-dlq-retried"
"""Header of the marker in a3cp.dlq: the position of the dead letter that was retried."""

_START: Final = "a3cp-dlq-"
_BATCH_RECORDS: Final = 500
_INIT_TIMEOUT_S: Final = 20.0
_PRODUCER: Final[dict[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "message.max.bytes": 4 << 20,
    "transaction.timeout.ms": 10_000,
    "message.timeout.ms": 9_000,
    "socket.connection.setup.timeout.ms": 5_000,
}


class Group(NamedTuple):
    """What dead letters that are told together have in common."""

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
    size_bytes: int
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
    def group(self) -> Group:
        """What it has in common with others."""
        return Group(self.status, self.stage, self.error, self.why)


def read_letters(reader: Reader, topic: str) -> list[DeadLetter]:
    """Return all dead letters in `topic`, by partition and offset."""
    letters: dict[str, DeadLetter] = {}
    retried: dict[str, int] = {}
    for record in reader.read_all():
        headers = _headers(record)
        if MARKER in headers:
            retried[headers[MARKER]] = record.timestamp_ms
        else:
            letter = _letter(record, headers, topic)
            letters[letter.position] = letter
    told = [letter._replace(retried_ms=retried.get(letter.position)) for letter in letters.values()]
    return sorted(told, key=lambda letter: _place(letter.position))


def retry(
    conf: Mapping[str, Any],
    *,
    raw: str,
    dlq: str,
    group_id: str,
    wanted: Callable[[DeadLetter], bool],
    limit: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[DeadLetter]:
    """Put dead letters back into `raw` and return those that were, now marked.

    Args:
        conf: librdkafka's properties.
        raw: the topic they go to, into the partition they came from.
        dlq: the topic of the dead letters.
        group_id: the processor's group, for the transactional id that all retries share.
        wanted: which to retry, among those not retried yet and not withheld.
        limit: how many at most; all when None.
        progress: told how many have been committed.

    Raises:
        BrokerUnavailable: no broker answers; nothing was sent.
        OutcomeUnknown: it is not known whether the last part was committed; running it again does what is missing.
    """
    try:
        producer = Producer({**_PRODUCER, **conf, "transactional.id": f"{group_id}-dlq-retry"})
        producer.init_transactions(_INIT_TIMEOUT_S)  # Ends what another retry left open, before we look what is marked.
    except KafkaException as error:
        raise unreachable("preparing the retry", error, conf) from error
    with Reader(conf, dlq) as reader:
        letters = (letter for letter in read_letters(reader, dlq) if letter.status in ("waiting", "failed again"))
        chosen = {letter.position: letter for letter in islice(filter(wanted, letters), limit)}
        done: list[DeadLetter] = []
        records = (record for record in reader.read_all() if _position(dlq, record) in chosen) if chosen else iter(())
        while batch := list(islice(records, _BATCH_RECORDS)):
            _commit(producer, ((record, chosen[_position(dlq, record)]) for record in batch), raw, dlq)
            done += [chosen[_position(dlq, record)] for record in batch]
            progress(len(done))
    return done


def _commit(producer: Producer, batch: Iterable[tuple[ReadRecord, DeadLetter]], raw: str, dlq: str) -> None:
    try:
        producer.begin_transaction()
        for record, letter in batch:
            kept = [(name, text) for name, text in record.headers if not name.startswith(_START) and name != RETRIED]
            position = letter.position.encode()
            headers: Any = [*kept, (RETRIED, position)]
            producer.produce(raw, record.value, record.key, letter.partition, headers=headers)
            producer.produce(dlq, None, record.key, record.partition, headers=[(MARKER, position)])
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


def _headers(record: ReadRecord) -> dict[str, str]:
    return {name: (text or b"").decode(errors="replace") for name, text in record.headers}


def _letter(record: ReadRecord, headers: Mapping[str, str], topic: str) -> DeadLetter:
    def told(name: str, otherwise: str = "") -> str:
        return headers.get(_START + name, otherwise)

    def number(name: str, otherwise: int) -> int:
        text = told(name)
        return int(text) if text.isascii() and text.isdigit() else otherwise

    partition = number("partition", record.partition)
    append_ms = number("timestamp", -1)
    return DeadLetter(
        _position(topic, record),
        f"{told('topic', '?')}[{partition}]@{told('offset', '?')}",
        partition,
        None if append_ms < 0 else append_ms,
        record.timestamp_ms,
        told("stage", "unknown"),
        told("error", "unknown"),
        told("message", "it has no header that says why"),
        number("size", len(record.value or b"")),
        told("sha256"),
        headers.get("a3cp-dlq-withheld"),
        headers.get(RETRIED),
        None,
    )


def _position(topic: str, record: ReadRecord) -> str:
    return f"{topic}[{record.partition}]@{record.offset}"


def _place(position: str) -> tuple[int, int]:
    partition, _, offset = position.rpartition("[")[2].partition("]@")
    return int(partition), int(offset)


def grouped(letters: Iterable[DeadLetter]) -> Iterator[tuple[Group, list[DeadLetter]]]:
    """Yield the letters that have all of a group in common together, the largest group first."""
    groups: dict[Group, list[DeadLetter]] = {}
    for letter in letters:
        groups.setdefault(letter.group, []).append(letter)
    yield from sorted(groups.items(), key=lambda group: -len(group[1]))
