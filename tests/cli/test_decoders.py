"""Records decoded by other processes say what they say here."""

import os
import signal
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from processor.cli.decoders import Decoders
from processor.config import load
from processor.core.errors import Fatal
from processor.exporter.model import UnreadableRow
from processor.exporter.ports import TAGGED, OutputRecord
from tests.exporter.outputs import DECODE, message, processed

RECORDS = [
    *processed([message(f"user-{n % 5}", n * 1000, source="ui", transcript=f"word{n}") for n in range(60)]),
    OutputRecord(TAGGED, 0, 1_000, 1, b"no message"),
]


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Decoders:
    monkeypatch.setattr("processor.cli.decoders.RECORDS_MIN", 50)
    monkeypatch.setattr("processor.cli.decoders.cores", lambda: 3)
    monkeypatch.setattr("processor.exporter.decoding.PART_RECORDS", 7)
    return Decoders(load({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, tmp_path).settings)


def helping() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_the_same(decoders: Decoders) -> None:
    """Many records are decoded elsewhere, few here, and nobody sees a difference."""
    with closing(decoders):
        few = list(decoders.decode(RECORDS[:49]))
        assert not helping()
        many = [each for part in decoders.decode(RECORDS) for each in part]
        assert helping()
    assert not helping()
    assert many == [each for part in DECODE(RECORDS) for each in part]
    assert [each for part in few for each in part] == many[:49]
    assert isinstance(many[-1], UnreadableRow)


def test_a_service_that_is_stopped(decoders: Decoders) -> None:
    """SIGTERM goes to all processes of a service: those that help do not end before the one that they help."""
    with closing(decoders):
        parts = iter(decoders.decode(RECORDS))
        seen = len(next(parts))
        for process in helping():
            os.kill(process.pid, signal.SIGTERM)
        assert seen + sum(len(part) for part in parts) == len(RECORDS)


def test_one_that_is_killed(decoders: Decoders) -> None:
    """What comes is whole or an error with words, never less than there was."""
    with closing(decoders):
        parts = decoders.decode(RECORDS)
        next(iter(parts))
        for process in helping():
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(Fatal, match="a helping process has ended"):
            list(decoders.decode(RECORDS))
