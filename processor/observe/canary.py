"""Tells metrics, health and the log how long a message takes from the raw topic to readers of the tagged one."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import FilteringBoundLogger

from processor.errors import A3CPError
from processor.observe.health import Health
from processor.observe.metrics import say_what_runs

_BUCKETS_S: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class CanaryMetrics:
    """The metrics of one canary, on the registry handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.end_to_end: Final = Histogram(
            "a3cp_end_to_end_seconds", "From sending a message to reading it tagged and committed, s.",
            buckets=_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.waiting: Final = Gauge(
            "a3cp_canary_waiting_seconds", "How long the oldest message that is not tagged yet has waited, s.",
            ["partition"], registry=registry,
        )  # fmt: skip
        self.lost: Final = Counter(
            "a3cp_canary_lost", "Messages that were not tagged, though a later one of their partition was.",
            ["partition"], registry=registry,
        )  # fmt: skip
        say_what_runs(registry)


class CanaryObserver:
    """Tells how one canary does; used by its loop."""

    def __init__(self, metrics: CanaryMetrics, health: Health, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._health = health
        self._log = log
        self._away: str | None = None
        health.assigned(())

    def beat(self, waiting_s: Mapping[int, float]) -> None:
        """The loop took a turn. `waiting_s`: by partition, how long the oldest message waits; 0 if none does."""
        self._health.beat()
        for partition, seconds in waiting_s.items():
            self._metrics.waiting.labels(partition).set(seconds)
            self._metrics.lost.labels(partition)

    def came(self, seconds: float) -> None:
        """A message came back tagged, after so long."""
        self._metrics.end_to_end.observe(seconds)

    def lost(self, partition: int, count: int) -> None:
        """So many messages will not come any more."""
        self._metrics.lost.labels(partition).inc(count)
        self._log.error("messages were sent and not tagged", operation="compare", partition=partition, count=count)

    def away(self, error: A3CPError | None) -> None:
        """Kafka does not answer; None: it does again."""
        self._health.beat()
        told = None if error is None else str(error)
        if told != self._away:
            self._away = told
            self._health.away(told)
            self._log.info(told or "all is well again", operation="follow")
