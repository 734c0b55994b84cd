"""The embedded broker as others see it: started, found and stopped, one Kafka process a data folder.

The folder holds all there is to know: `broker.json` (the process and its port), `server.properties` and `log4j2.xml` as
written for the last start, `broker.log`, and Kafka's own data in `data/`.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import psutil

from processor.broker import jars
from processor.broker.errors import BrokerFailed
from processor.broker.folder import BrokerInfo, State, exclusive, process_of, read_state, write_state
from processor.broker.places import DATA_SETTING, default_data_dir, told_of
from processor.broker.start import Say, start
from processor.errors import UsageError

STOP_TIMEOUT_S = 30.0


def up(
    port: int | None = None,
    data_dir: Path | None = None,
    *,
    properties: Mapping[str, str] = MappingProxyType({}),
    say: Say = lambda _text: None,
    progress: jars.Progress | None = None,
) -> BrokerInfo:
    """Start the broker of `data_dir` and return when it takes work; return the running one where there is one.

    Args:
        port: where to listen on 127.0.0.1; None for the last start's where that is free, else for any free one.
        data_dir: where its data is; None for the user's own (`A3CP_BROKER_DIR`).
        properties: more of Kafka's server properties, for this start. Listeners come to the broker's own one, which
            stays as it is; other properties go over ours.
        say: told what is being waited for.
        progress: told how far the first fetch is.

    Raises:
        PortTaken: another process listens on `port`.
        UsageError: the broker of this folder runs already, on another port than `port`; it is no folder to
            use; or the heap is given a size that is none.
        FetchFailed, NoSpace, NoJava, BrokerFailed: see the classes.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    with told_of(folder, setting=DATA_SETTING):
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


def down(data_dir: Path | None = None, *, say: Say = lambda _text: None) -> bool:
    """Stop the broker of `data_dir` cleanly; return whether there was one.

    Raises:
        BrokerFailed: it would not even be killed.
        UsageError: the folder cannot be used.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    with told_of(folder, setting=DATA_SETTING):
        try:
            return _stop(folder, say)
        except FileNotFoundError:
            return False


def _stop(folder: Path, say: Say) -> bool:
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


def status(data_dir: Path | None = None) -> BrokerInfo | None:
    """Return the running broker of `data_dir`, or None; a dead one's traces do not count.

    Raises:
        UsageError: the folder cannot be used.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    with told_of(folder, setting=DATA_SETTING):
        state = read_state(folder)
    process = process_of(folder, state)
    if state is None or process is None:
        return None
    return BrokerInfo(f"127.0.0.1:{state.port}", process.pid, folder, folder / "broker.log")


def bootstrap_of_running() -> str | None:
    """Return the address of the user's running embedded broker, or None."""
    running = status()
    return running.bootstrap if running else None
