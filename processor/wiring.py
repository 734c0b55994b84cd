"""The one place where ports meet their adapters; no rules."""

import contextlib
import gc
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from processor.broker import bootstrap_of_running
from processor.codec.codec import Codec
from processor.codec.schema import Schemas
from processor.config import Settings
from processor.config_sources import Loaded, load
from processor.core.errors import A3CPError, BrokerUnavailable, OutcomeUnknown, OwnershipLost, UsageError
from processor.exporter.audit.rerouted import misplaced_without_copy
from processor.health import Health, HealthServer
from processor.kafka.audit import KafkaTopics
from processor.kafka.conf import consumer_conf, producer_conf, restorer_conf
from processor.kafka.history import refuse_lost_offsets
from processor.kafka.log import KafkaLog, LogConf
from processor.kafka.offsets import committed_offsets, patiently
from processor.kafka.slots import choose_slots
from processor.kafka.topic_admin import check_topics, read_topics
from processor.logs import make_logger
from processor.metrics import ExportMetrics, Metrics
from processor.observer import Observer
from processor.resources import schema_text
from processor.runtime.asking import Asking
from processor.runtime.task import Task
from processor.runtime.worker import Worker
from processor.supervisor import supervise, this_command

if TYPE_CHECKING:
    from processor.export_observer import ExportObserver
    from processor.exporter.decoding import Part
    from processor.exporter.following import Progress
    from processor.exporter.ports import OutputRecord, Store
    from processor.store.sql import SqlStore

SHIPPED: Final = ("A3CPMessage", "TaggedA3CPMessage", "SessionEvent", "SessionCommand")
_START_BACKOFF_S: Final = 0.3
_COPIED_WITHIN_S: Final = 5.0  # By then a processor that runs has sent a misplaced record on.
_EXPORT_LIVE_S: Final = 600.0  # A session of millions of messages takes minutes to write.


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the wall clock's time, ms since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()


def load_settings() -> Loaded:
    """Return the settings; without a named Kafka, the running embedded one's address is filled in.

    Raises:
        UsageError: a setting is wrong, or no Kafka is named and none runs.
    """
    loaded = load(os.environ, Path.cwd())
    if loaded.settings.bootstrap_servers or loaded.settings.kafka.get("bootstrap.servers"):
        return loaded
    servers = bootstrap_of_running()
    if not servers:
        raise UsageError(
            "no Kafka is named and the embedded one does not run",
            remedy="start it with a3cp broker up, or set KAFKA_BOOTSTRAP_SERVERS",
        )
    return loaded._replace(settings=loaded.settings.model_copy(update={"bootstrap_servers": servers}))


def log_conf(settings: Settings, slot: int, partitions: int) -> LogConf:
    """Return what the worker in `slot` needs to know of Kafka."""
    common = settings.kafka_conf()
    topics = settings.topics()
    return LogConf(
        common=common,
        consumer=consumer_conf(
            common,
            session_timeout_ms=settings.session_timeout_ms,
            group_protocol=settings.group_protocol,
        ),
        producer=producer_conf(common, transaction_timeout_ms=settings.transaction_timeout_ms),
        restorer=restorer_conf(common, group_id=settings.group_id),
        group_id=settings.group_id,
        slot=slot,
        slot_is_fixed=settings.slot is not None,  # A supervisor's worker has none set.
        is_static=settings.static_membership,
        raw=topics.raw,
        state=topics.state,
        tagged=topics.tagged,
        sessions=topics.sessions,
        partitions=partitions,
    )


def schemas(settings: Settings) -> Schemas:
    """Return the schemas that records may be written with: those we ship, and the registry's when there is one."""
    shipped = {name: schema_text(name) for name in SHIPPED}
    topics = settings.topics()
    source = None
    if settings.schema_registry_url is not None:
        from processor.kafka.registry import Registry  # With httpx it costs every start 60 ms, needed or not.

        source = Registry(settings.schema_registry_url)
    return Schemas(
        shipped,
        source=source,
        tagged_subject=f"{topics.tagged}-value",
        events_subject=f"{topics.sessions}-value",
    )


