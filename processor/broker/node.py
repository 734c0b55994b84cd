"""One node: started, found and stopped, one Kafka process a folder.

The folder holds all there is to know: `broker.json` (the process and its port), `server.properties` and `log4j2.xml` as
written for the last start, `broker.log`, and Kafka's own data in `data/`.
"""

from collections.abc import Mapping
from pathlib import Path

import psutil

from processor.broker import jars
from processor.broker.errors import BrokerFailed
from processor.broker.folder import BrokerInfo, State, exclusive, process_of, read_state, write_state
from processor.broker.start import Say, start
from processor.errors import UsageError

STOP_TIMEOUT_S = 30.0


def up(
    folder: Path, port: int | None, properties: Mapping[str, str], say: Say, progress: jars.Progress | None
) -> BrokerInfo:
    """Start the node of `folder`, or return the running one; `processor.broker.server.up` says more."""
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        running = status(folder)
        if running is None:
            return start(folder, port, properties, say, progress)
    if port is not None and running.bootstrap != f"127.0.0.1:{port}":
        raise UsageError(
            f"the broker of {folder} runs already, at {running.bootstrap}",
            remedy="stop it first with a3cp broker down, or name another data folder",
        )
    return running


def down(folder: Path, say: Say) -> bool:
    """Stop the node of `folder`; return whether it ran."""
    with exclusive(folder):
        state = read_state(folder)
        process = process_of(folder, state)
        if state is None or process is None:
            return False
        say(f"stopping the broker at 127.0.0.1:{state.port}")
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            say(f"it did not stop within {STOP_TIMEOUT_S:.0f} s, so it is killed; the next start repairs its log")
            process.kill()
            try:
                process.wait(STOP_TIMEOUT_S)
            except psutil.TimeoutExpired as error:
                raise BrokerFailed(f"process {process.pid} cannot be killed", remedy="look at it with ps") from error
        write_state(folder, State(0, state.port, state.controller_port))
        return True


def status(folder: Path) -> BrokerInfo | None:
    """Return the running node of `folder`, or None; a dead one's traces do not count."""
    state = read_state(folder)
    process = process_of(folder, state)
    if state is None or process is None:
        return None
    return BrokerInfo(f"127.0.0.1:{state.port}", process.pid, folder, folder / "broker.log")
