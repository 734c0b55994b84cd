"""An exporter: follows the output topics into a store."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from processor.errors import A3CPError
from processor.observe.health import Health, HealthServer
from processor.observe.logs import make_logger
from processor.observe.metrics import ExportMetrics
from processor.settings.model import Settings

if TYPE_CHECKING:
    from processor.observe.exporter import ExportObserver
    from processor.sessions.decoding import Part
    from processor.sessions.following import Progress
    from processor.sessions.ports import OutputRecord, Store
from processor.processes.collecting import tune_garbage_collection

_EXPORT_LIVE_S: Final = 600.0  # A session of millions of messages takes minutes to write.


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
    from processor.bundles.renderer import renderer
    from processor.kafka.feed import KafkaFeed
    from processor.sessions.following import GIVE_UP_S, Following
    from processor.sessions.materializer import Materializer

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

    tune_garbage_collection()
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
def export_observer(settings: Settings, metrics_port: int | None) -> "Iterator[ExportObserver]":
    """Yield what an exporter that follows tells how it goes: the log, and the pages at `metrics_port`; 0 for none.

    Without a `metrics_port` it is the settings'.

    Raises:
        UsageError: it cannot listen there.
    """
    from processor.observe.exporter import ExportObserver
    from processor.sessions.ports import SESSIONS, TAGGED

    log = make_logger("exporter", level=settings.log_level, log_format=settings.log_format, key=settings.log_key)
    registry = CollectorRegistry()
    health = Health(live_s=_EXPORT_LIVE_S)
    topics = settings.topics()
    names = {TAGGED: topics.tagged, SESSIONS: topics.sessions}
    observer = ExportObserver(ExportMetrics(registry), health, log, names)
    port = settings.metrics_port if metrics_port is None else metrics_port
    with HealthServer(settings.metrics_host, port, health, registry) if port else contextlib.nullcontext():
        yield observer