def run_worker(loaded: Loaded, first_slot: int | None = None) -> None:
    """Run one worker in this process until SIGTERM or SIGINT.

    With a `first_slot` it is one of a supervisor's: it begins in that slot, and stops when the supervisor is gone.

    Raises:
        A3CPError: it cannot start, or cannot go on.
    """
    settings = loaded.settings
    if first_slot is not None:
        settings = settings.model_copy(update={"slot": None})
    log = make_logger("processor", level=settings.log_level, log_format=settings.log_format, key=settings.log_key)
    for note in loaded.notes:
        log.info(note, operation="start")
    for warning in loaded.warnings:
        log.warning(warning, operation="start")
    stopped = threading.Event()
    worker: Worker | None = None

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()
        if worker is not None:
            worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    _tune_garbage_collection()
    registry = CollectorRegistry()
    health = Health(live_s=settings.live_ms / 1000)
    observer = Observer(Metrics(registry), health, log, raw=settings.topics().raw)
    pages = _Pages(settings, health, registry)

    def leave() -> None:
        if worker is None:  # Nothing has begun.
            observer.stopped()
            os._exit(0)

    _on_signal(leave)
    if first_slot is not None:
        threading.Thread(target=_stop_with_supervisor, daemon=True).start()
    given = settings.slot if first_slot is None else first_slot
    try:
        while worker is None and not stopped.is_set():
            try:
                observer.beat()
                if given is not None:
                    observer.slot(given)
                    pages.serve(given)  # Before there is a broker: that none answers is to be seen.
                slot, partitions = _place(settings, given, observer.beat)
                observer.slot(slot)
                pages.serve(slot)
                worker = _worker(settings, slot, partitions, observer, stopped)
                observer.broker(None)
            except (BrokerUnavailable, OutcomeUnknown, OwnershipLost) as error:
                observer.broker(str(error))
                stopped.wait(_START_BACKOFF_S)
        if worker is not None and not stopped.is_set():
            observer.started(partitions, settings.group_id)
            worker.run()
        observer.stopped()
    finally:
        pages.close()


