"""Tells how an outbox stands, in the log and as metrics."""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from structlog.typing import FilteringBoundLogger

from processor.codec.isotime import wall_ms
from processor.errors import A3CPError

_TROUBLE_EVERY_S: Final = 60.0


class OutboxMetrics:
    """The metrics of one outbox, on the registry handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records: Final = Gauge("a3cp_outbox_records", "Records that wait for Kafka.", registry=registry)
        self.size_bytes: Final = Gauge(
            "a3cp_outbox_bytes", "What the records take in the file, refused ones too.", registry=registry
        )
        self.oldest_seconds: Final = Gauge(
            "a3cp_outbox_oldest_seconds", "How long the oldest record has waited, s; 0 if none waits.",
            registry=registry,
        )  # fmt: skip
        self.sent: Final = Counter("a3cp_outbox_sent", "Records that waited and were sent.", registry=registry)
        self.refused: Final = Counter(
            "a3cp_outbox_refused", "Records that waited, and that Kafka refused; they are set aside.", registry=registry
        )


class OutboxObserver:
    """Tells how an outbox stands: one warning when it opens, one line when it is empty again."""

    def __init__(self, log: FilteringBoundLogger, metrics: OutboxMetrics) -> None:
        """Tell `log` and `metrics`."""
        self._log = log.bind(component="outbox")
        self._metrics = metrics
        self._troubled_s = float("-inf")

    def damaged(self, where: str) -> None:
        """Say that the file was damaged, and is at `where` now."""
        self._log.error(
            "the outbox was damaged and is set aside: what waited in it is not sent", operation="open", file=where
        )

    def opened(self, why: A3CPError) -> None:
        """Say that records wait from now on."""
        self._log.warning("records wait in the outbox from now on", operation="open", reason=str(why))

    def emptied(self, sent: int, refused: int, seconds: float) -> None:
        """Say that nothing waits any more."""
        self._log.info(
            "the outbox is empty again", operation="drain", sent=sent, refused=refused, seconds=round(seconds, 1)
        )

    def refused(self, why: A3CPError) -> None:
        """Say that Kafka refuses a record, which was set aside."""
        self._metrics.refused.inc()
        self._log.error("a record of the outbox is refused and set aside", operation="drain", reason=str(why))

    def sent(self, count: int) -> None:
        """Count records that had waited and were sent."""
        self._metrics.sent.inc(count)

    def holds(self, records: int, size_bytes: int, oldest_ms: int | None) -> None:
        """Show what is in it."""
        self._metrics.records.set(records)
        self._metrics.size_bytes.set(size_bytes)
        waited_ms = 0 if oldest_ms is None else max(0, wall_ms() - oldest_ms)
        self._metrics.oldest_seconds.set(waited_ms / 1000)

    def troubled(self, why: A3CPError) -> None:
        """Say that the file cannot be used at the moment; once a minute is enough."""
        if time.monotonic() - self._troubled_s > _TROUBLE_EVERY_S:
            self._troubled_s = time.monotonic()
            self._log.error(str(why), operation="store")
