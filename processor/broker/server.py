"""The embedded broker as others see it: started, found and stopped by its data folder.

It is one node, or a cluster of three.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from processor.broker import jars, node
from processor.broker.cluster import Cluster, find_or_make, node_folders, read_cluster
from processor.broker.folder import BrokerInfo, exclusive
from processor.broker.places import DATA_SETTING, default_data_dir, told_of
from processor.broker.start import Say

T = TypeVar("T")


def up(
    port: int | None = None,
    data_dir: Path | None = None,
    *,
    nodes: int | None = None,
    properties: Mapping[str, str] = MappingProxyType({}),
    say: Say = lambda _text: None,
    progress: jars.Progress | None = None,
) -> BrokerInfo:
    """Start the broker of `data_dir` and return when it takes work; return the running one where there is one.

    Args:
        port: where to listen on 127.0.0.1; None for the last start's where that is free, else for any free one.
            The nodes of a cluster listen there and at the next ports, and keep them.
        data_dir: where its data is; None for the user's own (`A3CP_BROKER_DIR`).
        nodes: 1 or 3; None for as many as the folder holds data of, else one.
        properties: more of Kafka's server properties, for this start of each node. Listeners come to the broker's own
            one, which stays as it is; other properties go over ours.
        say: told what is being waited for.
        progress: told how far the first fetch is.

    Raises:
        PortTaken: another process listens on `port`.
        UsageError: the broker of this folder runs already, on another port than `port`; it is no folder to
            use, or one with another number of nodes; or the heap is given a size that is none.
        FetchFailed, NoSpace, NoJava, BrokerFailed: see the classes.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    with told_of(folder, setting=DATA_SETTING):
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            cluster = find_or_make(folder, nodes, port)
            if cluster:
                jars.classpath(progress)  # Once, before each node looks for them.
                return _up_together(folder, cluster, properties, say)
        return node.up(folder, port, properties, say, progress)


def _up_together(folder: Path, cluster: Cluster, properties: Mapping[str, str], say: Say) -> BrokerInfo:
    """Start the nodes that do not run, all at once: the first needs a second one to be ready."""
    stopped = [each for each in node_folders(folder, cluster) if node.status(each) is None]
    try:
        _at_once(stopped, lambda each: node.up(each, None, properties, _of(each, say), None))
    except BaseException:
        _at_once(stopped, lambda each: each.exists() and node.down(each, say))
        raise
    running = status(folder)
    assert running is not None
    return running


def down(data_dir: Path | None = None, *, say: Say = lambda _text: None) -> bool:
    """Stop the broker of `data_dir` cleanly; return whether there was one.

    Raises:
        BrokerFailed: it would not even be killed.
        UsageError: the folder cannot be used.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    with told_of(folder, setting=DATA_SETTING):
        cluster = read_cluster(folder)
        try:
            if cluster:
                with exclusive(folder):
                    return any(_at_once(node_folders(folder, cluster), lambda each: node.down(each, say)))
            return node.down(folder, say)
        except FileNotFoundError:
            return False


def status(data_dir: Path | None = None) -> BrokerInfo | None:
    """Return the running broker of `data_dir`, or None; a dead one's traces do not count.

    Raises:
        UsageError: the folder cannot be used.
    """
    folder = (data_dir or default_data_dir()).expanduser().absolute()
    with told_of(folder, setting=DATA_SETTING):
        cluster = read_cluster(folder)
        if cluster is None:
            return node.status(folder)
        running = tuple(info for each in node_folders(folder, cluster) if (info := node.status(each)))
    if not running:
        return None
    return BrokerInfo(cluster.bootstrap, running[0].pid, folder, running[0].log_file, running)


def bootstrap_of_running() -> str | None:
    """Return the address of the user's running embedded broker, or None."""
    running = status()
    return running.bootstrap if running else None


def _at_once(folders: list[Path], act: Callable[[Path], T]) -> list[T]:
    with ThreadPoolExecutor(max(1, len(folders)), thread_name_prefix="node") as pool:
        return list(pool.map(act, folders))


def _of(folder: Path, say: Say) -> Say:
    return lambda text: say(f"{folder.name}: {text}")
