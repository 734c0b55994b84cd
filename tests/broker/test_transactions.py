"""A transaction that cannot be committed says why, and a dead worker's is aborted soon."""

import contextlib
import logging
import random
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.errors import OutcomeUnknown
from processor.kafka.conf import producer_conf
from processor.kafka.offsets import LATEST, log_offsets
from processor.kafka.worker.transactions import Transactions, fence, transactional_id
from tests.broker.fleet import TIMEOUT_S, await_true

pytestmark = pytest.mark.broker

TOO_LARGE = b"x" * (3 << 20)
REFUSED = r"producing: .*\.state \[1\] .*: Broker: Message size too large"


class Heard(logging.Handler):
    """Keeps what librdkafka logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def refused(kafka: str, topics: str) -> Iterator[Transactions]:
    """Yield transactions whose open one holds a record that the broker has refused, and one that was not sent yet."""
    heard = Heard()
    logger = logging.getLogger(topics)
    logger.addHandler(heard)
    # Whatever is large goes at once, the rest waits.
    conf = producer_conf({"bootstrap.servers": kafka, "linger.ms": 10_000}, transaction_timeout_ms=20_000)
    transactions = Transactions({**conf, "logger": logger}, topics, 0)
    transactions.send([(f"{topics}.state", TOO_LARGE, b"k", 1, None), (f"{topics}.tagged", b"x", b"k", 0, None)])

    def has_come() -> bool:
        transactions.send([])
        return any("size too large" in line for line in heard.lines)

    await_true("the broker's refusal", has_come)
    yield transactions
    transactions.close()


def test_sending_more_says_what_was_refused(kafka: str, topics: str) -> None:
    """The client itself would only say that its state is erroneous."""
    with refused(kafka, topics) as transactions, pytest.raises(OutcomeUnknown, match=REFUSED):
        transactions.send([(f"{topics}.tagged", b"x", b"k", 0, None)])


def test_committing_says_what_was_refused(kafka: str, topics: str) -> None:
    """And does so soon: what has not been sent by then never will be, however long one waits."""
    conf = {"bootstrap.servers": kafka, "log_level": 0}
    consumer = Consumer({**conf, "group.id": topics})
    places = [(f"{topics}.{name}", partition) for name in ("tagged", "sessions", "state") for partition in range(4)]
    chance = random.Random(7)
    many = [(*chance.choice(places), b"x" * 3_000) for _ in range(3_000)]
    many.insert(1_500, (f"{topics}.state", 1, TOO_LARGE))
    transactions = Transactions(producer_conf(conf, transaction_timeout_ms=2_000 * int(TIMEOUT_S)), topics, 0)

    def send_and_commit() -> None:
        transactions.send([(topic, value, b"k", partition, None) for topic, partition, value in many])
        transactions.commit([TopicPartition(f"{topics}.raw", 0, 1)], consumer.consumer_group_metadata())

    begun_s = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="Message size too large"):
        send_and_commit()
    assert time.monotonic() - begun_s < TIMEOUT_S
    transactions.close()
    consumer.close()


def test_a_hundred_dead_slots(kafka: str, topics: str) -> None:
    """What they left open is aborted, long before the broker would do so by itself."""
    conf = producer_conf({"bootstrap.servers": kafka, "linger.ms": 0}, transaction_timeout_ms=900_000)
    admin = AdminClient({"bootstrap.servers": kafka})
    place = (f"{topics}.state", 1)

    def end(isolation: IsolationLevel) -> int:
        return log_offsets(admin, [place], LATEST, isolation)[place]

    dead = [Transactions(conf, topics, slot) for slot in (1, 50, 100)]
    for transactions in dead:
        transactions.send([(f"{topics}.state", b"x", b"k", 1, None)])
    await_true("all are open", lambda: end(IsolationLevel.READ_UNCOMMITTED) == len(dead))
    assert end(IsolationLevel.READ_COMMITTED) == 0
    fence(conf, topics, range(1, 101))
    await_true("none is", lambda: end(IsolationLevel.READ_COMMITTED) == end(IsolationLevel.READ_UNCOMMITTED))
    for transactions in dead:
        transactions.close()


def test_an_open_transaction_is_taken_over_at_once(kafka: str, topics: str) -> None:
    """What a predecessor left open is aborted in less than the half second that librdkafka waits to ask again."""
    conf = producer_conf({"bootstrap.servers": kafka, "log_level": 0}, transaction_timeout_ms=60_000)
    took_s = []
    for _ in range(5):  # The best of some: the machine may be busy.
        dead = Producer({**conf, "transactional.id": transactional_id(topics, 0, 0)})
        dead.init_transactions(TIMEOUT_S)
        dead.begin_transaction()
        dead.produce(f"{topics}.state", b"x", b"k", 1)
        assert dead.flush(TIMEOUT_S) == 0
        begun_s = time.monotonic()
        Transactions(conf, topics, 0).close()
        took_s.append(time.monotonic() - begun_s)
    assert min(took_s) < 0.5
