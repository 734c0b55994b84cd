"""Tells metrics, health and the log what the hooks are doing. Names of templates and hooks are the site's own."""

from collections.abc import Collection, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from structlog.typing import FilteringBoundLogger

from processor.errors import A3CPError
from processor.observe.health import Health
from processor.observe.metrics import say_what_runs
from processor.sessions.projection.feed import OutputRecord

OUTCOMES: Final = ("delivered", "dead", "nothing_to_tell")


class HooksMetrics:
    """The metrics of one process of hooks, on the registry handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.deliveries: Final = Counter(
            "a3cp_hooks_deliveries", "What receivers were told, by outcome: delivered, dead, nothing_to_tell.",
            ["template", "hook", "outcome"], registry=registry,
        )  # fmt: skip
        self.due: Final = Gauge("a3cp_hooks_due", "Deliveries that wait or are under way.", registry=registry)
        self.lag: Final = Gauge(
            "a3cp_hooks_lag_offsets", "Offsets that hooks are behind the output topics, in all partitions.",
            registry=registry,
        )  # fmt: skip
        say_what_runs(registry)


class HooksObserver:
    """Tells how one process of hooks does. Its loop uses it; the threads of its deliveries call `buried`."""

    def __init__(
        self, metrics: HooksMetrics, health: Health, log: FilteringBoundLogger, hooks: Iterable[tuple[str, str]]
    ) -> None:
        """`hooks`: the names of each template and hook."""
        self._metrics = metrics
        self._health = health
        self._log = log
        self._trouble: str | None = None
        for template, hook in hooks:
            for outcome in OUTCOMES:
                metrics.deliveries.labels(template, hook, outcome)

    def beat(self, trouble: str | None) -> None:
        """The loop took a turn; `trouble`: why not all is told at the moment, though Kafka answers."""
        self._health.beat()
        if trouble != self._trouble:
            self._trouble = trouble
            self._health.away(trouble)
            self._log.info(trouble or "all is well again", operation="follow")

    def away(self, error: A3CPError) -> None:
        """Kafka or the store does not answer; it is tried again."""
        self._health.beat()
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._health.away(self._trouble)
            self._log.warning(self._trouble, operation="follow", error=type(error).__name__)

    def assigned(self, partitions: Collection[int]) -> None:
        """Its share of the partitions has changed."""
        self._health.assigned(())
        self._log.info("partitions assigned", operation="assign", partitions=sorted(partitions))

    def unreadable(self, record: OutputRecord, error: A3CPError) -> None:
        """A record tells nothing, since it cannot be read."""
        position = f"{record.topic}[{record.partition}]@{record.offset}"
        self._log.warning("passed over", operation="follow", position=position, reason=str(error))

    def told(self, template: str, hook: str, outcome: str) -> None:
        """A delivery is done."""
        self._metrics.deliveries.labels(template, hook, outcome).inc()

    def buried(self, template: str, hook: str, session_id: str, error: A3CPError) -> None:
        """A receiver has not taken what it was told of the session; that is a dead letter now."""
        self._log.error(str(error), operation="tell", template=template, hook=hook, session_id=session_id)

    def due(self, count: int) -> None:
        """So many deliveries wait or are under way."""
        self._metrics.due.set(count)

    def lag(self, offsets: int) -> None:
        """It is so many offsets behind."""
        self._metrics.lag.set(offsets)
