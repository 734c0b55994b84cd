"""What a broker's data folder remembers between two commands: which process runs in it, and on which ports."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """A running embedded broker. A cluster's `bootstrap` names all nodes; `pid` and `log_file` are its first one's."""

    bootstrap: str
    pid: int
    data_dir: Path
    log_file: Path
    nodes: tuple["BrokerInfo", ...] = ()  # a cluster's, those that run; a node's `data_dir` is its own


@dataclass(frozen=True, slots=True)
class State:
    """What `broker.json` remembers; the pid is 0 after a clean stop, the ports stay for the next start."""

    pid: int
    port: int
    controller_port: int


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time start or stop the broker of `folder`; a second one waits for the first."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_state(folder: Path) -> State | None:
    """Return what the folder remembers; None when that is nothing, or cannot be read."""
    try:
        return State(**json.loads((folder / "broker.json").read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # A torn file, as after a full disk, tells nothing; the process is then unknown and its port taken.
        return None


def write_state(folder: Path, state: State) -> None:
    """Make the folder remember `state`, all of it or nothing."""
    partial = folder / "broker.json.partial"
    partial.write_text(json.dumps(asdict(state)), "utf-8")
    partial.replace(folder / "broker.json")


def process_of(folder: Path, state: State | None) -> psutil.Process | None:
    """Return the broker's process, or None where it is gone or the pid is another process's by now."""
    if state is None or state.pid == 0:
        return None
    try:
        process = psutil.Process(state.pid)
        if process.status() == psutil.STATUS_ZOMBIE or f"-Da3cp.data={folder}" not in process.cmdline():
            return None
    except psutil.Error:
        return None
    return process
