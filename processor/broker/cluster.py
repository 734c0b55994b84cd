"""Which nodes belong together. A single node is a cluster of one.

A cluster's folder holds `cluster.json` and a folder for each node: `node-1`, `node-2` and so on. A node's folder is
that of any broker, so one node can be stopped and started alone.
"""

import base64
import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from processor.broker import probe
from processor.broker.errors import PortTaken
from processor.errors import UsageError

SIZES = (1, 3)  # Two nodes stand still without either, and more than three show nothing new on one machine.
CLUSTER_FILE = "cluster.json"
NODE = "node-"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes on one machine. Each node's ports are the next ones after those of the node before it."""

    cluster_id: str
    nodes: int
    port: int  # of the first node
    controller_port: int  # of the first node

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes."""
        return ",".join(f"127.0.0.1:{self.port + number}" for number in range(self.nodes))

    @property
    def voters(self) -> str:
        """All nodes' controllers, as Kafka writes them."""
        return ",".join(f"{number + 1}@127.0.0.1:{self.controller_port + number}" for number in range(self.nodes))


@dataclass(frozen=True, slots=True)
class Member:
    """One node of a cluster; ids begin at 1."""

    cluster: Cluster
    id: int = 1

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.cluster.port + self.id - 1

    @property
    def controller_port(self) -> int:
        """Where its controller listens."""
        return self.cluster.controller_port + self.id - 1


def new_id() -> str:
    """Return an id for a cluster."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")


def read_cluster(folder: Path) -> Cluster | None:
    """Return the cluster whose folder this is, or None.

    Raises:
        UsageError: what says so cannot be read.
    """
    path = folder / CLUSTER_FILE
    try:
        return Cluster(**json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is damaged", remedy="name another folder with --data-dir") from error


def member_of(folder: Path) -> Member | None:
    """Return the node whose folder this is in its cluster's, or None for a node that is alone."""
    number = folder.name.removeprefix(NODE)
    if number == folder.name or not number.isdecimal():
        return None
    cluster = read_cluster(folder.parent)
    return Member(cluster, int(number)) if cluster and 1 <= int(number) <= cluster.nodes else None


def node_folders(folder: Path, cluster: Cluster) -> list[Path]:
    """Return the nodes' folders, in the order of their ids."""
    return [folder / f"{NODE}{number}" for number in range(1, cluster.nodes + 1)]


def find_or_make(folder: Path, nodes: int | None, port: int | None) -> Cluster | None:
    """Return the cluster of `folder`, made now where `nodes` asks for one; None for a single node.

    Raises:
        PortTaken: another process listens on `port` or one of the next.
        UsageError: the folder holds other nodes, or listens on another port.
    """
    cluster = read_cluster(folder)
    held = cluster.nodes if cluster else 1 if (folder / "data").exists() else None
    wanted = nodes or held or 1
    if wanted not in SIZES:
        raise UsageError(f"a cluster of {wanted} cannot be made", remedy=f"ask for --nodes {SIZES[0]} or {SIZES[1]}")
    if held not in (None, wanted):
        raise UsageError(
            f"{folder} holds the data of {held} node{'s' if held != 1 else ''}, not of {wanted}",
            remedy="leave --nodes out, or name another folder with --data-dir",
        )
    if cluster and port not in (None, cluster.port):
        raise UsageError(
            f"the cluster of {folder} listens at port {cluster.port} and the next ones, and keeps them",
            remedy="leave --port out, or make another cluster with --data-dir",
        )
    if cluster or wanted == 1:
        return cluster
    return _make(folder, wanted, port)


def _make(folder: Path, nodes: int, port: int | None) -> Cluster:
    both = probe.free_ports(2 * nodes)
    if port is not None and (taken := [each for each in range(port, port + nodes) if not probe.is_free(each)]):
        raise PortTaken(f"port {taken[0]} is taken by another process", remedy="name another with --port, or none")
    cluster = Cluster(new_id(), nodes, port or both[0], both[nodes])
    partial = folder / f"{CLUSTER_FILE}.partial"
    partial.write_text(json.dumps(asdict(cluster)), "utf-8")
    partial.replace(folder / CLUSTER_FILE)
    return cluster
