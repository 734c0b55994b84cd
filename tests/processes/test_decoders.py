"""Records decoded by other processes say what they say here."""

import os
import signal
from collections.abc import Iterable
from contextlib import closing
from itertools import chain
from pathlib import Path

import psutil
import pytest

from processor.errors import Fatal
from processor.processes.exporter.decoders import Decoders
from processor.sessions.ports import TAGGED
from processor.sessions.projection.decoding import Part
from processor.sessions.projection.feed import OutputRecord
from processor.settings.sources import load
from tests.sessions.outputs import DECODE, message, processed

RECORDS = [
    *processed([message(f"user-{n % 5}", n * 1000, source="ui", transcript=f"word{n}") for n in range(60)]),
    OutputRecord(TAGGED, 0, 1_000, 1, b"no message"),
]


@pytest.fixture
def decoders(tmp_path: Path) -> Decoders:
    return Decoders(load({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, tmp_path).settings, count=2, part_records=7)


def whole(parts: Iterable[Part]) -> Part:
    """Return `parts` as one."""
    messages, events, unreadable = (list(chain(*lists)) for lists in zip(*parts, strict=True))
    return Part(messages, events, unreadable)


def size(part: Part) -> int:
    return len(part.messages) + len(part.events) + len(part.unreadable)


def helping() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_the_same(decoders: Decoders) -> None:
    """Many records are decoded elsewhere, few here, and nobody sees a difference."""
    with closing(decoders):
        few = list(decoders.decode(RECORDS[:27]))
        assert not helping()
        many = whole(decoders.decode(RECORDS))
        assert helping()
    assert not helping()
    assert many == whole(DECODE(RECORDS))
    assert whole(few) == whole(DECODE(RECORDS[:27]))
    assert len(many.messages) == 60
    assert len(many.unreadable) == 1


def test_a_service_that_is_stopped(decoders: Decoders) -> None:
    """SIGTERM goes to all processes of a service: those that help do not end before the one that they help."""
    with closing(decoders):
        parts = iter(decoders.decode(RECORDS))
        seen = size(next(parts))
        for process in helping():
            os.kill(process.pid, signal.SIGTERM)
        assert seen + sum(map(size, parts)) == len(RECORDS)


def test_one_that_is_killed(decoders: Decoders) -> None:
    """What comes is whole or an error with words, never less than there was."""
    with closing(decoders):
        parts = decoders.decode(RECORDS)
        next(iter(parts))
        for process in helping():
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(Fatal, match="a helping process has ended"):
            list(decoders.decode(RECORDS))
