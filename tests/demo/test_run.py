"""The demo waits as long as it says, whatever a busy machine does meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from processor.demo import run
from processor.demo.report import Steps
from processor.demo.run import await_enough
from processor.errors import BrokerUnavailable


class Running:
    """A processor that runs."""

    def require_alive(self) -> None:
        """It does."""

    def last_words(self) -> str:
        """It has said nothing."""
        return ""


@contextmanager
def bar(*_: object, **__: object) -> Iterator[Any]:
    yield lambda *_: None


@pytest.fixture
def steps() -> Steps:
    return Steps(Console(file=StringIO()), bar)


def test_a_broker_that_is_silent_for_a_moment_is_asked_again(steps: Steps) -> None:
    """What it says then counts."""
    answers = iter([None, 2, None, 3])

    def count() -> int:
        if (found := next(answers)) is None:
            raise BrokerUnavailable("no answer")
        return found

    await_enough(steps, "messages", Running(), 3, count)
    assert next(answers, "all asked") == "all asked"


def test_a_broker_that_stays_silent_is_told(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """After as long as the demo waits."""
    monkeypatch.setattr(run, "WAIT_S", 0.1)

    def count() -> int:
        raise BrokerUnavailable("no answer")

    with pytest.raises(BrokerUnavailable, match="no answer"):
        await_enough(steps, "messages", Running(), 3, count)
