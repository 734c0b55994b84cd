"""All states at once: read and written while no worker runs."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from processor.kafka.conf import LogConf
from processor.kafka.reading.reader import Reader
from processor.kafka.worker.transactions import Transactions
from processor.runtime.erased import read_mark
from processor.runtime.ports import Output

_NAME: Final = "topics"  # in transactional ids, where a worker has its slot
_LONG_MS: Final = 600_000  # below Kafka's own limit, 15 minutes
SENT_RECORDS: Final = 1_000


def states_in(conf: LogConf, partitions: int) -> Iterator[tuple[int, Mapping[bytes, bytes]]]:
    """Yield each partition of the state topic with its states, by user.

    Raises:
        UsageError, BrokerUnavailable: see `Reader`.
    """
    with Reader(conf.common, conf.state) as reader:
        for partition in range(partitions):
            states: dict[bytes, bytes] = {}
            for record in reader.read_all([partition]):
                if record.key is None or read_mark(record.key) is not None:
                    continue
                if record.value is None:
                    states.pop(record.key, None)
                else:
                    states[record.key] = record.value
            yield partition, states


def long_transactions(conf: LogConf) -> Transactions:
    """Return transactions that have time for the states of millions. One that was left open before is aborted.

    Raises:
        BrokerUnavailable, OwnershipLost, Fatal: see `failure`.
    """
    long = {"transaction.timeout.ms": _LONG_MS, "message.timeout.ms": _LONG_MS}
    return Transactions({**conf.producer, **long}, conf.group_id, _NAME)


def send(transactions: Transactions, outputs: Iterable[Output]) -> None:
    """Send `outputs`, some at a time, each made when it is sent. Raises as `Transactions.send`."""
    left = iter(outputs)
    while some := list(islice(left, SENT_RECORDS)):
        transactions.send(some)
