"""The short form of `make chaos`: each bad thing once and some kills more, soon after one another."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.trial import run

SEED = 14


def say(line: str) -> None:
    """Pytest shows it when the test fails."""
    sys.stdout.write(f"{line}\n")


@pytest.mark.broker
@pytest.mark.long
@pytest.mark.timeout(600)
def test_bad_things_break_no_promise() -> None:
    """On one node; what the machine does not allow is left out, and told."""
    with ExitStack() as stack:
        # Not in a folder of pytest: a disk that is still mounted, as after a kill, would be in the way of its clearing.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="a3cp-chaos-")))
        say(f"seed {SEED}")
        wrong = run(SEED, folder, stack, say, seconds=0, pause_s=(0.5, 2.0))
        assert wrong == []
