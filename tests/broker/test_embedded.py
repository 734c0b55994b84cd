"""The embedded broker, from nothing to stopped."""

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka import IsolationLevel, Producer
from confluent_kafka.admin import AdminClient

from processor import broker
from processor.broker import jars, places, probe
from processor.broker.errors import FetchFailed, NoSpace, PortTaken
from processor.errors import UsageError
from processor.kafka.offsets import LATEST, log_offsets, patiently
from processor.kafka.topics.admin import ensure_topics
from tests.broker.fleet import TIMEOUT_S, await_true


def wait_until_gone(pid: int) -> None:
    """Wait for a process that is ending, within bounds; raises when it stays."""
    psutil.Process(pid).wait(60)


@pytest.mark.broker
@pytest.mark.long
def test_a_life(tmp_path: Path) -> None:
    """Up, up again, killed, up again on the same port, down, down again: each does what its name says.

    The last start has run out before the next, so that no partitions are lost while there are transactions to end.
    """
    assert broker.status(tmp_path) is None
    first = broker.up(None, tmp_path)
    try:
        assert first == broker.up(None, tmp_path) == broker.status(tmp_path)
        port = int(first.bootstrap.rpartition(":")[2])
        assert probe.answers(port)
        with pytest.raises(UsageError, match="runs already"):
            broker.up(port + 1 if port < 65535 else port - 1, tmp_path)

        ensure_topics({"bootstrap.servers": first.bootstrap}, "a3cp", partitions=4)
        os.kill(first.pid, signal.SIGKILL)
        wait_until_gone(first.pid)
        assert broker.status(tmp_path) is None
        log_size_bytes = (tmp_path / "broker.log").stat().st_size
        second = broker.up(None, tmp_path)
        assert_run_out(tmp_path, log_size_bytes)
        assert second.bootstrap == first.bootstrap
        assert second.pid != first.pid
    finally:
        said: list[str] = []
        assert broker.down(tmp_path, say=said.append)
        assert len(said) == 1, "it had to be killed"
    assert not broker.down(tmp_path)
    assert not probe.answers(port)


def assert_run_out(folder: Path, log_size_bytes: int) -> None:
    """The last start had run out: the broker was let in at once, and never lost its partitions again."""
    said = (folder / "broker.log").read_bytes()[log_size_bytes:].decode()
    assert "because its session has timed out" in said
    assert "DUPLICATE_BROKER_REGISTRATION" not in said
    assert len([line for line in said.splitlines() if "handleBrokerUnfenced: changing" in line]) == 1
    assert "handleBrokerShutdown: changing" not in said


@pytest.mark.broker
@pytest.mark.long
def test_a_transaction_whose_time_is_up_after_a_restart(tmp_path: Path, prefix: str) -> None:
    """It is aborted where it wrote, and no reader of committed records waits for it for ever.

    After a clean stop, too, the last start has run out before the next.
    """
    conf: dict[str, str | int] = {"bootstrap.servers": broker.up(None, tmp_path).bootstrap, "log_level": 0}
    try:
        ensure_topics(conf, prefix, partitions=4)
        place = (f"{prefix}.state", 1)
        dead = Producer({**conf, "transactional.id": prefix, "transaction.timeout.ms": 1_000})
        dead.init_transactions(TIMEOUT_S)
        dead.begin_transaction()
        dead.produce(place[0], b"x", b"k", place[1])
        assert dead.flush(TIMEOUT_S) == 0
        broker.down(tmp_path)
        log_size_bytes = (tmp_path / "broker.log").stat().st_size
        broker.up(None, tmp_path)
        assert_run_out(tmp_path, log_size_bytes)
        admin = AdminClient({**conf})

        def end(isolation: IsolationLevel) -> int:
            return patiently(lambda: log_offsets(admin, [place], LATEST, isolation)[place], "asking for the end", conf)

        await_true("its end is told", lambda: end(IsolationLevel.READ_COMMITTED) > 1)
    finally:
        broker.down(tmp_path)


@pytest.mark.broker
@pytest.mark.parametrize("heap", ["1", "lots"])
def test_a_failed_start_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heap: str) -> None:
    """A broker that cannot start is an error that says why, and no process is left."""
    monkeypatch.setenv("A3CP_BROKER_HEAP", heap)
    with pytest.raises(UsageError, match="A3CP_BROKER_HEAP is no size"):
        broker.up(None, tmp_path)
    assert broker.status(tmp_path) is None


def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    """Before anything is fetched or started."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PortTaken, match="--port"):
        broker.up(server.getsockname()[1], tmp_path)


def test_a_strange_process_is_not_ours(tmp_path: Path) -> None:
    """A pid that by now belongs to another process is neither reported nor killed."""
    (tmp_path / "broker.json").write_text(f'{{"pid": {os.getpid()}, "port": 9092, "controller_port": 9093}}')
    assert broker.status(tmp_path) is None
    assert not broker.down(tmp_path)


@pytest.mark.parametrize("act", [broker.status, broker.down, lambda folder: broker.up(None, folder)])
def test_what_is_no_folder_is_said_so(tmp_path: Path, act: Callable[[Path], object]) -> None:
    """A file, or a folder below one, where the broker's own should be: an error that names it."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=f"^{re.escape(str(folder))} cannot be used: .*A3CP_BROKER_DIR"):
            act(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_torn_state_file_counts_as_none(tmp_path: Path, text: str) -> None:
    """A full disk may leave anything behind."""
    (tmp_path / "broker.json").write_text(text)
    assert broker.status(tmp_path) is None


def test_no_network_for_the_first_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that the first start needs a network, and nothing half-fetched stays."""
    (port,) = probe.free_ports(1)
    monkeypatch.setenv("A3CP_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    with pytest.raises(FetchFailed, match="needs a network"):
        jars.classpath()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_only_the_pinned_bytes_count(tmp_path: Path) -> None:
    """A jar of the right name and size with other bytes is fetched again, not used."""
    jar = jars.pinned()[0]
    (tmp_path / "x.jar").write_bytes(b"\0" * jar.size_bytes)
    assert not jars.is_pinned(tmp_path / "x.jar", jar)


def test_the_pinned_kafka_is_the_one_that_is_named() -> None:
    """The list and the version in messages and folder names cannot part."""
    assert [jar.version for jar in jars.pinned() if jar.artifact == "kafka_2.13"] == [jars.KAFKA_VERSION]


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    """With how much is there, how much is needed, and the setting that moves it."""
    with pytest.raises(NoSpace, match=r"MiB free.*A3CP_CACHE_DIR"):
        places.require_space(tmp_path, 2**62, setting="A3CP_CACHE_DIR")


def test_a_port_without_a_broker_does_not_answer() -> None:
    """Neither a closed port nor a server that speaks something else."""
    (port,) = probe.free_ports(1)
    assert not probe.answers(port)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not probe.answers(server.getsockname()[1], timeout_s=0.2)
