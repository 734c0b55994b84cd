"""`a3cp canary` on Kafka: it shows how long messages take, and that a processor stands still."""

import signal
from pathlib import Path

import pytest

from processor.broker.probe import free_ports
from tests.broker.fleet import Fleet, Worker, await_true, probe

pytestmark = pytest.mark.broker


class CanaryProcess(Worker):
    command = "canary"


def figure(port: int, name: str) -> float:
    """Return the sum of a metric over its labels."""
    lines = probe(port, "/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def test_a_processor_that_stands_still_is_seen(kafka: str, topics: str, tmp_path: Path) -> None:
    """While it is stopped messages wait; once it goes on they come, and none is lost."""
    (port,) = free_ports(1)
    with Fleet(kafka, topics, tmp_path) as fleet:
        worker = fleet.start()
        arguments = ["--every", "0.2", "--metrics-port", str(port)]
        canary = CanaryProcess(fleet.environ, tmp_path / "canary.log", arguments)
        fleet.workers.append(canary)
        await_true("messages come back", lambda: figure(port, "a3cp_end_to_end_seconds_count") >= 8)
        assert probe(port, "/readyz")[0] == 200
        worker.signal(signal.SIGSTOP)
        await_true("they wait", lambda: figure(port, "a3cp_canary_waiting_seconds") > 8)
        before = figure(port, "a3cp_end_to_end_seconds_count")
        worker.signal(signal.SIGCONT)
        await_true("they come", lambda: figure(port, "a3cp_end_to_end_seconds_count") > before + 40)
        assert figure(port, "a3cp_canary_lost_total") == 0
        assert canary.stop() == 0
        assert fleet.audit().tagged > 40
