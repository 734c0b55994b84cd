"""A process that waits to be told which worker it is."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from processor.processes.parts import stop_all, this_command
from processor.processes.worker.spare import Told, Workers

_ECHO = "import sys; sys.exit(int(sys.stdin.readline().split()[0]))"  # Ends with its slot as the exit code.


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Starts workers, and a spare one at once."""
    made = Workers([sys.executable, "-c", _ECHO], os.environ, lambda _: None, spare_after_s=0.0)
    yield made
    stop_all([] if made.spare is None else [made.spare])


def spare_of(workers: Workers) -> "subprocess.Popen[bytes]":
    """Let a spare process start, and return it."""
    workers.look()
    assert workers.spare is not None
    return workers.spare.process


def test_the_spare_becomes_the_worker(workers: Workers) -> None:
    """It is told which one, and the next look starts another spare."""
    spare = spare_of(workers)
    worker = workers.launch(Told(7, 0))
    assert worker is spare
    with worker:
        assert worker.wait(60) == 7
    assert spare_of(workers) is not spare


def test_a_spare_that_has_died_is_not_taken(workers: Workers) -> None:
    """Then the worker is a new process, as when there is no spare yet."""
    with spare_of(workers) as spare:
        spare.kill()
    for slot in (7, 8):
        with workers.launch(Told(slot, 0)) as worker:
            assert worker.wait(60) == slot


def test_no_spare_right_after_a_start() -> None:
    """It is not to take the cores from a worker that has just been started."""
    workers = Workers([sys.executable, "-c", _ECHO], os.environ, lambda _: None)
    with workers.launch(Told(7, 0)) as worker:
        workers.look()
        assert workers.spare is None
        assert worker.wait(60) == 7


def test_a_spare_goes_with_its_supervisor() -> None:
    """Its standard input closes: it ends with 0, and has asked no Kafka."""
    environ = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    command = this_command("process", "--supervised")
    assert subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, timeout=60, check=False).returncode == 0
