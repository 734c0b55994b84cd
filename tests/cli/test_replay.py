"""a3cp replay: the spacing, and what it refuses before anything is sent."""

import pytest
from typer.testing import CliRunner

from processor.cli.app import app
from processor.cli.replay import Sent, paced
from processor.errors import UsageError


class Clock:
    """Stands still but for waits."""

    def __init__(self) -> None:
        self.s = 100.0
        self.waits: list[float] = []

    def now_s(self) -> float:
        return self.s

    def wait(self, seconds: float) -> None:
        self.waits.append(round(seconds, 6))
        self.s += seconds


@pytest.mark.parametrize(("factor", "waits"), [(1.0, [2.0, 8.0]), (10.0, [0.2, 0.8]), (0.5, [4.0, 16.0]), (None, [])])
def test_spacing(factor, waits):
    """As they came, faster, slower, or at once; what came at the same time or out of order waits for nothing."""
    clock = Clock()
    messages = [Sent(seq, at_ms, "u", b"") for seq, at_ms in enumerate((1_000, 3_000, 3_000, 2_500, 11_000), 1)]
    assert list(paced(messages, factor, now_s=clock.now_s, wait=clock.wait)) == messages
    assert clock.waits == waits


def test_a_slow_topic_is_caught_up_with():
    """Time that sending took is not waited for again."""
    clock = Clock()
    for _ in paced([Sent(1, 0, "u", b""), Sent(2, 5_000, "u", b"")], 1.0, now_s=clock.now_s, wait=clock.wait):
        clock.s += 3
    assert clock.waits == [2.0]


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "inf", "nan", "", "1e-300", "0.0009"])
def test_speeds_that_are_none(speed):
    """Refused before Kafka is asked."""
    result = CliRunner().invoke(app, ["replay", "sess_1", "--to", "t", f"--speed={speed}"])
    assert isinstance(result.exception, UsageError)
    assert "--speed" in str(result.exception)


def test_it_says_what_it_does_not_send():
    """Who reads the help does not expect the session's events, or its commands, on the other side."""
    said = " ".join(CliRunner().invoke(app, ["replay", "--help"]).output.split())
    assert "Messages only: no session events, no commands, no tags." in said


@pytest.mark.parametrize("topic", ["a3cp.tagged", "a3cp.sessions", "a3cp.state", "a3cp.dlq"])
def test_the_processors_own_topics_take_no_replay(topic):
    """What the processor alone writes would be wrong with more in it."""
    result = CliRunner().invoke(app, ["replay", "sess_1", "--to", topic, "--bootstrap", "127.0.0.1:1"])
    assert isinstance(result.exception, UsageError)
    assert f"{topic} is the processor's own" in str(result.exception)


def test_a_topic_that_is_only_read_takes_no_replay(monkeypatch):
    """A3CP_RAW_TOPIC names another's log."""
    monkeypatch.setenv("A3CP_RAW_TOPIC", "theirs")
    result = CliRunner().invoke(app, ["replay", "sess_1", "--to", "theirs", "--bootstrap", "127.0.0.1:1"])
    assert isinstance(result.exception, UsageError)
    assert "nothing is written to theirs" in str(result.exception)