class _Pages:
    """The worker's pages, if it is to have some, from when its slot is known, which the port depends on."""

    def __init__(self, settings: Settings, health: Health, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._health = health
        self._registry = registry
        self._server: HealthServer | None = None

    def serve(self, slot: int) -> None:
        """Serve them, unless that is done already. Raises as `HealthServer` does."""
        host, port = self._settings.metrics_host, self._settings.metrics_port
        if self._server is None and port:
            self._server = HealthServer(host, port + slot, self._health, self._registry)
            self._server.start()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def run_workers(loaded: Loaded, count: int) -> None:
    """Run `count` workers, a process each, until SIGTERM or SIGINT.

    Raises:
        A3CPError: they cannot start, or one cannot go on.
    """
    settings = loaded.settings
    log = make_logger("supervisor", level=settings.log_level, log_format=settings.log_format)
    for number in (signal.SIGTERM, signal.SIGINT):  # Nothing has begun; a client that waits for answers cannot be left.
        signal.signal(number, lambda *_: os._exit(0))
    while True:
        try:
            slots = choose_slots(settings.kafka_conf(), settings.group_id, count)
            break
        except BrokerUnavailable as error:
            log.warning("no broker answers", operation="start", reason=str(error))
            time.sleep(_START_BACKOFF_S)
    supervise(slots, this_command("process"), partial(log.warning, operation="supervise"))


def store_of(settings: Settings, *, must_exist: bool = False) -> "SqlStore":
    """Return the store that the settings name. Raises as `open_store` does."""
    from processor.store import open_store  # Costs a third of a second, and only those who export have a store.

    return open_store(settings.store_url, must_exist=must_exist)


def await_kafka(
    settings: Settings, *, to_end: bool, stopped: threading.Event, on_trouble: Callable[[A3CPError], None]
) -> bool:
    """Wait until Kafka answers; return False when `stopped` before. Raises as `await_broker` does."""
    from processor.exporter.following import GIVE_UP_S
    from processor.kafka.outputs import await_broker

    return await_broker(
        settings.kafka_conf(), stopped=stopped.is_set, on_trouble=on_trouble, give_up_s=GIVE_UP_S if to_end else None
    )


def follow(
    settings: Settings,
    store: "Store",
    decode: "Callable[[Sequence[OutputRecord]], Iterable[Part]]",
    *,
    to_end: bool,
    stopped: threading.Event,
    on_progress: "Callable[[Progress], None]",
    on_trouble: Callable[[A3CPError], None],
) -> "Progress":
    """Write the output topics into `store`, up to their ends or until `stopped`. See `Following`."""
    from processor.exporter.bundles.renderer import renderer
    from processor.exporter.following import GIVE_UP_S, Following
    from processor.exporter.materializer import Materializer
    from processor.kafka.outputs import KafkaFeed

    topics = settings.topics()
    store.follow(f"{topics.tagged} and {topics.sessions}")
    store.note_reader(renderer())

    def feed() -> KafkaFeed:
        return KafkaFeed(
            settings.kafka_conf(),
            tagged=topics.tagged,
            sessions=topics.sessions,
            group_id=f"{settings.group_id}-export-{store.identity}",
            session_timeout_ms=settings.session_timeout_ms,
            starts=store.offsets,
        )

    _tune_garbage_collection()
    following = Following(
        feed,
        store,
        Materializer(store, decode),
        stopped=stopped.is_set,
        wait=stopped.wait,
        on_progress=on_progress,
        on_trouble=on_trouble,
        give_up_s=GIVE_UP_S if to_end else None,
    )
    return following.run(to_end=to_end)


@contextlib.contextmanager
def export_observer(settings: Settings, metrics_port: int) -> "Iterator[ExportObserver]":
    """Yield what an exporter that follows tells how it goes: the log, and the pages at `metrics_port` unless that is 0.

    Raises:
        UsageError: it cannot listen there.
    """
    from processor.export_observer import ExportObserver

    log = make_logger("exporter", level=settings.log_level, log_format=settings.log_format, key=settings.log_key)
    registry = CollectorRegistry()
    health = Health(live_s=_EXPORT_LIVE_S)
    observer = ExportObserver(ExportMetrics(registry), health, log)
    with contextlib.ExitStack() as stack:
        if metrics_port:
            stack.enter_context(HealthServer(settings.metrics_host, metrics_port, health, registry))
        yield observer


def _on_signal(act: Callable[[], None]) -> None:
    """Call `act` in a thread on the first signal: Python's own handlers wait until a call of the Kafka client returns.

    That can take 10 s while no broker answers.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wait() -> None:
        os.read(reader, 1)
        act()

    threading.Thread(target=wait, daemon=True).start()


def _stop_with_supervisor() -> None:
    """Wait until the supervisor's end of the standard input is closed, as it is when it was killed; then stop."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _place(settings: Settings, slot: int | None, beat: Callable[[], None]) -> tuple[int, int]:
    """Return the slot to begin in, a free one unless it is given, and the number of partitions.

    `beat` is called whenever a part of a long check is done. Raises as the checks in here do.
    """
    conf, topics = settings.kafka_conf(), settings.topics()
    partitions = check_topics(conf, settings.topic_prefix, raw=settings.raw_topic)
    if slot is None:
        (slot,) = choose_slots(conf, settings.group_id, 1)
    refuse_lost_offsets(conf, settings.group_id, raw=topics.raw, state=topics.state, partitions=partitions)
    if settings.reads_another_log and not _has_begun(settings, partitions):
        _refuse_missing_copies(settings, beat)
    return slot, partitions


def _has_begun(settings: Settings, partitions: int) -> bool:
    conf, raw = settings.kafka_conf(), settings.topics().raw
    ask = partial(committed_offsets, conf, settings.group_id, raw, range(partitions))
    return bool(patiently(ask, "asking for the group's offsets", conf))


def _refuse_missing_copies(settings: Settings, beat: Callable[[], None]) -> None:
    """Read the other log once before anything is written: what is misplaced there must have a copy in its place.

    Nothing is written to that log, so nobody would send a misplaced record to where its user is.
    """
    raw, codec = settings.topics().raw, Codec(schemas(settings), strict=settings.strict)

    def without_copy() -> list[str]:
        topics = KafkaTopics(settings.kafka_conf(), [raw], on_read=lambda _: beat())
        return misplaced_without_copy(topics, codec, raw)

    alone = without_copy()
    if alone:
        time.sleep(_COPIED_WITHIN_S)
        later = frozenset(without_copy())
        alone = [where for where in alone if where in later]
    if alone:
        first = ", ".join(alone[:3]) + (" …" if len(alone) > 3 else "")
        raise UsageError(
            f"{len(alone):,} records of {raw} are not in their user's partition and have no copy there: {first}",
            remedy=f"process {raw} under its own prefix first, which makes the copies, or mirror until they are there",
        )


def _worker(settings: Settings, slot: int, partitions: int, observer: Observer, stopped: threading.Event) -> Worker:
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
        asking=Asking(known, log, observer, clock, raw=topics.raw, start=_in_background),
    )


def _in_background(work: Callable[[], None]) -> None:
    """Run `work` in a thread that nobody waits for at the end."""
    threading.Thread(target=work, name="a3cp-asking", daemon=True).start()


def _tune_garbage_collection() -> None:
    """Collect rarely: a batch makes many values and no cycles, so looking for those is in vain."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
