"""The broker that all systems share, and its topics."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from processor.kafka.topics.admin import ensure_topics
from processor.kafka.topics.desired import desired_topics

OURS: Final = "ours"
PEERS: Final = "bench"
PEER_OUTPUTS: Final = (f"{PEERS}.tagged", f"{PEERS}.events")
# What the peers' topics need besides the defaults: messages of 2025 must not count as expired.
_PEER_TOPIC: Final = {"retention.ms": "-1", "max.message.bytes": "2097152"}
_DELETE_S: Final = 30.0


class Cluster:
    """A Kafka, as far as the benchmark needs one."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self.bootstrap = bootstrap
        self.partitions = partitions
        self.conf: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 2}
        self.admin = AdminClient(dict(self.conf))

    def topics(self) -> set[str]:
        """Return the names of all topics."""
        return set(self.admin.list_topics(timeout=15).topics)

    def delete(self, names: Iterable[str]) -> None:
        """Delete those topics that exist, and return when they are gone."""
        wanted = set(names)
        old = sorted(wanted & self.topics())
        if old:
            for future in self.admin.delete_topics(old).values():
                future.result()
        deadline_s = time.monotonic() + _DELETE_S
        while wanted & self.topics() and time.monotonic() < deadline_s:
            time.sleep(0.1)

    def fresh_ours(self, *, keep_raw: bool, prefix: str = OURS) -> None:
        """Make our five topics empty, the input only if not `keep_raw`."""
        names = [topic.name for topic in desired_topics(prefix)]
        self.delete(name for name in names if not (keep_raw and name == f"{prefix}.raw"))
        ensure_topics(self.conf, prefix, partitions=self.partitions)

    def fresh_peers(self, *, keep_raw: bool) -> None:
        """Make the peers' topics empty, the input only if not `keep_raw`; a finished Kafka Streams' own go too."""
        streams = {name for name in self.topics() if name.startswith("kstreams-")}
        names = [*PEER_OUTPUTS, *([] if keep_raw else [f"{PEERS}.raw"])]
        self.delete({*names, *streams})
        missing = {f"{PEERS}.raw", *names} - self.topics()
        new = [NewTopic(name, self.partitions, 1, config=_PEER_TOPIC) for name in sorted(missing)]
        for future in self.admin.create_topics(new).values():
            future.result()

    def producer(self, **conf: Any) -> Producer:
        """Return a producer that places keys as Java's does."""
        return Producer({**self.conf, "partitioner": "murmur2_random", **conf})

    def load(self, records: Iterable[tuple[str, str, bytes, int | None]]) -> int:
        """Append (topic, key, value, timestamp in ms or None); return how many were acknowledged."""
        producer = self.producer(
            **{
                "linger.ms": 20,
                "batch.size": 1 << 20,
                "queue.buffering.max.messages": 500_000,
                "enable.idempotence": True,
            }
        )
        count = 0
        for topic, key, value, timestamp_ms in records:
            while True:
                try:
                    if timestamp_ms is None:
                        producer.produce(topic, value, key)
                    else:
                        producer.produce(topic, value, key, timestamp=timestamp_ms)
                    break
                except BufferError:
                    producer.poll(0.05)
            count += 1
            if not count % 1000:
                producer.poll(0)
        if producer.flush(60):
            raise RuntimeError("the broker did not acknowledge all that was loaded")
        return count

    def reader(self, topic: str, conf: Mapping[str, Any] | None = None, *, from_end: bool = False) -> Consumer:
        """Return a read_committed consumer of all partitions of `topic`, from its start or its end."""
        consumer = Consumer(
            {
                **self.conf,
                "group.id": f"bench-reader-{time.time_ns()}",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.max.bytes": 1 << 20,
                "max.partition.fetch.bytes": 1 << 20,
                "fetch.wait.max.ms": 50,
                **(conf or {}),
            }
        )
        starts = []
        for partition in range(self.partitions):
            start = TopicPartition(topic, partition, 0)
            if from_end:
                start.offset = consumer.get_watermark_offsets(start, timeout=10)[1]
            starts.append(start)
        consumer.assign(starts)
        return consumer

    def read_all(self, topic: str) -> Iterator[Message]:
        """Yield all committed records of `topic`."""
        consumer = self.reader(topic, {"enable.partition.eof": True, "fetch.max.bytes": 16 << 20})
        left = set(range(self.partitions))
        deadline_s = time.monotonic() + 120
        while left:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{topic} could not be read to its end")
            for record in consumer.consume(10_000, 0.5):
                if record.error() is None:
                    yield record
                else:
                    left.discard(record.partition())
        consumer.close()

    def members(self, group: str) -> Mapping[str, frozenset[int]]:
        """Return the partitions of each member of a group."""
        with suppress(KafkaException):
            described = self.admin.describe_consumer_groups([group], request_timeout=10)[group].result()
            return {
                member.member_id: frozenset(tp.partition for tp in member.assignment.topic_partitions)
                for member in described.members
            }
        return {}
