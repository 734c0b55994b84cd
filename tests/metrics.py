"""All metrics of `a3cp`, with their labels."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from processor.observe.canary import CanaryMetrics
from processor.observe.disk import DiskMetrics
from processor.observe.hooks import HooksMetrics
from processor.observe.metrics import ExportMetrics, Metrics
from processor.observe.outbox import OutboxMetrics
from processor.observe.serving import ServeMetrics


def disk_metrics(registry: CollectorRegistry) -> DiskMetrics:
    return DiskMetrics(registry, {})


def metrics() -> Iterator[tuple[str, tuple[str, ...]]]:
    for kind in (Metrics, ExportMetrics, ServeMetrics, OutboxMetrics, HooksMetrics, CanaryMetrics, disk_metrics):
        made = kind(CollectorRegistry())
        for value in vars(made).values():
            if isinstance(value, MetricWrapperBase) and not value._labelvalues:
                suffix = "_total" if value._type == "counter" else ""
                yield f"{value._name}{suffix}", value._labelnames
    yield "a3cp_build_info", ("version", "python")
