"""Workers that end by themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from processor.errors import A3CPError, UsageError
from processor.processes.pool import cores
from processor.processes.worker.supervisor import supervise
from processor.settings.sources import Option, load


@pytest.mark.parametrize("code", [1, 2])
def test_a_workers_exit_code_is_handed_on(code: int) -> None:
    """One that failed, or was used wrongly, stops all with the same code."""
    with pytest.raises(A3CPError, match=f"the worker in slot 3 ended with code {code}") as caught:
        supervise([3], [sys.executable, "-c", f"import sys; sys.exit({code})"], lambda _: None)
    assert caught.value.exit_code == code


_STARTED = """
import os, signal, sys
_, file, stop_at, ends_by = sys.argv
with open(file, "a") as starts:
    starts.write(sys.stdin.readline())
if sum(1 for _ in open(file)) == int(stop_at):
    os.kill(os.getppid(), signal.SIGTERM)
if ends_by == "itself":
    os.kill(os.getpid(), signal.SIGKILL)
signal.pause()
"""


def test_a_worker_that_dies_again_and_again_is_backed_off(tmp_path: Path) -> None:
    """It is started again at once, then ever later; each time that is told, and it keeps slot and port."""
    starts, told = tmp_path / "starts", list[str]()
    supervise([7], [sys.executable, "-c", _STARTED, str(starts), "3", "itself"], told.append, metrics_port=9000)
    assert starts.read_text("ascii") == "7 9000\n" * 3
    ended = "the worker in slot 7 was killed by signal 9; starting it again"
    assert told[:2] == [ended, f"{ended} in 1 s, since that happened 2 times in a row"]


@pytest.mark.parametrize(("port", "ports"), [(9000, {"4 9000", "6 9001"}), (0, {"4 0", "6 0"})])
def test_each_worker_has_a_metrics_port(tmp_path: Path, port: int, ports: set[str]) -> None:
    """The first has the one that is set, whatever its slot, the next one the port after it; 0 stays 0."""
    starts = tmp_path / "starts"
    supervise([4, 6], [sys.executable, "-c", _STARTED, str(starts), "2", "signal"], lambda _: None, metrics_port=port)
    assert set(starts.read_text("ascii").splitlines()) == ports


_STOPPED_EARLY = """
import os, signal, sys
class Loading:
    def find_spec(self, name, *_):
        if name == "processor.observe.logs":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Loading())
from processor.cli.app import main
main()
"""


def test_a_stop_while_it_loads_is_a_clean_stop() -> None:
    """SIGTERM before a worker has read its settings: exit code 0, as later."""
    environ = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    command = [sys.executable, "-c", _STOPPED_EARLY, "process"]
    assert subprocess.run(command, env=environ, timeout=60, check=False).returncode == 0


def test_a_container_limits_the_cores(tmp_path: Path) -> None:
    """A part of a core counts as one; without a limit the machine's count, as without the file."""
    file = tmp_path / "cpu.max"
    machine = cores(file)
    for text, expected in (("50000 100000", 1), ("max 100000", machine), ("99900000 100000", machine)):
        file.write_text(text)
        assert cores(file) == expected


def test_how_many_workers_is_a_number_or_auto(tmp_path: Path) -> None:
    """From the option, the variable or the file, whatever the case."""
    assert load({"A3CP_WORKERS": "AUTO"}, tmp_path).settings.workers == "auto"
    assert load({"A3CP_WORKERS": "auto"}, tmp_path, {"workers": Option("--workers", "3")}).settings.workers == 3
    for wrong in ("0", "65", "many"):
        with pytest.raises(UsageError, match=r"^--workers is not as wanted"):
            load({}, tmp_path, {"workers": Option("--workers", wrong)})
