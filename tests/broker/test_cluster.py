"""The embedded cluster of three nodes."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest
from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient

from processor import broker
from processor.broker import probe
from processor.broker.cluster import Cluster, Member, find_or_make, member_of
from processor.errors import UsageError
from processor.kafka.topics.admin import read_topics
from tests.broker.audit import read_topic
from tests.broker.exporters import Exporter, assert_same
from tests.broker.fleet import TIMEOUT_S, Fleet, Load, Watcher, await_true, day, produce
from tests.cli.running import a3cp

KILLED = (1, 2)


@pytest.fixture(scope="module")
def three() -> Iterator[Path]:
    """The folder of a cluster that runs, of this module alone."""
    with tempfile.TemporaryDirectory(prefix="a3cp-tests-") as folder:
        broker.up(None, Path(folder), nodes=3)
        yield Path(folder)
        broker.down(Path(folder))


@pytest.fixture
def servers(three: Path) -> str:
    """Its addresses; all nodes run."""
    return broker.up(None, three).bootstrap


@pytest.mark.broker
@pytest.mark.long
@pytest.mark.timeout(600)
def test_all_is_kept_three_times(three: Path, servers: str, prefix: str, tmp_path: Path) -> None:
    """Our topics and Kafka's own: three copies, two of which have what is committed. The doctor agrees."""
    with Fleet(servers, prefix, tmp_path) as fleet:
        assert fleet.a3cp("topics", "apply", "--replicas", "3")[0] == 0
        produce(servers, fleet.names.raw, day(seed=1, count=100, users=9))
        fleet.start()
        fleet.await_processed()
        made = [*fleet.names, "__consumer_offsets", "__transaction_state"]
        held = read_topics({"bootstrap.servers": servers}, made)
        assert {name: topic.replicas for name, topic in held.items()} == dict.fromkeys(made, 3)
        assert {topic.configs["min.insync.replicas"] for topic in held.values()} == {"2"}
        code, told = fleet.a3cp("doctor", "--json")
        states = {check["check"]: check["state"] for check in json.loads(told)["checks"]}
        assert (code, states["broker"], states["replication"]) == (0, "ok", "ok")


@pytest.mark.broker
@pytest.mark.long
@pytest.mark.timeout(600)
def test_one_node_alone(three: Path, servers: str) -> None:
    """It is stopped, killed and started by its own folder; the cluster's tells of all, and starts what is away."""
    status = ("broker", "status", "--data-dir", str(three))
    addresses = servers.split(",")
    assert broker.down(three / "node-2")
    assert not probe.answers(int(addresses[1].rpartition(":")[2]))
    told = a3cp(*status, environ={}).stdout.splitlines()
    assert told[0] == f"running at {servers}"
    assert [address for address in addresses if f"  {address}: not running" in told] == [addresses[1]]
    second = broker.up(None, three / "node-2")
    assert second.bootstrap == addresses[1]

    os.kill(second.pid, signal.SIGKILL)
    await_true("it is gone", lambda: len(json.loads(a3cp(*status, "--json", environ={}).stdout)["nodes"]) == 2)
    again = broker.up(None, three, nodes=3)
    assert again.bootstrap == servers
    assert [node.bootstrap for node in again.nodes] == addresses
    assert a3cp("broker", "down", "--data-dir", str(three), environ={}).stdout == "stopped\n"
    assert not any(psutil.pid_exists(node.pid) for node in again.nodes)
    assert a3cp(*status, environ={}).returncode == 1


def test_each_node_knows_its_place(tmp_path: Path) -> None:
    """By its folder's name; a folder of that name elsewhere is a broker of its own."""
    made = find_or_make(tmp_path, 3, None)
    assert made is not None
    assert find_or_make(tmp_path, None, None) == made
    first = made.controller_port
    assert made.voters == f"1@127.0.0.1:{first},2@127.0.0.1:{first + 1},3@127.0.0.1:{first + 2}"
    third = Member(made, 3)
    assert member_of(tmp_path / "node-3") == third
    assert (third.port, third.controller_port) == (made.port + 2, first + 2)
    for other in ("node-0", "node-4", "node-x", "data"):
        assert member_of(tmp_path / other) is None
    assert member_of(tmp_path / "other" / "node-1") is None
    assert broker.status(tmp_path) is None
    assert not broker.down(tmp_path)


def test_a_folder_keeps_its_number_of_nodes(tmp_path: Path) -> None:
    """Another number, or other ports, would be another cluster."""
    with pytest.raises(UsageError, match="a cluster of 2 cannot be made"):
        broker.up(None, tmp_path, nodes=2)
    (tmp_path / "data").mkdir()
    with pytest.raises(UsageError, match="holds the data of 1 node, not of 3"):
        broker.up(None, tmp_path, nodes=3)
    (tmp_path / "cluster").mkdir()
    made = find_or_make(tmp_path / "cluster", 3, None)
    assert isinstance(made, Cluster)
    with pytest.raises(UsageError, match="holds the data of 3 nodes, not of 1"):
        broker.up(None, tmp_path / "cluster", nodes=1)
    with pytest.raises(UsageError, match=f"listens at port {made.port} and the next ones"):
        broker.up(made.port + 1, tmp_path / "cluster")


