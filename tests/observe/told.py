"""An observer of an exporter, and all that it told."""

import io
import json

from prometheus_client import CollectorRegistry

from processor.observe.exporter import ExportObserver
from processor.observe.health import Health
from processor.observe.logs import make_logger
from processor.observe.metrics import ExportMetrics
from processor.observe.spans import Spans
from processor.sessions.ports import SESSIONS, TAGGED

TOPICS = {TAGGED: "a3cp.tagged", SESSIONS: "a3cp.sessions"}


class Told:
    """An observer, and all that it tells."""

    def __init__(self, spans: Spans | None = None) -> None:
        self.registry, self.health, self.stream = CollectorRegistry(), Health(), io.StringIO()
        log = make_logger("exporter", log_format="json", stream=self.stream)
        self.observer = ExportObserver(ExportMetrics(self.registry), self.health, log, TOPICS, spans)

    def lines(self) -> list[tuple[str, str, str]]:
        return [(line["level"], line["operation"], line["message"]) for line in map(json.loads, self.log())]

    def log(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)
