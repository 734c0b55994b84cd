"""`a3cp canary`: a message in each partition every few seconds, and how long it takes until a reader has it tagged.

It is the one figure for a service level, and shows life when nobody speaks. Its messages open no session, leave no
state, and are not exported.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import count
from typing import Final
from uuid import uuid4

from prometheus_client import CollectorRegistry

from processor.codec.isotime import format_time, wall_ms
from processor.core.model import CANARY, CANARY_USERS
from processor.errors import A3CPError
from processor.kafka.producer import RecordProducer
from processor.kafka.reading.endless import EndlessReader
from processor.observe.canary import CanaryMetrics, CanaryObserver
from processor.observe.health import Health, HealthServer
from processor.observe.logs import log_of
from processor.processes.signals import stop_on_signals
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord
from processor.settings.model import Settings

WAITING_MAX: Final = 100  # of a partition; then it gets no more until it moves on
_POLL_S: Final = 0.1


class Canary:
    """What was sent and has not come back, by partition. It sends and reads nothing itself."""

    def __init__(self, partitions: int) -> None:
        """Choose a user for each of the topic's partitions."""
        numbers = count()
        users: dict[int, str] = {}
        while len(users) < partitions:
            user = f"{CANARY_USERS}{next(numbers)}"
            users.setdefault(partition_of(user.encode(), partitions), user)
        self._users: Final = users
        self._partition_of: Final = {user.encode(): partition for partition, user in users.items()}
        self._waiting: Final[dict[int, deque[tuple[str, float]]]] = {partition: deque() for partition in users}

    def next_messages(self, now_s: float) -> Sequence[tuple[bytes, bytes]]:
        """Return key and value of the next message of each partition; they count as sent at `now_s`."""
        messages = []
        for partition, user in self._users.items():
            waiting = self._waiting[partition]
            if len(waiting) < WAITING_MAX:
                record_id = str(uuid4())
                waiting.append((record_id, now_s))
                messages.append((user.encode(), _value_of(user, record_id)))
        return messages

    def take(self, record: TopicRecord, now_s: float) -> tuple[float, int] | None:
        """Take a tagged record; return how long it took, s, and how many before it are lost. None: not one of ours."""
        partition = self._partition_of.get(record.key or b"")
        if partition is None:
            return None
        record_id = json.loads(record.value or b"{}").get("record_id")
        waiting = self._waiting[partition]
        for lost, (sent_id, sent_s) in enumerate(waiting):
            if sent_id == record_id:
                for _ in range(lost + 1):
                    waiting.popleft()
                return now_s - sent_s, lost
        return None  # That of another canary, or of an earlier life.

    def waiting_s(self, now_s: float) -> Mapping[int, float]:
        """Return how long the oldest message of each partition has waited, s; 0 if none waits."""
        return {number: now_s - waiting[0][1] if waiting else 0.0 for number, waiting in self._waiting.items()}


def _value_of(user: str, record_id: str) -> bytes:
    spine = {
        "schema_version": "1.0.1",
        "record_id": record_id,
        "user_id": user,
        "timestamp": format_time(wall_ms()),
        "source": CANARY,
    }
    return json.dumps(spine).encode()


def run_canary(settings: Settings, every_s: float, metrics_port: int | None) -> None:
    """Send and measure until SIGTERM or SIGINT.

    Raises:
        UsageError: a topic does not exist.
        BrokerUnavailable: no broker answers at the start.
    """
    stopped = threading.Event()
    stop_on_signals(stopped)
    log = log_of("canary", settings)
    registry, health = CollectorRegistry(), Health(live_s=settings.live_ms / 1000)
    observer = CanaryObserver(CanaryMetrics(registry), health, log)
    port = settings.metrics_port if metrics_port is None else metrics_port
    topics, conf = settings.topics(), settings.kafka_conf()
    with (
        EndlessReader(conf, [topics.tagged]) as reader,
        HealthServer(settings.metrics_host, port, health, registry) if port else nullcontext(),
    ):
        log.info("started", operation="start", topic=topics.raw, every_s=every_s)
        _run(reader, RecordProducer(conf, topics.raw), observer, every_s, stopped)
    log.info("stopped", operation="stop")


def _run(
    reader: EndlessReader, producer: RecordProducer, observer: CanaryObserver, every_s: float, stopped: threading.Event
) -> None:
    canary = Canary(producer.partitions)
    next_s = time.monotonic()
    while not stopped.is_set():
        try:
            now_s = time.monotonic()
            if now_s >= next_s:
                next_s = now_s + every_s
                for key, value in canary.next_messages(now_s):
                    producer.send(value, key)
            producer.waiting()
            for record in reader.poll(_POLL_S):
                found = canary.take(record, time.monotonic())
                if found is not None:
                    observer.came(found[0])
                    if found[1]:
                        observer.lost(record.partition, found[1])
            observer.away(None)
        except A3CPError as error:
            observer.away(error)
            stopped.wait(_POLL_S)
        observer.beat(canary.waiting_s(time.monotonic()))
