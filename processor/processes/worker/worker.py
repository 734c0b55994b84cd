"""A worker: one member of the group, from its start to SIGTERM."""

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from processor.codec.codec import Codec
from processor.errors import BrokerUnavailable, OutcomeUnknown, OwnershipLost
from processor.kafka.topics.admin import read_topics
from processor.kafka.worker.log import KafkaLog
from processor.observe.health import Health, HealthServer
from processor.observe.logs import log_of
from processor.observe.metrics import Metrics
from processor.observe.worker import WorkerObserver
from processor.processes.collecting import tune_garbage_collection
from processor.processes.parts import stop_with_parent
from processor.processes.worker.starting import place
from processor.runtime.asking import Asking
from processor.runtime.questions import in_background
from processor.runtime.task import Task
from processor.runtime.worker import Worker
from processor.settings.model import Settings
from processor.settings.sources import Loaded
from processor.wiring import SystemClock, log_conf, schemas, spans_of

if TYPE_CHECKING:
    from processor.observe.spans import RecordSpans  # Of an extra that few have.

_START_BACKOFF_S: Final = 0.3


def run_worker(loaded: Loaded, first_slot: int | None) -> None:
    """Run one worker in this process until SIGTERM or SIGINT.

    With a `first_slot` it belongs to a supervisor. It begins in that slot, and the group keeps its partitions while it
    is started again. It stops when the supervisor is gone.

    Raises:
        A3CPError: it cannot start, or cannot go on.
    """
    settings = loaded.settings
    if first_slot is not None:
        is_static = settings.static_membership or settings.group_protocol == "classic"
        settings = settings.model_copy(update={"slot": None, "static_membership": is_static})
    log = log_of("processor", settings)
    for note in loaded.notes:
        log.info(note, operation="start")
    for warning in loaded.warnings:
        log.warning(warning, operation="start")
    with spans_of("processor", settings, log) as spans:
        traced = None if spans is None else spans.of_records(settings.topics().raw, settings.group_id)
        _run(settings, first_slot, log, traced)


def _run(settings: Settings, first_slot: int | None, log: FilteringBoundLogger, spans: "RecordSpans | None") -> None:
    stopped = threading.Event()
    worker: Worker | None = None

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()
        if worker is not None:
            worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    tune_garbage_collection()
    registry = CollectorRegistry()
    health = Health(live_s=settings.live_ms / 1000)
    observer = WorkerObserver(Metrics(registry), health, log, raw=settings.topics().raw, spans=spans)
    host, port = settings.metrics_host, settings.metrics_port

    def leave() -> None:
        if worker is None:  # Nothing has begun.
            observer.stopped()
            os._exit(0)

    _on_signal(leave)
    if first_slot is not None:
        stop_with_parent()
    given = settings.slot if first_slot is None else first_slot
    if given is not None:
        observer.slot(given)
    # Served before there is a broker: that none answers is to be seen.
    with HealthServer(host, port, health, registry) if port else nullcontext():
        while worker is None and not stopped.is_set():
            try:
                observer.beat()
                slot, partitions = place(settings, given, observer.beat)
                observer.slot(slot)
                worker = _worker(settings, slot, partitions, observer, stopped)
                observer.broker(None)
            except (BrokerUnavailable, OutcomeUnknown, OwnershipLost) as error:
                observer.broker(str(error))
                stopped.wait(_START_BACKOFF_S)
        if worker is not None and not stopped.is_set():
            observer.started(partitions, settings.group_id)
            worker.run()
        observer.stopped()


def _on_signal(act: Callable[[], None]) -> None:
    """Call `act` in a thread on the first signal.

    Python's own handlers wait until a call of the Kafka client returns: up to 10 s if no broker answers.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wait() -> None:
        os.read(reader, 1)
        act()

    threading.Thread(target=wait, daemon=True).start()


def _worker(
    settings: Settings, slot: int, partitions: int, observer: WorkerObserver, stopped: threading.Event
) -> Worker:
    known = schemas(settings)
    codec = Codec(known, strict=settings.strict)
    rules, topics = settings.rules(), settings.topics()
    conf = log_conf(settings, slot, partitions)
    client_bytes_max = int(conf.producer["message.max.bytes"])
    limits = {
        name: min(client_bytes_max, int(topic.configs["max.message.bytes"]))
        for name, topic in read_topics(settings.kafka_conf(), topics).items()
    }

    def task_of(partition: int) -> Task:
        return Task(
            partition,
            partitions,
            codec=codec,
            rules=rules,
            topics=topics,
            record_bytes_max=min(limits[name] for name in topics if name != topics.raw),
            raw_bytes_max=limits[topics.raw],
            reroutes=not settings.reads_another_log,
        )

    log, clock = KafkaLog(conf, observer), SystemClock()
    return Worker(
        log,
        task_of,
        clock,
        observer,
        batch_records_max=settings.batch_records_max,
        punctuate_ms=settings.punctuate_ms,
        # Two workers that fence each other must not do so in step for ever.
        sleep=lambda seconds: stopped.wait(seconds * random.uniform(0.5, 1.0)),  # noqa: S311
        asking=Asking(known, log, observer, clock, raw=topics.raw, start=in_background),
    )
