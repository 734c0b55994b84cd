"""The bare loop: what one Python process with librdkafka can do at best. Bytes in, the same bytes out, in transactions.

Neither decoding nor state, so nobody who does the job can be faster with the same client. Run by the benchmark.

`send_offsets_to_transaction` right after `produce`, before the transaction's first record is acknowledged, would cost
one `retry.backoff.ms` (100 ms): hence the flush before it.
"""

import argparse
import os
import signal
import time
from types import FrameType

from confluent_kafka import Consumer, KafkaException, Message, Producer


def main() -> None:
    """Consume, produce, commit, until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefix", default="bench.")
    parser.add_argument("--group", required=True)
    parser.add_argument("--commit-ms", type=float, default=100, help="0: one transaction for each consumed batch")
    parser.add_argument("--records-max", type=int, default=10_000)
    parser.add_argument("--linger", type=float, default=5)
    options = parser.parse_args()
    servers = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
            "fetch.queue.backoff.ms": 10,
            "queued.min.messages": 200_000,
            "queued.max.messages.kbytes": 262_144,
            "session.timeout.ms": 6_000,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": options.group,
            "linger.ms": options.linger,
            "batch.size": 1 << 20,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 1 << 20,
            "delivery.report.only.error": True,
        }
    )
    producer.init_transactions()
    consumer.subscribe([f"{options.prefix}raw"])
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    tagged = f"{options.prefix}tagged"
    every_s = options.commit_ms / 1000
    open_since_s: float | None = None
    while not stopping:
        left_s = 0.5 if open_since_s is None else max(0.0, open_since_s + every_s - time.monotonic())
        first = consumer.poll(left_s)  # Wait for the first, then take what is there.
        batch = [] if first is None else [first, *consumer.consume(options.records_max - 1, 0)]
        if batch:
            if open_since_s is None:
                producer.begin_transaction()
                open_since_s = time.monotonic()
            _send(producer, tagged, batch)
        producer.poll(0)
        if open_since_s is not None and time.monotonic() - open_since_s >= every_s:
            producer.flush()
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
            producer.commit_transaction()
            open_since_s = None
    if open_since_s is not None:
        producer.abort_transaction()
    consumer.close()


def _send(producer: Producer, topic: str, batch: list[Message]) -> None:
    produce = producer.produce
    for message in batch:
        error = message.error()
        if error is not None:
            raise KafkaException(error)
        while True:
            try:
                produce(topic, message.value(), message.key())
                break
            except BufferError:
                producer.poll(0.01)


if __name__ == "__main__":
    main()
