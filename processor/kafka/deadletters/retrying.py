"""Puts dead letters back into a3cp.raw, each at most once.

A retry writes the record to a3cp.raw and a marker beside the dead letter, in one transaction under one transactional
id. So two retries at the same time, or one killed in the middle, cannot send a record twice.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException, Producer

from processor.codec.headers import DLQ_RETRIED
from processor.errors import OutcomeUnknown
from processor.kafka.deadletters.letter import DeadLetter, headers_back, read_letters
from processor.kafka.failures import failure, no_topic, reaching
from processor.kafka.reading.reader import Reader
from processor.kafka.topics.admin import read_topics
from processor.kafka.topics.desired import Topic
from processor.runtime.ports import TopicRecord

_BATCH_RECORDS: Final = 500
_INIT_TIMEOUT_S: Final = 20.0
_BATCH_BYTES_MAX: Final = 1_000_000
_PRODUCER: Final[dict[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "message.max.bytes": 4 << 20,
    "transaction.timeout.ms": 10_000,
    "message.timeout.ms": 9_000,
    "socket.connection.setup.timeout.ms": 5_000,
}


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


class Choice(NamedTuple):
    """Which dead letters go back, and which do not."""

    going: list[DeadLetter]
    refused: list[tuple[DeadLetter, str]]  # each with the reason
    left: Mapping[str, int]  # how many stay as they are, by status


def choose(letters: Iterable[DeadLetter], raw: Topic, *, again: bool, limit: int | None) -> Choice:
    """Return which of `letters` go back into `raw`: those that wait, and with `again` those that failed again too.

    At most `limit` go, the first first.
    """
    statuses = ("waiting", "failed again") if again else ("waiting",)
    left = Counter(dict.fromkeys(("withheld", "failed again", "retried"), 0))
    going: list[DeadLetter] = []
    refused: list[tuple[DeadLetter, str]] = []
    for letter in letters:
        if letter.status not in statuses:
            left[letter.status] += 1
        elif (reason := refusal(letter, raw)) is not None:
            refused.append((letter, reason))
        else:
            going.append(letter)
    return Choice(going[:limit], refused, left)


def put_back(
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


def _commit(producer: Producer, batch: Iterable[tuple[TopicRecord, DeadLetter]], raw: str, dlq: str) -> None:
    try:
        producer.begin_transaction()
        for record, letter in batch:
            if not letter.is_of_hook:
                headers: Any = headers_back(record, letter.position)
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
