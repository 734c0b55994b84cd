"""`a3cp export` that never meets a Kafka."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import PROGRAM


@pytest.mark.parametrize(("options", "code"), [([], 1), (["--follow"], 0)], ids=["to the end", "following"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_before_kafka_answered(tmp_path: Path, options: list[str], code: int, number: signal.Signals) -> None:
    """It says that nothing was read, counts nothing, and makes no store."""
    exporter = subprocess.Popen(
        [*PROGRAM, "export", "--bootstrap", "127.0.0.1:1", *options],
        cwd=tmp_path, env={**os.environ, "A3CP_LOG_FORMAT": "json"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert exporter.stderr is not None
    assert "no Kafka broker answers at 127.0.0.1:1" in exporter.stderr.readline()
    exporter.send_signal(number)
    said, warned = exporter.communicate(timeout=60)
    assert exporter.returncode == code
    assert said == ""
    assert "stopped before Kafka answered: nothing was read, and nothing written" in warned
    assert list(tmp_path.iterdir()) == []