def test_a_damaged_cluster_is_said_so(tmp_path: Path) -> None:
    """Which nodes there are cannot be guessed."""
    (tmp_path / "cluster.json").write_text("{")
    for act in (broker.status, broker.down):
        with pytest.raises(UsageError, match=r"cluster\.json is damaged"):
            act(tmp_path)


@dataclass
class Trial:
    """A cluster under load, with those who work on it."""

    folder: Path
    admin: AdminClient
    tagged: Watcher
    exporter: Exporter
    topic: str
    longest_ms: dict[str, int] = field(default_factory=dict)  # by what was done: how long a partition stood still

    def goes_on(self, act: str) -> None:
        """Wait until each partition goes on after `act`, and the exporter too."""
        held = self.exporter.held()
        await_true(f"{act}: partitions go on", partial(self.tagged.has_grown, dict(self.tagged.counts)))
        await_true(f"{act}: the exporter goes on", lambda: self.exporter.has_moved(held))
        self.longest_ms[act] = self.tagged.gap_ms

    def leaders(self) -> list[int]:
        """Return the node that leads each partition."""
        found = self.admin.list_topics(self.topic, timeout=TIMEOUT_S).topics[self.topic].partitions
        return [found[partition].leader for partition in sorted(found)]

    def is_complete(self) -> bool:
        """Whether every copy of every partition has all."""
        topics = self.admin.list_topics(timeout=TIMEOUT_S).topics.values()
        return all(len(each.isrs) == 3 for topic in topics for each in topic.partitions.values())

    def fail(self, number: int, *, killed: bool) -> None:
        """Kill or stop a node, start it again once the others do its work, and wait until it has all."""
        act = f"node {number} {'killed' if killed else 'restarted'}"
        folder = self.folder / f"node-{number}"
        node = broker.status(folder)
        assert node is not None
        self.tagged.measure()
        if killed:
            os.kill(node.pid, signal.SIGKILL)
        else:
            assert broker.down(folder)
        await_true(f"{act}: others lead", lambda: number not in self.leaders())
        self.goes_on(act)
        broker.up(None, folder)
        await_true(f"{act}: all copies are complete", self.is_complete)
        self.goes_on(act)

    def move_leaders(self) -> None:
        """Let the first copy of each partition lead, as on a cluster where nothing has failed."""
        before = self.leaders()
        self.tagged.measure()
        self.admin.elect_leaders(ElectionType.PREFERRED).result(TIMEOUT_S)
        await_true("leaders have moved", lambda: self.leaders() != before)
        self.goes_on("leaders moved")


@pytest.mark.broker
@pytest.mark.long
@pytest.mark.timeout(900)
def test_nodes_fail_under_load(three: Path, servers: str, prefix: str, tmp_path: Path) -> None:
    """Two nodes are killed, one is restarted, leaders are moved: nothing is lost, and nothing is doubled."""
    with ExitStack() as stack:
        fleet = stack.enter_context(Fleet(servers, prefix, tmp_path))
        assert fleet.a3cp("topics", "apply", "--replicas", "3")[0] == 0
        tagged = stack.enter_context(Watcher(servers, fleet.names.tagged))
        exporter, calm = (
            stack.enter_context(Exporter(fleet.environ, f"sqlite:///{tmp_path / name}.db", tmp_path / name))
            for name in ("exported", "calm")
        )
        trial = Trial(three, AdminClient({"bootstrap.servers": servers}), tagged, exporter, fleet.names.tagged)
        workers = fleet.start("--workers", "2")
        exporter.start()
        with Load(servers, fleet.names.raw, per_pause=1) as load:
            trial.goes_on("start")
            for number in KILLED:
                trial.fail(number, killed=True)
            trial.fail(1, killed=False)
            trial.move_leaders()

        found = fleet.audit()
        raw = sum(map(len, read_topic(servers, fleet.names.raw)))
        code, told = fleet.a3cp("audit", "--json")
        audited = json.loads(told)
        outcomes = audited["tagged"] + audited["answered"]
        assert (code, outcomes) == (0, raw)
        assert raw >= load.count  # The load's own client may write one twice as a leader dies.
        exporter.await_exported(servers, prefix)
        assert (exporter.end(signal.SIGTERM), calm.run().returncode) == (0, 0)
        assert_same(exporter, calm)
        again = workers.said("started") - 2
        assert workers.stop() == 0
    sys.stdout.write(
        f"{len(KILLED)} kills, 1 restart, {load.count} messages, {found.sessions} sessions, 0 lost, 0 doubled, "
        f"{again} workers started again; longest standstill of a partition in ms: {trial.longest_ms}\n"
    )
